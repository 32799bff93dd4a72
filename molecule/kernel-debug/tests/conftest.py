# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines with the deployed fabric, and a load on its namespace."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Iterator

import pytest
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

from fabric import DEVICE, initiator, target  # noqa: E402
from machines import connect, until  # noqa: E402

__all__ = ["initiator", "target"]
NVMET = "/sys/kernel/config/nvmet"
# What a kernel says that has found something, in whatever part of it.
COMPLAINT = (
    "WARNING:|BUG:|KASAN|UBSAN|ODEBUG|Call Trace|refcount_t|general protection|possible (circular|recursive|irq)|"
    "inconsistent lock|suspicious RCU|bad unlock|blocked for more than|suspected memory leaks|list_(add|del) corruption"
)


@pytest.fixture(params=["target1", "host1"])
def machine(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)


def is_served(initiator: Host) -> bool:
    return initiator.run(f"dd if={DEVICE} of=/dev/null bs=4k count=1 iflag=direct status=none").rc == 0


def wait_until_served(initiator: Host, seconds: float = 300) -> None:
    def served() -> bool:
        """the namespace can be read"""
        return is_served(initiator)

    until(served, seconds)


@pytest.fixture
def load(initiator: Host) -> Iterator[Host]:
    """The host while it reads and writes the namespace for as long as a test takes, whatever becomes of that."""
    wait_until_served(initiator)
    initiator.check_output(
        f"systemd-run --quiet --collect --unit=load fio --name=load --filename={DEVICE} --rw=randrw --bsrange=4k-128k"
        " --iodepth=16 --ioengine=libaio --direct=1 --time_based --runtime=3600 --continue_on_error=all --size=256M"
    )
    initiator.check_output("sleep 3; systemctl is-active load")
    yield initiator
    initiator.run("systemctl stop load")
