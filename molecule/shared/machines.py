# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario's machines, reached as ssh reaches them: no Ansible between a test and the kernel."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import testinfra
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]
LAB_DIR = Path(os.environ["LAB_DIR"])
ALL = os.environ.get("TESTS") == "all"
#: Marks what says little more than the tests beside it and takes minutes.
LONG = pytest.mark.skipif(not ALL, reason="takes long: make test-all, make scenario")


# One connection serves many commands: making one costs an emulated machine a second.
_SOCKETS = tempfile.TemporaryDirectory(prefix="ssh-")
_SHARED = f"-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={_SOCKETS.name}/%n"
# A machine that went without a word must not hold up whoever asks whether it is back.
_ALIVE = "-o ServerAliveInterval=5 -o ServerAliveCountMax=3"


def one_or_all(*values: Any) -> list[Any]:
    """Parameters of a test that says nearly the same of each: the first, or all of them where there is time."""
    return [
        values[0],
        *(pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=LONG) for value in values[1:]),
    ]


def connect(name: str) -> Host:
    return testinfra.get_host(
        f"ssh://{name}", ssh_config=str(LAB_DIR / "ssh_config"), ssh_extra_args=f"{_SHARED} {_ALIVE}"
    )


def boot_id(machine: Host) -> str:
    """Which boot of the machine answers; empty while it does not."""
    try:
        return machine.check_output("cat /proc/sys/kernel/random/boot_id")
    except RuntimeError:
        # ssh could not connect.
        return ""


def reboot(*machines: Host) -> None:
    """Reboot machines at once; returns when the later one answers ssh."""
    before = [boot_id(machine) for machine in machines]
    for machine in machines:
        # Not systemctl reboot itself, which may end the connection before ssh has the answer.
        machine.check_output("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")

    def all_answer() -> bool:
        """every machine answers ssh after its reboot"""
        return all(now not in ("", was) for now, was in zip(map(boot_id, machines), before))

    until(all_answer, 300)


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held; fails when it does not within the time."""
    start = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - start
        assert time.monotonic() - start < seconds, f"not within {seconds:g} s: {condition.__doc__}"
        time.sleep(0.5)
