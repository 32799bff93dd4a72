# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts of rails, I/O that goes on meanwhile, and what is measured of both."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Iterable, Iterator

import pytest
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.process import Monitor  # noqa: E402
from fabric import PORT, RAILS, identity, initiator, io, queues, subflows, target  # noqa: E402
from machines import ALL, LAB_DIR, until  # noqa: E402

__all__ = ["identity", "initiator", "io", "target"]

ADDRESSES = [f"10.10.{rail}.101" for rail in range(len(RAILS))]
UNIT = "nvmeof-mptcp-network"
#: Within which a rail that is back has its subflows again, in seconds.
HEALED = 10.0
#: A machine that does other things meanwhile is slower by itself, so make test asks for less.
LIMIT = HEALED if ALL else 90.0
BANDWIDTH = 0.95 if ALL else 0.5
#: Over less time, in seconds, the bandwidth differs by 4 % while nothing is wrong.
SECONDS = 40.0 if ALL else 10.0
_EVENTS = "/var/tmp/heal-events"


def shape(machine: Host, rails: Iterable[str] = RAILS) -> None:
    """Rails so slow that they, and not an emulated CPU, bound the bandwidth that is compared."""
    words = "root tbf rate 10mbit burst 64kb latency 100ms"
    machine.check_output(" && ".join(f"tc qdisc replace dev {rail} {words}" for rail in rails))


def bandwidth(initiator: Host) -> float:
    """Bytes per second of all rails together, by the counters of the NICs and the machine's own clock."""
    names = " ".join(f"/sys/class/net/{rail}/statistics/{way}_bytes" for rail in RAILS for way in ("rx", "tx"))
    read = f"cut -d' ' -f1 /proc/uptime; cat {names}"
    before, *first = map(float, initiator.check_output(read).split())
    time.sleep(SECONDS)
    after, *last = map(float, initiator.check_output(read).split())
    return (sum(last) - sum(first)) / (after - before)


def have(initiator: Host, addresses: list[str]) -> bool:
    """every connection has exactly the planned subflows"""
    connections = subflows(initiator)
    return len(connections) == queues(initiator) and all(sorted(of) == sorted(addresses) for of in connections.values())


@pytest.fixture(scope="module")
def events(initiator: Host) -> Iterator[None]:
    """The host notes when its subflows come and go: to ask it takes seconds while it is busy."""
    note = "stdbuf -oL ip mptcp monitor | while read -r event; do echo $EPOCHREALTIME $event; done"
    initiator.check_output(f"systemd-run -q --collect --unit heal-events bash -c '{note} > {_EVENTS}'")
    yield
    initiator.check_output("systemctl stop heal-events")


def wait_until_whole(initiator: Host, seconds: float) -> None:
    def back() -> bool:
        """every connection has one subflow a rail"""
        return have(initiator, ADDRESSES)

    until(back, seconds)


def whole(initiator: Host, since: str) -> float:
    """Seconds from then until every connection had one subflow a rail, by the host's clock; see now()."""
    wait_until_whole(initiator, 90)
    told = initiator.check_output(f"grep SF_ESTABLISHED {_EVENTS} | tail -n 1 | cut -d' ' -f1")
    return max(float(told or 0) - float(since), 0.0)


def now(initiator: Host) -> str:
    """The host's clock, in seconds."""
    return str(initiator.check_output("echo $EPOCHREALTIME"))


def monitor(machine: str, command: str, **arguments: Any) -> Any:
    """One command to the QEMU of a machine."""
    channel = Monitor(LAB_DIR / machine)
    try:
        return channel.execute(command, **arguments)
    finally:
        channel.close()


def cut(how: str, rail: int, target: Host) -> None:
    """carrier: the host's NIC loses it. silent: the target's end drops every frame, and both links stay up."""
    if how == "carrier":
        monitor("host1", "set_link", name=f"nic-rail{rail}", up=False)
        return
    hook = f'type filter hook ingress device "rail{rail}" priority 0'
    target.check_output(
        f"nft 'table netdev cut{rail} {{ chain ingress {{ {hook}; policy drop; }}; }}' && "
        # TCP is told of what a filter drops here, and keeps it; of this it is not, as of what a switch drops.
        f"tc qdisc replace dev rail{rail} root netem loss 100%"
    )


def mend(how: str, rail: int, target: Host) -> None:
    """Bring back what was cut."""
    if how == "carrier":
        monitor("host1", "set_link", name=f"nic-rail{rail}", up=True)
    else:
        target.check_output(f"nft delete table netdev cut{rail}")
        shape(target, RAILS[rail : rail + 1])


def reset(initiator: Host, rail: int) -> None:
    """End the rail's subflows at the host, as a reset that arrives does."""
    initiator.check_output(f"ss -K src {ADDRESSES[rail]} dport = :{PORT}")


def journal(machine: Host, since: str) -> str:
    """What the unit has said since a cursor."""
    return str(machine.check_output(f"journalctl -u {UNIT} -o cat --after-cursor='{since}'"))


def cursor(machine: Host) -> str:
    """The end of the journal now."""
    return str(machine.check_output("journalctl -n 0 --show-cursor").split("-- cursor: ")[1].strip())
