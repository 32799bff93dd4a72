# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program of the lab's user is and can reach; its stand-in is nobody."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import user as _lab_user
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lab_user, "NAME", "nobody")


def run(words: list[str], folder: Path, keep: list[int] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_lab_user.become("tcg"), *words], cwd=folder, pass_fds=keep or [], capture_output=True, text=True, check=False
    )


def test_it_has_no_group_and_no_right_but_its_own_and_comes_to_none(user: None, tmp_path: Path) -> None:
    text = run(["cat", "/proc/self/status"], tmp_path).stdout
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert status["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    assert (status["Groups"].strip(), status["NoNewPrivs"]) == ("", "1")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}


def test_it_reads_what_it_is_handed_below_a_folder_that_it_cannot_enter(user: None, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    image = tmp_path / "image"
    image.write_text("content")
    image.chmod(0o600)
    assert run(["cat", str(image)], Path("/")).returncode != 0
    with _lab_user.Handed() as handed:
        name = handed.name(image)
        assert run(["cat", name], Path("/"), handed.handles).stdout == "content"
        assert run(["sh", "-c", f"echo > {name}"], Path("/"), handed.handles).returncode != 0
    assert image.read_text() == "content"


def test_it_writes_in_a_machine_s_folder_and_passes_the_lab_s_without_seeing_it(user: None, tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    for name in ("host1", "target1"):
        (lab / name / "credentials").mkdir(parents=True)
        (lab / name / "credentials/key").touch(0o600)
        _lab_user.give(lab / name)
    (lab / "key").touch(0o600)
    _lab_user.let_through(lab)
    # As QEMU does: the cable's other end lies in another machine's folder.
    assert run(["sh", "-ec", "cat credentials/key; touch console.log ../target1/cable"], lab / "host1").returncode == 0
    for forbidden in ("ls ..", "cat ../key", "touch ../lab.json"):
        assert run(["sh", "-c", forbidden], lab / "host1").returncode != 0
    _lab_user.take_back(lab / "target1")
    owners = {path.stat().st_uid for path in (lab / "target1", *(lab / "target1").rglob("*"))}
    assert owners == {0}


def test_without_the_user_the_error_says_who_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lab_user, "NAME", "no-such-user")
    with pytest.raises(LabError, match="no user no-such-user, as which the machines run: the role lab makes it"):
        _lab_user.become("tcg")
