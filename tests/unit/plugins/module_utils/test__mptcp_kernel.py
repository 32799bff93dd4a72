# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan in this machine's own kernel: two network namespaces, a switch for each rail, sockets of Python.

Runs as root on a kernel with MPTCP; elsewhere it is skipped, and the scenario C(fabric) shows it in real machines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._mptcp_network import mptcp_plan

ROOT = Path(__file__).resolve().parents[4]
RAILS = 3
SERVICE = "10.10.255.1"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or not os.path.exists("/proc/sys/net/mptcp/enabled")
    or subprocess.run(["unshare", "--net", "ip", "link", "add", "type", "veth"], capture_output=True).returncode != 0,
    reason="needs root, MPTCP and veth",
)

CONVERGE = """
import json, sys
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _mptcp_converge, _state
folder, plan = sys.argv[1], json.loads(sys.argv[2])
for function in (_state.load, _state.save, _state.would_save, _state.owned, _state.own):
    function.__defaults__ = (folder,)
_state.lock.__wrapped__.__defaults__ = (folder + "/lock", 5.0)
print(json.dumps(_mptcp_converge.converge(plan)))
"""
WATCH = CONVERGE.replace(
    "print(json.dumps(_mptcp_converge.converge(plan)))",
    """
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _mptcp_watch
for line in _mptcp_watch.boot(plan):
    print(line, flush=True)
""",
)
SERVE = """
import socket
listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener.bind(("10.10.255.1", 4420)); listener.listen(); print("ready", flush=True)
kept = []
while True:
    kept.append(listener.accept()[0]); kept[-1].sendall(b"hello")
"""
CONNECT = """
import collections, json, socket, sys, time
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _sock_diag
kept = []
for _ in range(int(sys.argv[1])):
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); one.settimeout(5)
    one.connect(("10.10.255.1", 4420)); one.recv(5); one.sendall(b"hello"); kept.append(one)
time.sleep(0.5)
print(json.dumps([sorted(flow.local for flow in found.subflows if flow.established)
                  for found in _sock_diag.connections() if found.established]))
"""


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


class Fabric:
    """Namespaces t (target), h (host), s (switches), m (a network that is no rail); NICs are r0, r1, ... and mgmt."""

    def __init__(self, folder: Path) -> None:
        self.prefix = f"nvm{os.getpid()}"
        self.folder = folder
        self.served: list[subprocess.Popen[str]] = []
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}

    def ip(self, where: str, words: str) -> str:
        return run("ip", "-n", f"{self.prefix}{where}", *words.split())

    def make(self) -> None:
        for name in "thsm":
            run("ip", "netns", "add", f"{self.prefix}{name}")
            self.ip(name, "link set lo up")
        for at, name in enumerate("th"):
            (self.folder / name).mkdir()
            self.ip(name, f"link add mgmt type veth peer name p{name} netns {self.prefix}m")
            self.ip(name, f"address add 192.0.2.{4 * at + 2}/30 dev mgmt")
            self.ip("m", f"address add 192.0.2.{4 * at + 1}/30 dev p{name}")
            self.ip(name, "link set mgmt up")
            self.ip("m", f"link set p{name} up")
            self.ip(name, f"route add default via 192.0.2.{4 * at + 1}")
            for rail in range(RAILS):
                self.ip(name, f"link add r{rail} type veth peer name {name}{rail} netns {self.prefix}s")
                self.ip(name, f"address add 10.10.{rail}.{1 + 100 * at}/24 dev r{rail}")
                self.ip(name, f"link set r{rail} up")
        for rail in range(RAILS):
            self.ip("s", f"link add br{rail} type bridge")
            self.ip("s", f"link set br{rail} up")
            for name in "th":
                self.ip("s", f"link set {name}{rail} master br{rail}")
                self.ip("s", f"link set {name}{rail} up")

    def remove(self) -> None:
        for process in self.served:
            process.kill()
            process.wait()
        for name in "thsm":
            subprocess.run(["ip", "netns", "del", f"{self.prefix}{name}"], capture_output=True)

    def python(self, where: str, program: str, *words: str) -> Any:
        argv = ["ip", "netns", "exec", f"{self.prefix}{where}", sys.executable, "-c", program, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, env=self.environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def converge(self, where: str) -> Any:
        plan = mptcp_plan(NETWORKS, HOSTVARS, where, ["t"], ["h"])
        return self.python(where, CONVERGE, str(self.folder / where), json.dumps(plan))

    def start(self, where: str, program: str, *words: str) -> IO[str]:
        """Start a program that runs until the end; what it prints."""
        argv = ["ip", "netns", "exec", f"{self.prefix}{where}", sys.executable, "-c", program, *words]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=self.environment)
        self.served.append(process)
        assert process.stdout
        return process.stdout

    def serve(self) -> None:
        assert self.start("t", SERVE).readline() == "ready\n"

    def wait_until_neighbour_is_gone(self, rail: int) -> None:
        """Until the kernel noticed that nobody answers; it looks while something is sent, as a live subflow does."""
        send = f"import json, socket; socket.socket(type=2).sendto(b'', ('10.10.{rail}.1', 9)); print(json.dumps(0))"
        deadline = time.monotonic() + 15
        while True:
            found = json.loads(self.ip("h", f"-j neigh show 10.10.{rail}.1 dev r{rail}"))
            if found and found[0]["state"][0] in ("FAILED", "INCOMPLETE"):
                return
            assert time.monotonic() < deadline, f"the neighbour is still taken for alive: {found}"
            self.python("h", send)
            time.sleep(0.3)

    def connect(self, count: int) -> list[list[str]]:
        connections: list[list[str]] = self.python("h", CONNECT, str(count))
        return connections


