# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan in this machine's own kernel: two network namespaces, a switch for each rail, sockets of Python.

Runs as root on a kernel with MPTCP; elsewhere it is skipped, and the scenario C(fabric) shows it in real machines.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from typing import IO

import pytest
from fabric_in_namespaces import UNABLE, Fabric, Machine, Topology, run
from fabric_programs import CONNECT, WATCH

RAILS = 3
SERVICE = "10.10.255.1"

pytestmark = pytest.mark.skipif(bool(UNABLE), reason=UNABLE)


def nics(number: int) -> dict[str, list[tuple[str, str]]]:
    return {f"r{rail}": [(f"switch{rail}", f"10.10.{rail}.{number}/24")] for rail in range(RAILS)}


TOPOLOGY = Topology(
    [{"name": f"rail{rail}", "cidr": f"10.10.{rail}.0/24"} for rail in range(RAILS)],
    {"t": Machine(nics(1), SERVICE), "h": Machine(nics(101))},
)
ALL = [f"10.10.{rail}.101" for rail in range(RAILS)]


def connect(fabric: Fabric, count: int, flows: int = RAILS) -> list[list[str]]:
    return [[local for local, _backup in one] for one in fabric.connect("h", SERVICE, count, flows)]


@contextlib.contextmanager
def unit(fabric: Fabric, name: str, program: str = WATCH) -> Iterator[IO[str]]:
    """What the unit of a machine says once the network is as described; it ends before the next test."""
    journal = fabric.start(name, program, str(fabric.folder / name), json.dumps(fabric.plan(name)))
    process = fabric.started[-1]
    try:
        while (line := journal.readline()) != "as described\n":
            assert line
        yield journal
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    made = Fabric(TOPOLOGY, tmp_path_factory.mktemp("fabric"))
    try:
        made.make()
        yield made
    finally:
        made.remove()


def test_second_run_changes_nothing(fabric: Fabric) -> None:
    for name in "th":
        again = fabric.converge(name)
        assert (again["changed"], again["plan"], again["missing"]) == (False, [], [])


def test_every_connection_has_one_subflow_a_rail(fabric: Fabric) -> None:
    assert connect(fabric, 6) == [ALL] * 6


@pytest.mark.parametrize(
    ("fault", "rail"),
    [
        *(("NIC down", rail) for rail in range(RAILS)),
        *(("no carrier", rail) for rail in range(RAILS)),
        ("far end silent", 1),
    ],
)
def test_connecting_works_with_any_rail_dead(fabric: Fabric, fault: str, rail: int) -> None:
    down, up = {
        "NIC down": (("h", f"link set r{rail} down"), ("h", f"link set r{rail} up")),
        "no carrier": (("s", f"link set hr{rail} down"), ("s", f"link set hr{rail} up")),
        "far end silent": (("s", f"link set tr{rail} nomaster"), ("s", f"link set tr{rail} master b{1 + rail}")),
    }[fault]
    fabric.ip(*down)
    try:
        if fault == "far end silent":
            fabric.wait_until_silent("h", f"10.10.{rail}.1", f"r{rail}")
        assert connect(fabric, 6, RAILS - 1) == [[address for address in ALL if address != f"10.10.{rail}.101"]] * 6
    finally:
        fabric.ip(*up)
        fabric.converge("h")
    assert connect(fabric, 2) == [ALL] * 2


def test_unit_brings_back_what_the_kernel_dropped_with_the_nics(fabric: Fabric) -> None:
    """All rails down at once take every route along; an unplugged NIC takes the multipath route along."""
    with unit(fabric, "h") as journal:
        for state in ("down", "up"):
            for rail in range(RAILS):
                fabric.ip("h", f"link set r{rail} {state}")
        while "every rail" not in (line := journal.readline()) and "metric 903" not in line:
            assert line
        # A rail whose next hop did not answer at once gets its share of the route when it does.
        fabric.wait_until_as_planned("h")
        assert connect(fabric, 2) == [ALL] * 2


# Says each time that it converges.
COUNTED = WATCH.replace(
    'print("ready", flush=True)',
    """
silent = converge.converge
def counted(*arguments, **options):
    print("converge", flush=True)
    return silent(*arguments, **options)
converge.converge = counted
print("ready", flush=True)""",
)


@pytest.mark.parametrize(
    ("name", "command", "back"),
    [
        (
            "h",
            "route del 10.10.255.1/32 metric 902",
            "ip route add 10.10.255.1/32 metric 902 proto 77 via 10.10.1.1 dev r1",
        ),
        ("h", "route flush proto 77", "ip route add blackhole 10.10.0.0/24 metric 4294967295 proto 77"),
        ("t", "rule del priority 7799", "ip rule add from 10.10.255.1/32 prohibit priority 7799 protocol 77"),
    ],
)
def test_what_somebody_deletes_is_back_at_once_and_wakes_the_unit_once(
    fabric: Fabric, name: str, command: str, back: str
) -> None:
    with unit(fabric, name, COUNTED) as journal:
        fabric.ip(name, command)
        assert journal.readline() == "converge\n"
        assert journal.readline().strip() == back
        fabric.wait_until_as_planned(name)
        time.sleep(2)
        fabric.ip(name, "route add 203.0.113.0/24 via 192.0.2.1 proto static", "route del 203.0.113.0/24 proto static")
        # The next that wakes it, so that there is something to wait for.
        fabric.ip(name, "link set mgmt mtu 1400", "link set mgmt mtu 1500")
        said = [journal.readline().strip()]
        while said[-1] != "converge":
            said.append(journal.readline().strip())
        assert all(line.startswith("ip route add") for line in said[:-1]), said


