# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Healing in this machine's own kernel: connections that carry data lose subflows, and get them back or do not.

Runs as root on a kernel with MPTCP and is skipped elsewhere.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fabric_in_namespaces import UNABLE, Fabric, Machine, Topology, run
from fabric_programs import FALL_BACK, HOLD, WATCH
from lock_holders import another_holds

pytestmark = pytest.mark.skipif(bool(UNABLE), reason=UNABLE)

RAILS, COUNT = 3, 4
SERVICE = "10.10.255.1"
ALL = [f"10.10.{rail}.101" for rail in range(RAILS)]
#: Within which a rail that is back has its subflows again, in seconds.
HEALED = 10.0


def nics(number: int) -> dict[str, list[tuple[str, str]]]:
    return {f"r{rail}": [(f"switch{rail}", f"10.10.{rail}.{number}/24")] for rail in range(RAILS)}


TOPOLOGY = Topology(
    [{"name": f"rail{rail}", "cidr": f"10.10.{rail}.0/24"} for rail in range(RAILS)],
    {"t": Machine(nics(1), SERVICE), "h": Machine(nics(101))},
)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    made = Fabric(TOPOLOGY, tmp_path_factory.mktemp("fabric"))
    try:
        made.make()
        yield made
    finally:
        made.remove()


class Unit:
    """The unit of the host, and what it said since its start, each line with its time."""

    def __init__(self, fabric: Fabric, *slow: str) -> None:
        self._stream = fabric.start("h", WATCH, str(fabric.folder / "h"), json.dumps(fabric.plan("h")), *slow)
        self.process = fabric.started[-1]
        self._lines: queue.Queue[tuple[float, str]] = queue.Queue()
        self.said: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()
        while "as described" not in self.journal():
            time.sleep(0.05)

    def _read(self) -> None:
        for line in self._stream:
            self._lines.put((time.monotonic(), line.strip()))

    def journal(self) -> str:
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return "\n".join(line for _at, line in self.said)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def unit(fabric: Fabric) -> Iterator[Unit]:
    made = Unit(fabric)
    yield made
    print(made.journal())
    made.stop()


class Load:
    """Connections of the host that carry data all the time."""

    def __init__(self, fabric: Fabric, service: str = SERVICE) -> None:
        self._fabric = fabric
        fabric.start("h", HOLD, service, str(COUNT))
        self.process = fabric.started[-1]

    def look(self) -> dict[str, Any]:
        found = self._fabric.ask(self.process)
        assert found["errors"] == []
        return found

    def wait(self, wanted: list[str], seconds: float = HEALED) -> float:
        """Seconds until every connection had exactly these subflows that are alive."""
        start = time.monotonic()
        while True:
            flows = self.look()["flows"]
            if len(flows) == COUNT and all(of == wanted for of in flows.values()):
                return time.monotonic() - start
            assert time.monotonic() - start < seconds, f"not {wanted} within {seconds} s: {flows}"
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def load(fabric: Fabric) -> Iterator[Load]:
    made = Load(fabric)
    try:
        made.wait(ALL)
        yield made
    finally:
        made.stop()


def reset(fabric: Fabric, *rails: int) -> None:
    """What a middlebox does that forgot a connection."""
    for rail in rails:
        run("ip", "netns", "exec", f"{fabric.prefix}h", "ss", "-K", "src", ALL[rail], "dport", "4420")


def without(*rails: int) -> list[str]:
    return [address for rail, address in enumerate(ALL) if rail not in rails]


def moves(load: Load) -> None:
    """Data still flows on every connection: none of them waits for good."""
    before = load.look()["sent"]
    time.sleep(0.5)
    assert load.look()["sent"] > before


def test_without_the_unit_a_reset_subflow_stays_away(fabric: Fabric, load: Load) -> None:
    """What every other test here depends on; and the unit heals what it finds when it starts."""
    tokens = set(load.look()["flows"])
    reset(fabric, 1)
    load.wait(without(1))
    with pytest.raises(AssertionError, match="within 4 s"):
        load.wait(ALL, 4)
    unit = Unit(fabric)
    try:
        load.wait(ALL)
        assert set(load.look()["flows"]) == tokens
    finally:
        unit.stop()