NETWORKS = [{"name": f"rail{rail}", "cidr": f"10.10.{rail}.0/24"} for rail in range(RAILS)]
HOSTVARS: dict[str, Any] = {
    name: {
        "fabric_service_address": SERVICE,
        "fabric_rails": {
            f"rail{rail}": {"interface": f"r{rail}", "address": f"10.10.{rail}.{number}"} for rail in range(RAILS)
        },
    }
    for name, number in (("t", 1), ("h", 101))
}
ALL = [f"10.10.{rail}.101" for rail in range(RAILS)]


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    made = Fabric(tmp_path_factory.mktemp("fabric"))
    try:
        made.make()
        for name in "th":
            assert made.converge(name)["changed"]
        made.serve()
        yield made
    finally:
        made.remove()


def test_second_run_changes_nothing(fabric: Fabric) -> None:
    for name in "th":
        again = fabric.converge(name)
        assert (again["changed"], again["plan"], again["missing"]) == (False, [], [])


def test_every_connection_has_one_subflow_a_rail(fabric: Fabric) -> None:
    assert fabric.connect(6) == [ALL] * 6


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
        "no carrier": (("s", f"link set h{rail} down"), ("s", f"link set h{rail} up")),
        "far end silent": (("s", f"link set t{rail} nomaster"), ("s", f"link set t{rail} master br{rail}")),
    }[fault]
    fabric.ip(*down)
    try:
        if fault == "far end silent":
            fabric.wait_until_neighbour_is_gone(rail)
        assert fabric.connect(6) == [[address for address in ALL if address != f"10.10.{rail}.101"]] * 6
    finally:
        fabric.ip(*up)
        fabric.converge("h")
    assert fabric.connect(2) == [ALL] * 2


def test_unit_brings_back_what_the_kernel_dropped_with_the_nics(fabric: Fabric) -> None:
    """All rails down at once take every route along; an unplugged NIC takes the multipath route along."""
    plan = mptcp_plan(NETWORKS, HOSTVARS, "h", ["t"], ["h"])
    journal = fabric.start("h", WATCH, str(fabric.folder / "h"), json.dumps(plan))
    assert journal.readline() == "as described\n"
    for state in ("down", "up"):
        for rail in range(RAILS):
            fabric.ip("h", f"link set r{rail} {state}")
    while "every rail" not in (line := journal.readline()) and "metric 903" not in line:
        assert line
    time.sleep(1)
    assert fabric.converge("h")["plan"] == []
    assert fabric.connect(2) == [ALL] * 2


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
    fabric.ip("m", f"route add {SERVICE}/32 via 192.0.2.2")
    assert fabric.python("m", program) != 0
    assert fabric.python("h", program) == 0


def test_what_others_made_stays(fabric: Fabric) -> None:
    fabric.ip("h", "route add 203.0.113.0/24 via 192.0.2.5 proto static")
    fabric.ip("h", "rule add from 192.0.2.6 lookup main priority 7701")
    fabric.ip("h", "mptcp endpoint add 192.0.2.6 id 99 subflow dev mgmt")
    try:
        result = fabric.converge("h")
        assert (result["plan"], result["foreign_endpoints"]) == ([], ["192.0.2.6 dev mgmt subflow"])
        assert "203.0.113.0/24" in fabric.ip("h", "route")
        assert "from 192.0.2.6" in fabric.ip("h", "rule")
    finally:
        fabric.ip("h", "mptcp endpoint delete id 99")


def test_reset_subflow_of_each_rail_returns_when_its_endpoint_does(fabric: Fabric) -> None:
    """Room in the limits: the first subflow's replacement counts as an additional one."""
    fabric.start("h", CONNECT + "\ntime.sleep(60)", "1")
    time.sleep(3)
    for rail in range(RAILS):
        run("ip", "netns", "exec", f"{fabric.prefix}h", "ss", "-K", "src", f"10.10.{rail}.101", "dport", "4420")
        fabric.ip("h", f"mptcp endpoint delete id {rail + 1}")
        assert fabric.converge("h")["plan"] == [
            f"ip mptcp endpoint add 10.10.{rail}.101 dev r{rail} id {rail + 1} subflow"
        ]
        time.sleep(1)
        found = fabric.python("h", CONNECT, "0")
        assert found == [ALL], f"after rail {rail}"