def test_data_never_leaves_by_the_management_nic(fabric: Fabric) -> None:
    for name, destinations in (("h", ["10.10.1.1", SERVICE]), ("t", ["10.10.1.101"])):
        for rail in range(RAILS):
            fabric.ip(name, f"link set r{rail} down")
        try:
            for destination in destinations:
                route = ["ip", "-n", f"{fabric.prefix}{name}", "route", "get", destination]
                assert subprocess.run(route, capture_output=True).returncode != 0, destination
        finally:
            for rail in range(RAILS):
                fabric.ip(name, f"link set r{rail} up")
            fabric.converge(name)


def test_target_cannot_be_reached_through_the_management_nic(fabric: Fabric) -> None:
    program = (
        "import json, socket; one = socket.socket(); one.settimeout(2); "
        "print(json.dumps(one.connect_ex(('10.10.255.1', 4420))))"
    )
    # A way there through the target's management NIC, which comes before the host's own over the rails.
    for command in (f"route add {SERVICE}/32 via 192.0.2.2 table 99", f"rule add to {SERVICE} lookup 99 priority 1"):
        fabric.ip("h", command)
    try:
        assert fabric.python("h", program) != 0
        fabric.ip("t", "rule del priority 7799")
        assert fabric.python("h", program) == 0, "nothing but the rule keeps it from answering"
    finally:
        fabric.ip("h", "rule del priority 1")
        fabric.converge("t")
    assert fabric.python("h", program) == 0


def test_what_others_made_stays(fabric: Fabric) -> None:
    fabric.ip("h", "route add 203.0.113.0/24 via 192.0.2.1 proto static")
    fabric.ip("h", "rule add from 192.0.2.3 lookup main priority 7701")
    fabric.ip("h", "mptcp endpoint add 192.0.2.3 id 99 subflow dev mgmt")
    try:
        result = fabric.converge("h")
        assert (result["plan"], result["foreign_endpoints"]) == ([], ["192.0.2.3 dev mgmt subflow"])
        assert "203.0.113.0/24" in fabric.ip("h", "route")
        assert "from 192.0.2.3" in fabric.ip("h", "rule")
    finally:
        fabric.ip("h", "mptcp endpoint delete id 99")


def test_table_of_endpoints_that_others_fill_is_refused_before_anything_is_changed(fabric: Fabric) -> None:
    """Nine where the kernel takes eight; one that takes more is not asked to refuse them."""
    probe = [f"mptcp endpoint add 127.0.0.{number} subflow" for number in range(1, 10)]
    argv = ["unshare", "--net", "ip", "-batch", "-"]
    if subprocess.run(argv, input="\n".join(probe), capture_output=True, text=True).returncode == 0:
        pytest.skip("this kernel takes more than eight endpoints")
    others = [f"mptcp endpoint add 192.0.2.{number} id {number} subflow dev mgmt" for number in range(4, 9)]
    fabric.ip("h", "mptcp endpoint delete id 3", "route del 10.10.255.1/32 metric 902 proto 77", *others)
    before = [fabric.ip("h", f"-j {what}") for what in ("mptcp endpoint show", "route show table all")]
    try:
        fabric.ip("h", "mptcp endpoint add 192.0.2.99 id 99 subflow dev mgmt")
        with pytest.raises(AssertionError, match=r"TooManyEndpoints: 9 MPTCP endpoints are needed at once"):
            fabric.converge("h")
        fabric.ip("h", "mptcp endpoint delete id 99")
        assert [fabric.ip("h", f"-j {what}") for what in ("mptcp endpoint show", "route show table all")] == before
        assert fabric.converge("h")["plan"][-1].startswith("ip mptcp endpoint add 10.10.2.101 dev r2 id 3")
    finally:
        for number in range(4, 9):
            fabric.ip("h", f"mptcp endpoint delete id {number}")


def test_reset_subflow_of_each_rail_returns_when_its_endpoint_does(fabric: Fabric) -> None:
    """Room in the limits: the first subflow's replacement counts as an additional one."""
    fabric.start(
        "h", 'print("ready", flush=True)\n' + CONNECT + "\ntime.sleep(60)", SERVICE, "1", str(RAILS)
    ).readline()
    for rail in range(RAILS):
        run("ip", "netns", "exec", f"{fabric.prefix}h", "ss", "-K", "src", f"10.10.{rail}.101", "dport", "4420")
        fabric.ip("h", f"mptcp endpoint delete id {rail + 1}")
        assert fabric.converge("h")["plan"] == [
            f"ip mptcp endpoint add 10.10.{rail}.101 dev r{rail} id {rail + 1} subflow"
        ]
        time.sleep(1)
        assert connect(fabric, 0) == [ALL], f"after rail {rail}"