@pytest.mark.parametrize("rails", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2)])
def test_reset_subflows_return(fabric: Fabric, load: Load, unit: Unit, rails: tuple[int, ...]) -> None:
    """Every choice of rails, so the one of the first subflow too; two of three are all but one."""
    tokens = set(load.look()["flows"])
    reset(fabric, *rails)
    print(f"rails {rails}: whole again after {load.wait(ALL):.1f} s")
    assert set(load.look()["flows"]) == tokens
    moves(load)
    while unit.journal().count("have their subflow again: its endpoint was added again 1 time(s)") < len(rails):
        time.sleep(0.1)
    assert unit.journal().count("adding its endpoint again") == len(rails), "each once, nothing else"


def test_a_rail_heals_while_every_other_part_of_the_machine_is_waited_for(
    fabric: Fabric, load: Load, unit: Unit
) -> None:
    """apt, nvmet and a connect to a peer that says nothing, each for as long as it likes."""
    tokens = set(load.look()["flows"])
    with another_holds(str(fabric.folder / "h/locks"), "kernel", "target", "intent", "host"):
        reset(fabric, 0, 1)
        load.wait(without(0, 1))
        print(f"whole again after {load.wait(ALL):.1f} s")
    assert set(load.look()["flows"]) == tokens
    assert "has the lock" not in unit.journal()


def cut(fabric: Fabric, how: str, rail: int) -> Callable[[], None]:
    """Cut a rail; how it is brought back."""
    down, up = {
        "no carrier": (f"link set hr{rail} down", f"link set hr{rail} up"),
        "silent": (f"link set tr{rail} nomaster", f"link set tr{rail} master b{1 + rail}"),
    }[how]
    fabric.ip("s", down)
    return lambda: fabric.ip("s", up) and None


def carried(fabric: Fabric, rail: int) -> int:
    """Bytes that the host has sent over a rail."""
    return int(run("ip", "netns", "exec", f"{fabric.prefix}h", "cat", f"/sys/class/net/r{rail}/statistics/tx_bytes"))


def test_tcp_recovers_a_rail_whose_far_end_was_silent(fabric: Fabric, load: Load, unit: Unit) -> None:
    tokens = set(load.look()["flows"])
    began = time.monotonic()
    back = cut(fabric, "silent", 1)
    time.sleep(6)
    moves(load)
    before = carried(fabric, 1)
    back()
    start = time.monotonic()
    # TCP doubles its time with each segment that is not answered, so it may wait as long again as it had waited.
    limit = start - began + HEALED
    while carried(fabric, 1) < before + 10**6:
        assert time.monotonic() - start < limit, "no data on the rail that is back"
        time.sleep(0.1)
    print(f"1 MB on the rail {time.monotonic() - start:.1f} s after it was back")
    load.wait(ALL)
    assert set(load.look()["flows"]) == tokens
    assert "adding its endpoint again" not in unit.journal()


def test_subflows_of_a_nic_without_carrier_are_closed_and_come_back_with_it(
    fabric: Fabric, load: Load, unit: Unit
) -> None:
    tokens = set(load.look()["flows"])
    back = cut(fabric, "no carrier", 1)
    print(f"closed after {load.wait(without(1)):.1f} s")
    moves(load)
    time.sleep(2)
    back()
    print(f"whole {load.wait(ALL):.1f} s after the NIC was back")
    assert set(load.look()["flows"]) == tokens
    start = time.monotonic()
    while "rail1: all 4 connections have their subflow again: its NIC is back" not in unit.journal():
        assert time.monotonic() - start < HEALED
        time.sleep(0.1)
    assert unit.journal().count("goes over the other rails") == 1
    assert "adding its endpoint again" not in unit.journal()


@pytest.mark.parametrize("how", ["no carrier", "silent"])
def test_a_rail_that_was_dead_at_connect_is_used_when_it_is_back(fabric: Fabric, unit: Unit, how: str) -> None:
    back = cut(fabric, how, 2)
    load = None
    try:
        if how == "silent":
            fabric.wait_until_silent("h", "10.10.2.1", "r2")
        load = Load(fabric)
        load.wait(without(2))
        time.sleep(3)
        back()
        print(f"{how}: whole {load.wait(ALL):.1f} s after the rail was back")
    finally:
        back()
        if load:
            load.stop()


