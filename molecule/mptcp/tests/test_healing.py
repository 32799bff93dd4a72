# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rails go away and come back under I/O: no error, no reconnect, and soon everything is as before."""

from __future__ import annotations

import json
import re
import time

import pytest
from conftest import (
    ADDRESSES,
    BANDWIDTH,
    HEALED,
    LIMIT,
    UNIT,
    bandwidth,
    cursor,
    cut,
    have,
    identity,
    io,
    journal,
    mend,
    monitor,
    now,
    reset,
    shape,
    whole,
)
from fabric import PORT, RAILS, queues
from machines import LAB_DIR, LONG, until
from testinfra.host import Host

#: (how it is cut, for how many seconds, whether the subflows are reset meanwhile, rails). The connections of one
#: controller begin on different rails, so each of them is the first one of some.
FIRST = [("silent", 8, True, (1,)), ("carrier", 20, False, (1, 2, 3))]
OUTAGES = [
    (how, seconds, again, (rail,))
    for how in ("carrier", "silent")
    for seconds, again in ((20, False), (45, False), (8, True))
    for rail in range(len(RAILS))
] + [("carrier", 20, False, (1, 2, 3)), ("silent", 20, False, (0, 1, 2))]


@pytest.fixture(scope="module", autouse=True)
def shaped(initiator: Host, target: Host, events: None) -> None:
    for machine in (initiator, target):
        shape(machine)


@pytest.mark.parametrize(
    ("how", "seconds", "again", "rails"),
    [outage if outage in FIRST else pytest.param(*outage, marks=LONG) for outage in OUTAGES],
)
def test_outage(how: str, seconds: int, again: bool, rails: tuple[int, ...], initiator: Host, target: Host) -> None:
    whole(initiator, now(initiator))
    known, mark = identity(initiator), cursor(initiator)
    with io(initiator) as measured:
        time.sleep(4)
        before = bandwidth(initiator)
        for rail in rails:
            cut(how, rail, target)
        try:
            time.sleep(seconds / 2)
            for rail in rails if again else ():
                reset(initiator, rail)
            time.sleep(seconds / 2)
            since = now(initiator)
        finally:
            for rail in rails:
                mend(how, rail, target)
        ends = time.monotonic() + HEALED
        taken = whole(initiator, since)
        assert taken <= LIMIT
        time.sleep(max(ends - time.monotonic(), 0))
        after = bandwidth(initiator)
        assert identity(initiator) == known, "a reconnect"
    what = f"rails {rails}, {how}, {seconds} s{', reset' if again else ''}"
    print(
        f"{what}: longest stall {measured['stall']:.2f} s, subflows back {taken:.1f} s after the link, "
        f"bandwidth {after / before:.0%} of {before / 1e6:.2f} MB/s"
    )
    said = journal(initiator, mark)
    # Subflows of a NIC that is away are closed, and opened when it is back.
    assert ("adding its endpoint again" in said) == (again and how == "silent"), said
    assert ("goes over the other rails" in said) == (how == "carrier"), said
    assert after >= BANDWIDTH * before


def test_a_subflow_that_joins_later_has_a_buffer_like_the_first(initiator: Host, target: Host) -> None:
    """Or the window of a connection is gone once each of its rails was away."""
    whole(initiator, now(initiator))
    reset(initiator, 2)
    whole(initiator, now(initiator))
    for machine, end in ((initiator, "dport"), (target, "sport")):
        shown = machine.check_output(f"ss -Htnm state established {end} = :{PORT}")
        buffers = re.findall(r"skmem:\(r\d+,rb(\d+)", shown)
        # The target may still hold what the host has reset.
        assert len(buffers) >= queues(initiator) * len(RAILS)
        assert min(map(int, buffers)) >= 16 * 2**20, buffers


def test_without_the_unit_a_reset_subflow_stays_away(initiator: Host) -> None:
    """Otherwise the outages above would prove nothing about it."""
    whole(initiator, now(initiator))
    known = identity(initiator)
    initiator.check_output(f"systemctl stop {UNIT}")
    try:
        reset(initiator, 1)
        time.sleep(HEALED)
        assert have(initiator, [address for address in ADDRESSES if address != ADDRESSES[1]])
    finally:
        initiator.check_output(f"systemctl start {UNIT}")
    print(f"healed {whole(initiator, now(initiator)):.1f} s after the unit was started")
    assert identity(initiator) == known


def test_a_nic_that_is_unplugged_and_plugged_in(initiator: Host) -> None:
    [machine] = [one for one in json.loads((LAB_DIR / "lab.json").read_text())["machines"] if one["name"] == "host1"]
    [mac] = [nic["mac"] for nic in machine["nics"] if nic["name"] == "rail1"]
    # 0000:00:09.0
    address = initiator.check_output("cd -P /sys/class/net/rail1/device/.. && basename $PWD")
    slot = address.split(":")[2].partition(".")[0]
    known = identity(initiator)

    def gone() -> bool:
        """the NIC is gone"""
        return not initiator.file("/sys/class/net/rail1").exists

    def there() -> bool:
        """the NIC has its address"""
        return ADDRESSES[1] in initiator.run("ip -br address show rail1").stdout

    with io(initiator) as measured:
        time.sleep(4)
        before = bandwidth(initiator)
        monitor("host1", "device_del", id="nic-rail1")
        until(gone, 20)
        time.sleep(5)
        # As _lab/qemu.py gives it at the start.
        device = {"driver": "virtio-net-pci", "netdev": "rail1", "id": "nic-rail1", "romfile": ""}
        monitor("host1", "device_add", **device, mac=mac, addr=f"0x{slot}")
        since = now(initiator)
        until(there, 20)
        shape(initiator)
        taken = whole(initiator, since)
        assert taken <= LIMIT
        after = bandwidth(initiator)
        assert identity(initiator) == known
    print(f"plugged in: longest stall {measured['stall']:.2f} s, subflows back {taken:.1f} s after the NIC")
    assert after >= BANDWIDTH * before
