# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as of the last release, and a record of who works on a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "molecule/shared"))

from fabric import initiator, target
from machines import ROOT

__all__ = ["initiator", "target"]

#: The commit of the last release.
RELEASE = "20256e9faf845df56fef4d3f6a4c1907ca04b069"
_TRACE = "/sys/kernel/tracing"
# flock_lock_inode: fl=… dev=0x0:0x1b ino=0x6c2 … fl_owner=… fl_pid=4711 … fl_type=F_WRLCK … ret=0
_EVENT = re.compile(
    r"flock_lock_inode: .* dev=0x(\w+):0x(\w+) ino=0x(\w+) .* "
    r"fl_owner=(\w+) fl_pid=(\d+) .* fl_type=(\w+) .* ret=(-?\d+)"
)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the last release."""
    folder = tmp_path_factory.mktemp("release")
    packed = subprocess.run(["git", "archive", RELEASE], cwd=ROOT, check=False, capture_output=True)
    if packed.returncode:
        pytest.fail(
            f"the last release, commit {RELEASE}, is not in the history of {ROOT} ({packed.stderr.decode().strip()}); "
            "where the clone is shallow, fetch the rest: git fetch --unshallow",
            pytrace=False,
        )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    return folder


class Record:
    """Every lock of the collection that anybody took on a machine from here on, as the kernel tells it."""

    def __init__(self, machine: Host) -> None:
        self.machine = machine
        machine.check_output(
            f"mountpoint -q {_TRACE} || mount -t tracefs nodev {_TRACE}; cd {_TRACE} && echo 4096 > buffer_size_kb && "
            "echo > trace && echo 1 > events/filelock/flock_lock_inode/enable && echo 1 > tracing_on"
        )

    def read(self) -> list[tuple[str, str, int, bool]]:
        """In order: the file, which opening of it, the process that opened it, and whether it has it from now on."""
        # The files in /run stay when nobody has them any more.
        files = {}
        for line in self.machine.check_output(
            "stat -c '%d %i %n' /run/nvmeof-mptcp.lock /run/nvmeof-mptcp/*"
        ).splitlines():
            device, inode, path = line.split()
            files[int(device), int(inode)] = path
        found = []
        told = self.machine.check_output(f"cat {_TRACE}/trace")
        kept, written = re.search(r"entries-in-buffer/entries-written: (\d+)/(\d+)", told).groups()
        assert kept == written, "the record has a gap"
        for line in told.splitlines():
            event = _EVENT.search(line)
            if event is None or event[7] != "0":
                continue
            major, minor, inode = (int(number, 16) for number in event.groups()[:3])
            if (path := files.get((major << 8 | minor, inode))) is not None:
                found.append((path, event[4], int(event[5]), event[6] != "F_UNLCK"))
        return found


def at_once(record: list[tuple[str, str, int, bool]], old: set[int]) -> list[str]:
    """Every moment at which a process of the release before and another one worked: each had a lock."""
    has: dict[str, tuple[str, int]] = {}
    found = []
    for path, opening, process, takes in record:
        if not takes:
            has.pop(opening, None)
            continue
        has[opening] = (path, process)
        sides: dict[bool, list[str]] = defaultdict(list)
        for held, holder in has.values():
            sides[holder in old].append(f"{holder} has {held}")
        if len(sides) == 2:
            found.append(" while ".join(", ".join(side) for side in sides.values()))
    return found
