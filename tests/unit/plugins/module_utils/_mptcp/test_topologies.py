# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plans in this machine's own kernel: one subflow for each rail, no cross pair, and new connections beside a dead rail.

Runs as root on a kernel with MPTCP and is skipped elsewhere. The topology with one IPv4 network for each rail is in
_mptcp/test_kernel.py.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from fabric_in_namespaces import UNABLE, Fabric, Machine, Topology
from fabric_programs import WATCH

pytestmark = pytest.mark.skipif(bool(UNABLE), reason=UNABLE)

V4, V6 = "10.10.255.1", "2001:db8:ff::1"
Address = Callable[[int, int], str]


def ipv4(rail: int, number: int) -> str:
    return f"10.10.{rail}.{number}/24"


def ipv6(rail: int, number: int) -> str:
    return f"2001:db8:{rail}::{number}/64"


def ipv4_together(rail: int, number: int) -> str:
    return f"10.10.0.{number + rail}/24"


def ipv6_together(rail: int, number: int) -> str:
    return f"2001:db8::{number + rail}/64"


def networks(count: int, address: Address) -> list[dict[str, object]]:
    cidrs = [address(0 if address in (ipv4_together, ipv6_together) else rail, 0) for rail in range(count)]
    return [{"name": f"rail{rail}", "cidr": cidr.replace("::0/", "::/")} for rail, cidr in enumerate(cidrs)]


def nics(rails: range, number: int, *addresses: Address) -> dict[str, list[tuple[str, str]]]:
    """NIC rN in rail N; rails of one network share a switch."""
    together = addresses[0] in (ipv4_together, ipv6_together)
    return {
        f"r{rail}": [(f"switch{0 if together else rail}", address(rail, number)) for address in addresses]
        for rail in rails
    }


def plain(count: int, address: Address) -> Topology:
    target = Machine(nics(range(count), 1, address), V6 if ":" in address(0, 0) else V4)
    return Topology(networks(count, address), {"t": target, "h": Machine(nics(range(count), 101, address))})


def fewer(who: str, address: Address) -> Topology:
    """One machine has no NIC in the last two rails of four."""
    made = plain(4, address)
    machine = made.machines[who]
    del machine.nics["r2"], machine.nics["r3"]
    machine.rails = {"rail2": "absent", "rail3": "absent"}
    return made


def with_backup(address: Address) -> Topology:
    made = plain(3, address)
    made.networks[0]["backup"] = True
    return made


def dual_stack() -> Topology:
    both = range(2)
    rails = [*networks(2, ipv4), *({**rail, "name": f"{rail['name']}v6"} for rail in networks(2, ipv6))]
    machines = {"t": Machine(nics(both, 1, ipv4, ipv6), V4), "t2": Machine(nics(both, 2, ipv4, ipv6), V6)}
    return Topology(rails, {**machines, "h": Machine(nics(both, 101, ipv4, ipv6))})


def routed(count: int, side: Callable[[int, int], tuple[str, str]], service: str) -> Topology:
    """The target is in one subnet of each rail and the host in the other; side: (start of addresses, length)."""
    rails, routers = [], {}
    target, host = Machine({}, service), Machine({})
    for rail in range(count):
        (near, length), (far, _) = side(0, rail), side(1, rail)
        subnets = [
            {"cidr": f"{start}0/{length}".replace("::0/", "::/"), "gateway": f"{start}9"} for start in (near, far)
        ]
        rails.append({"name": f"rail{rail}", "subnets": subnets})
        target.nics[f"r{rail}"] = [(f"near{rail}", f"{near}1/{length}")]
        host.nics[f"r{rail}"] = [(f"far{rail}", f"{far}101/{length}")]
        wires = [(f"near{rail}", f"{near}9/{length}"), (f"far{rail}", f"{far}9/{length}")]
        routers[f"g{rail}"] = {"nics": wires, "routes": [f"{service} via {near}1"]}
    return Topology(rails, {"t": target, "h": host}, routers)


TOPOLOGIES = {
    "IPv6": plain(3, ipv6),
    "one network": plain(3, ipv4_together),
    "one IPv6 network": plain(3, ipv6_together),
    "a host in 2 rails of 4": fewer("h", ipv4),
    "a target in 2 IPv6 rails of 4": fewer("t", ipv6),
    "a backup rail": with_backup(ipv4),
    "dual stack": dual_stack(),
    "routed IPv6": routed(2, lambda side, rail: (f"2001:db8:{side}{rail}::", "64"), V6),
}