def test_a_rail_that_stays_refused_is_tried_ever_less_often(fabric: Fabric, load: Load, unit: Unit) -> None:
    """The target takes no subflow; and the endpoint of somebody else is not touched meanwhile."""
    fabric.ip("h", "mptcp endpoint add 192.0.2.3 id 99 subflow dev mgmt")
    fabric.ip("t", "mptcp limits set subflows 0")
    try:
        reset(fabric, 1)
        load.wait(without(1))
        time.sleep(5)
        moves(load)
        assert unit.journal()
        tries = [at for at, line in unit.said if "adding its endpoint again" in line]
        assert len(tries) == 2
        assert tries[1] - tries[0] >= 2
    finally:
        fabric.converge("t")
    try:
        load.wait(ALL)
        endpoints = json.loads(fabric.ip("h", "-j mptcp endpoint show"))
        assert {"address": "192.0.2.3", "id": 99, "subflow": True, "dev": "mgmt"} in endpoints
    finally:
        fabric.ip("h", "mptcp endpoint delete id 99")


def test_nothing_is_added_again_that_is_a_connections_last_subflow(fabric: Fabric, unit: Unit) -> None:
    """One connection has rail 0 alone, another lacks just that: the rail waits until rail 1 and 2 are back."""
    first = Load(fabric)
    try:
        first.wait(ALL)
        backs = [cut(fabric, "silent", rail) for rail in (1, 2)]
        [token] = [int(token) for token in list(first.look()["flows"])[:1]]
        program = ["ss", "-Htn", "src", ALL[0], "dport", "4420"]
        ports = run("ip", "netns", "exec", f"{fabric.prefix}h", *program).splitlines()
        assert token
        assert len(ports) == COUNT
        one = ports[0].split()[3].rsplit(":", 1)[1]
        run("ip", "netns", "exec", f"{fabric.prefix}h", "ss", "-K", "src", ALL[0], "sport", one, "dport", "4420")
        time.sleep(4)
        assert "adding its endpoint again" not in unit.journal()
        for back in backs:
            back()
        first.wait(ALL)
    finally:
        first.stop()
        for rail in (1, 2):
            back = ["link", "set", f"tr{rail}", "master", f"b{1 + rail}"]
            subprocess.run(["ip", "-n", f"{fabric.prefix}s", *back], check=True)


def test_an_endpoint_that_another_program_deleted_comes_back(fabric: Fabric, load: Load, unit: Unit) -> None:
    fabric.ip("h", "mptcp endpoint delete id 2")
    load.wait(ALL)
    while "ip mptcp endpoint add 10.10.1.101 dev r1 id 2 subflow" not in unit.journal():
        time.sleep(0.1)
    assert len(json.loads(fabric.ip("h", "-j mptcp endpoint show"))) == RAILS


def test_a_fallback_is_told(fabric: Fabric) -> None:
    """The kernel tells of none, so the unit looks; here every second."""
    fabric.start("t", FALL_BACK, SERVICE)
    unit = Unit(fabric, "1")
    program = (
        f'import socket, time; one = socket.socket(2, 1, 262); one.connect(("{SERVICE}", 4421)); '
        'print("ready", flush=True)\nwhile True: one.sendall(b"hello"); one.recv(100); time.sleep(0.1)'
    )
    fabric.start("h", program)
    client = fabric.started[-1]
    try:
        start = time.monotonic()
        while "MPCapableFallbackSYNACK rose by 1: the peer answered" not in unit.journal():
            assert time.monotonic() - start < HEALED, unit.journal()
            time.sleep(0.1)
        assert unit.journal().count(f"the connection to {SERVICE}:4421 fell back to plain TCP") == 1
    finally:
        client.kill()
        unit.stop()


def test_every_rail_in_turn_with_ipv6(tmp_path: Path) -> None:
    """In the end no connection has a subflow that it began with."""
    rails = range(1, 3)
    addresses = [f"2001:db8:{rail}::101" for rail in rails]
    machines = {
        name: Machine({f"r{rail}": [(f"switch{rail}", f"2001:db8:{rail}::{number}/64")] for rail in rails}, service)
        for name, number, service in (("t", 1, "2001:db8:ff::1"), ("h", 101, ""))
    }
    networks = [{"name": f"rail{rail}", "cidr": f"2001:db8:{rail}::/64"} for rail in rails]
    fabric = Fabric(Topology(networks, machines), tmp_path)
    try:
        fabric.make()
        unit, load = Unit(fabric), Load(fabric, "2001:db8:ff::1")
        load.wait(addresses)
        tokens = set(load.look()["flows"])
        for address in (*addresses, addresses[0]):
            run("ip", "netns", "exec", f"{fabric.prefix}h", "ss", "-K", "src", f"[{address}]", "dport", "4420")
            time.sleep(0.2)
            load.wait(addresses)
        assert set(load.look()["flows"]) == tokens
        assert unit.journal().count("adding its endpoint again") == 3
    finally:
        fabric.remove()
