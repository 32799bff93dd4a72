# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make shell` opens a shell on a machine that is there, and otherwise says which machines are."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "Host target1\n    Port 20001\nHost host1\n    Port 20002\n"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/ssh_config").write_text(CONFIG)
    programs = tmp_path / "bin"
    programs.mkdir()
    # Whoever runs the tests; and no machine.
    for name, body in (("id", "echo 0"), ("ssh", f'echo "$@" > {tmp_path}/asked; exit ${{SSH_ENDS:-0}}')):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    return tmp_path / "lab"


def shell(lab: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{lab.parent / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["make", "--no-print-directory", "shell", *words],
        cwd=ROOT,
        env={"HOME": os.environ["HOME"], "PATH": path, "LAB_DIR": str(lab), **environment},
        capture_output=True,
        text=True,
    )


def test_a_machine_s_name_is_enough(lab: Path) -> None:
    done = shell(lab, "M=host1")
    assert (done.returncode, done.stderr) == (0, "")
    assert (lab.parent / "asked").read_text() == f"-t -F {lab}/ssh_config -o ConnectTimeout=5 host1\n"


def test_how_the_shell_ends_is_no_error(lab: Path) -> None:
    assert shell(lab, "M=host1", SSH_ENDS="1").returncode == 0


@pytest.mark.parametrize("words", [(), ("M=",), ("M=host",), ("M=-oProxyCommand=true",), ("M=target1 host1",)])
def test_another_name_is_told_the_machines(lab: Path, words: tuple[str, ...]) -> None:
    done = shell(lab, *words)
    assert done.returncode == 2
    assert "one of target1 host1\n" in done.stderr
    assert not (lab.parent / "asked").exists()


def test_a_lab_that_is_not_up_is_told_with_its_machines(lab: Path) -> None:
    done = shell(lab / "not", "M=host1")
    assert done.returncode == 2
    assert f"no lab is up in {lab}/not; 'make lab' starts one in .lab/lab, with target1 host1\n" in done.stderr


def test_a_machine_that_is_gone_is_told_with_where_to_look(lab: Path) -> None:
    done = shell(lab, "M=host1", SSH_ENDS="255")
    assert done.returncode == 2
    assert f"host1 in {lab} does not answer: {lab}/host1/console.log" in done.stderr
    assert "with target1 host1\n" in done.stderr


def test_what_the_lab_takes_from_the_environment_comes_through_sudo() -> None:
    [kept] = re.findall(r"--preserve-env=(\S+)", (ROOT / "Makefile").read_text())
    taken = re.findall(r"builtin\.env', '(\w+)'", (ROOT / "inventories/lab/group_vars/all/lab.yml").read_text())
    assert set(taken) == {"LAB_DIR", "LAB_KERNEL_SERIES"}
    assert set(taken) <= set(kept.split(","))