@pytest.fixture(scope="module", params=TOPOLOGIES)
def fabric(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    made = Fabric(TOPOLOGIES[request.param], tmp_path_factory.mktemp("fabric"))
    try:
        made.make()
        yield made
    finally:
        made.remove()


def targets(fabric: Fabric) -> list[tuple[str, str]]:
    return [(name, machine.service) for name, machine in fabric.topology.machines.items() if machine.service]


def expected(fabric: Fabric, target: str) -> dict[str, tuple[str, bool]]:
    """The subflow of each rail that a connection to a target has, by the host's NIC."""
    service = fabric.topology.machines[target].service
    there = {rail["name"] for rail in fabric.plan(target)["rails"]}
    backups = {rail["name"] for rail in fabric.topology.networks if rail.get("backup")}
    return {
        rail["interface"]: (rail["address"], rail["name"] in backups)
        for rail in fabric.plan("h")["rails"]
        if rail["name"] in there and (":" in rail["address"]) == (":" in service)
    }


def check(fabric: Fabric, target: str, without: str = "") -> None:
    """New connections have exactly one subflow on each rail but one, and what is answered leaves by the right NIC."""
    flows = expected(fabric, target)
    fabric.sent(target)
    wanted = sorted(flow for nic, flow in flows.items() if nic != without)
    assert fabric.connect("h", fabric.topology.machines[target].service, 6, len(wanted)) == [wanted] * 6
    nics = {address: nic for nic, (address, _backup) in flows.items()}
    left = {(nic, address) for nic, address in fabric.sent(target) if address in nics}
    assert {address for _nic, address in left} >= {address for address, _backup in wanted}
    assert [pair for pair in left if nics[pair[1]] != pair[0]] == []


def test_every_connection_has_one_subflow_a_rail(fabric: Fabric) -> None:
    for target, _service in targets(fabric):
        check(fabric, target)


def test_second_run_changes_nothing(fabric: Fabric) -> None:
    for name in fabric.topology.machines:
        again = fabric.converge(name)
        assert (again["changed"], again["plan"], again["missing"]) == (False, [], [])


@pytest.mark.parametrize("rail", range(3))
def test_connecting_works_with_any_rail_dead(fabric: Fabric, rail: int) -> None:
    nic = f"r{rail}"
    for target, _service in targets(fabric):
        if nic not in expected(fabric, target):
            continue
        fabric.ip("s", f"link set h{nic} down")
        try:
            check(fabric, target, without=nic)
        finally:
            fabric.ip("s", f"link set h{nic} up")
            fabric.converge("h")


def test_connecting_works_when_a_far_end_in_one_network_is_silent(fabric: Fabric) -> None:
    if fabric.topology is not TOPOLOGIES["one network"]:
        pytest.skip("the next test has IPv6 and routers; with a network for each rail it is in _mptcp/test_kernel.py")
    fabric.ip("s", "link set tr1 nomaster")
    try:
        fabric.wait_until_silent("h", "10.10.0.2", "r1")
        check(fabric, "t", without="r1")
    finally:
        fabric.ip("s", "link set tr1 master b1")


def test_unit_leaves_out_a_rail_whose_far_end_is_silent(fabric: Fabric) -> None:
    """The kernel does not: without the unit, some of so many connections begin on that rail and time out."""
    if fabric.topology not in (TOPOLOGIES["IPv6"], TOPOLOGIES["routed IPv6"]):
        pytest.skip("one network for each rail and a router, each with IPv6, are the ways that differ")
    journal = fabric.start("h", WATCH, str(fabric.folder / "h"), json.dumps(fabric.plan("h")), "1")
    assert journal.readline() == "as described\n"
    port = fabric.topology.switches.index(fabric.topology.machines["t"].nics["r1"][0][0])
    fabric.ip("s", "link set tr1 nomaster")
    try:
        while "rail1: 2001:db8:ff::1 does not answer" not in (line := journal.readline()):
            assert line
        assert "route replace" in journal.readline()
        check(fabric, "t", without="r1")
    finally:
        fabric.ip("s", f"link set tr1 master b{port}")
    while "rail1: 2001:db8:ff::1 answers over it again" not in (line := journal.readline()):
        assert line
    assert "route replace" in journal.readline()
    assert fabric.converge("h")["plan"] == []
    check(fabric, "t")


STAY = """
import collections, json, socket, subprocess, sys, threading, time
address, route, wanted, seen = sys.argv[1], sys.argv[2].split(), int(sys.argv[3]), set()
kept = [socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 262) for _ in range(6)]
for one in kept:
    one.settimeout(5); one.connect((address, 4420)); one.sendall(b"hello")
def watch():
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    while True:
        data, (nic, _, kind, *_) = packets.recvfrom(100)
        if kind == socket.PACKET_OUTGOING and data[12] in (0x86, 8) and data[13] in (0xdd, 0):
            family, at, protocol = (10, 22, data[20]) if data[12] == 0x86 else (2, 26, data[23])
            if protocol == 6:
                seen.add((nic, socket.inet_ntop(family, data[at : at + (16 if family == 10 else 4)])))
time.sleep(0.2)
threading.Thread(target=watch, daemon=True).start()
# A busy machine does not show every packet: on until each rail was seen.
for number in range(60):
    if number >= 6 and len({at for _, at in list(seen)}) >= wanted:
        break
    subprocess.run(["ip", "route", "replace", *route], check=True)
    for one in kept:
        one.sendall(bytes(200000))
    time.sleep(0.05)
print(json.dumps(sorted(seen)))
"""


def test_a_subflow_stays_on_its_rail_when_the_route_changes(fabric: Fabric) -> None:
    """Without its rules and tables, an IPv6 host fails here."""
    if fabric.topology not in (TOPOLOGIES["IPv6"], TOPOLOGIES["one network"]):
        pytest.skip("nothing in this topology changes it")
    for target, service in targets(fabric):
        flows = expected(fabric, target)
        found = [route for route in fabric.plan("h")["routes"] if route["dst"].split("/")[0] == service]
        devices = {rail["name"]: rail["interface"] for rail in fabric.plan("h")["rails"]}
        hops = [f"nexthop via {hop['via']} dev {devices[hop['rail']]}" for hop in found[0]["nexthops"]]
        wanted = {address for address, backup in flows.values() if not backup}
        route = f"{found[0]['dst']} metric 900 proto 77 {' '.join(hops)}"
        seen = fabric.python("h", STAY, service, route, str(len(wanted)))
        assert {address for _nic, address in seen} >= wanted
        assert [(nic, address) for nic, address in seen if flows.get(nic, ("",))[0] != address] == []


def test_unit_brings_back_what_the_kernel_dropped_with_an_ipv6_address(fabric: Fabric) -> None:
    if fabric.topology is not TOPOLOGIES["IPv6"]:
        pytest.skip("once is enough; IPv4 is in _mptcp/test_kernel.py")
    journal = fabric.start("h", WATCH, str(fabric.folder / "h"), json.dumps(fabric.plan("h")))
    assert journal.readline() == "as described\n"
    fabric.ip("h", "address del 2001:db8:1::101/64 dev r1")
    while "not usable" not in (line := journal.readline()):
        assert line
    fabric.ip("h", "address add 2001:db8:1::101/64 dev r1")
    # What comes back depends on whether the rail was found silent before its address was missed.
    while "every rail" not in (line := journal.readline()) and "dev r1" not in line:
        assert line
    time.sleep(1)
    assert fabric.converge("h")["plan"] == []
    check(fabric, "t")


def test_data_never_leaves_by_the_management_nic(fabric: Fabric) -> None:
    """Last, because a NIC that was down takes routes along."""
    for name, machine in fabric.topology.machines.items():
        for nic in machine.nics:
            fabric.ip(name, f"link set {nic} down")
        if machine.service:
            ends = [(address, machine.service) for address, _backup in expected(fabric, name).values()]
        else:
            ends = [(service, "") for _target, service in targets(fabric)]
        for destination, source in ends:
            words = ["route", "get", destination, *(["from", source] if source else [])]
            found = subprocess.run(["ip", "-n", fabric.prefix + name, *words], capture_output=True, text=True)
            assert found.returncode != 0, f"{name}: {found.stdout}"
        away = json.loads(fabric.ip(name, "-j route get 203.0.113.1"))
        assert away[0]["dev"] == "mgmt"
