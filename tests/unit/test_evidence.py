# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed scenario leaves is collected before its machines are ended, and the last line says where."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/scenarios"))

import evidence
from scenario import run

MOLECULE = """#!/bin/sh
[ "$1" = destroy ] && exec rm -rf .lab/broken
mkdir -p .lab/broken/host1 .lab/broken/target1
echo "the kernel's last words" > .lab/broken/host1/console.log
echo "QEMU's" > .lab/broken/host1/qemu.log
dd if=/dev/zero of=.lab/broken/target1/console.log bs=1M count=2 2>/dev/null
echo end >> .lab/broken/target1/console.log
echo "   E   assert 1 == 0"
printf 'not \\377 text\\n'
exit ${ENDS:-1}
"""
# Its last words are the machine's name and the command.
SSH = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
[ "$1" = host1 ] && { echo "asked $2"; exit 0; }
[ -z "$HANGS" ] || exec sleep 60
echo "Connection refused" >&2; exit 255
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("molecule", MOLECULE), ("ssh", SSH)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_it_is_kept_and_named_in_the_last_line(checkout: Path) -> None:
    failure = run("broken", checkout)
    assert "molecule test --destroy never --scenario-name broken ended 1:\nE   assert 1 == 0\n" in failure
    folder = checkout / failure.splitlines()[-1].removeprefix("evidence: ")
    assert folder.parent == checkout / ".lab/evidence"
    assert folder.name.startswith("broken-20")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not (checkout / ".lab/broken").exists()
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    assert kept.pop("molecule.log") == "   E   assert 1 == 0\nnot \ufffd text\n"
    console = kept.pop("target1.console.log")
    assert console.endswith("\0end\n")
    assert len(console) == evidence.CONSOLE
    asked = f"journalctl --no-pager --output=short-precise --lines={evidence.LINES}"
    assert kept == {
        "host1.console.log": "the kernel's last words\n",
        "host1.qemu.log": "QEMU's\n",
        "host1.journal.log": f"asked {asked}\n",
        "target1.journal.log": f"{asked} ended 255: Connection refused\n",
    }


def test_a_machine_that_hangs_costs_its_time_alone(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANGS", "1")
    monkeypatch.setattr(evidence, "SECONDS", 0.5)
    folder = checkout / run("broken", checkout).splitlines()[-1].removeprefix("evidence: ")
    assert "no answer within 0.5 s" in (folder / "target1.journal.log").read_text()
    assert "asked" in (folder / "host1.journal.log").read_text()


def test_a_scenario_that_passes_leaves_nothing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDS", "0")
    assert run("broken", checkout) == ""
    assert not (checkout / ".lab/evidence").exists()
