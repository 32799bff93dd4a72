# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric in network namespaces of this machine: its NICs, its switches and routers, and sockets of Python on it."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.actual import nic_facts
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.mptcp_network import mptcp_plan
from fabric_programs import CONNECT, CONVERGE, SERVE

ROOT = Path(__file__).resolve().parents[4]
#: Why this machine cannot make one, or empty.
UNABLE = (
    "needs root, MPTCP and veth"
    if os.geteuid() != 0
    or not os.path.exists("/proc/sys/net/mptcp/enabled")
    or subprocess.run(["unshare", "--net", "ip", "link", "add", "type", "veth"], capture_output=True).returncode != 0
    else ""
)
#: Two fabrics can be there at once.
_NUMBERS = itertools.count()


@dataclass
class Machine:
    """NICs by name as (switch, address with prefix length)."""

    nics: Mapping[str, Sequence[tuple[str, str]]]
    service: str = ""
    rails: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Topology:
    """Machines t... serve, machines h... connect. routers: by name (switch, address), joined by one routing table."""

    networks: list[dict[str, Any]]
    machines: dict[str, Machine]
    routers: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def switches(self) -> list[str]:
        """Every switch, in a stable order."""
        nics = [nic for machine in self.machines.values() for addresses in machine.nics.values() for nic in addresses]
        return sorted({"mgmt", *(switch for switch, _address in nics)})


def run(*words: str, text: str = "") -> str:
    """What a command prints; text is its standard input."""
    done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{words}: {done.stderr}{text}"
    return done.stdout


class Fabric:
    """A namespace for every machine and router, one for the switches (s), and NICs that are wired as told."""

    def __init__(self, topology: Topology, folder: Path) -> None:
        self.topology = topology
        self.folder = folder
        self.prefix = f"plan-{os.getpid()}-{next(_NUMBERS)}-"
        self.spaces = ["s", *topology.machines, *topology.routers]
        self.plans: dict[str, dict[str, Any]] = {}
        self.started: list[subprocess.Popen[str]] = []
        self.serving: dict[str, subprocess.Popen[str]] = {}
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}

    def ip(self, where: str, *commands: str) -> str:
        """Run commands of C(ip) in a namespace."""
        if len(commands) == 1:
            return run("ip", "-n", self.prefix + where, *commands[0].split())
        return run("ip", "-n", self.prefix + where, "-batch", "-", text="\n".join(commands))

    def sysctl(self, where: str, *settings: str) -> None:
        """Set sysctls in a namespace."""
        run("ip", "netns", "exec", self.prefix + where, "sysctl", "-qw", *settings)

    def make(self) -> None:
        """Make all of it, converge every machine, and serve."""
        for name in self.spaces:
            run("ip", "netns", "add", self.prefix + name)
        bridges = [f"link add b{number} type bridge" for number, _switch in enumerate(self.topology.switches)]
        up = [f"link set b{number} up" for number, _switch in enumerate(self.topology.switches)]
        self.ip("s", "link set lo up", *bridges, *up)
        for number, (name, machine) in enumerate(self.topology.machines.items(), start=2):
            (self.folder / name).mkdir()
            # A network that is no rail, with the default route: where data must never go.
            nics = {"mgmt": [("mgmt", f"192.0.2.{number}/24"), ("mgmt", f"2001:db8:face::{number}/64")], **machine.nics}
            self._wire(name, nics, ["192.0.2.1 dev mgmt", "2001:db8:face::1 dev mgmt"])
        for name, router in self.topology.routers.items():
            self._wire(name, {f"g{number}": [wire] for number, wire in enumerate(router["nics"])}, [])
            self.sysctl(name, "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            self.ip(name, *(f"route add {route}" for route in router["routes"]))
        for name in self.topology.machines:
            assert self.converge(name)["missing"] == []
        for name, machine in self.topology.machines.items():
            if machine.service:
                self.start(name, SERVE, machine.service)

    def _wire(self, name: str, nics: Mapping[str, Sequence[tuple[str, str]]], gateways: Sequence[str]) -> None:
        inside, outside = ["link set lo up"], []
        for nic, addresses in nics.items():
            port = f"{name}{nic}"
            switch = self.topology.switches.index(addresses[0][0])
            inside.append(f"link add {nic} type veth peer name {port} netns {self.prefix}s")
            outside += [f"link set {port} master b{switch}", f"link set {port} up"]
            inside += [f"address add {one} dev {nic}{' nodad' if ':' in one else ''}" for _switch, one in addresses]
            inside.append(f"link set {nic} up")
        self.ip(name, *inside, *(f"route add default via {gateway}" for gateway in gateways))
        self.ip("s", *outside)
        # What a manager of NICs does, so that a NIC that was down has its addresses again.
        self.sysctl(name, *(f"net.ipv6.conf.{nic}.keep_addr_on_down=1" for nic in nics))

    def remove(self) -> None:
        """Leave nothing behind."""
        for process in self.started:
            process.kill()
            process.wait()
        for name in self.spaces:
            subprocess.run(["ip", "netns", "del", self.prefix + name], capture_output=True)

    def argv(self, where: str, program: str, *words: str) -> list[str]:
        """A Python program in a namespace."""
        return ["ip", "netns", "exec", self.prefix + where, sys.executable, "-c", program, *words]

    def python(self, where: str, program: str, *words: str) -> Any:
        """What a Python program in a namespace prints as JSON."""
        argv = self.argv(where, program, *words)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, env=self.environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def plan(self, where: str) -> dict[str, Any]:
        """The plan of a machine, from the facts that the namespaces gave at first."""
        if not self.plans:
            self.plans = self._plans()
        return self.plans[where]

    def _plans(self) -> dict[str, Any]:
        hostvars = {
            name: {
                "ansible_facts": nic_facts(json.loads(self.ip(name, "-j -N address show"))),
                "fabric_rails": machine.rails,
                "fabric_service_address": machine.service,
            }
            for name, machine in self.topology.machines.items()
        }
        targets = [name for name, machine in self.topology.machines.items() if machine.service]
        hosts = [name for name in self.topology.machines if name not in targets]
        return {name: mptcp_plan(self.topology.networks, hostvars, name, targets, hosts) for name in hostvars}

    def converge(self, where: str) -> Any:
        """Bring a machine to its plan."""
        return self.python(where, CONVERGE, str(self.folder / where), json.dumps(self.plan(where)))

    def wait_until_as_planned(self, where: str, longest: float = 15.0) -> None:
        """Look, and change nothing, until a machine is as planned."""
        ends = time.monotonic() + longest
        while left := self.python(where, CONVERGE, str(self.folder / where), json.dumps(self.plan(where)), "check")[
            "plan"
        ]:
            assert time.monotonic() < ends, left

    def start(self, where: str, program: str, *words: str) -> IO[str]:
        """Start a program that runs until the end; what it prints after its first line."""
        process = subprocess.Popen(
            self.argv(where, program, *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.started.append(process)
        self.serving.setdefault(where, process)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process.stdout

    def ask(self, process: subprocess.Popen[str]) -> Any:
        """What a program answers to a line on its standard input."""
        assert process.stdin
        assert process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    def sent(self, target: str) -> list[tuple[str, str]]:
        """(NIC, address) of what a target has sent since this was asked last."""
        return [(nic, address) for nic, address in self.ask(self.serving[target])]

    def connect(self, host: str, service: str, count: int, flows: int) -> list[list[tuple[str, bool]]]:
        """(local address, backup) of every subflow of new connections; waits a while for so many flows of each."""
        found = self.python(host, CONNECT, service, str(count), str(flows))
        return [[(local, backup) for local, backup in connection] for connection in found]

    def wait_until_silent(self, host: str, via: str, dev: str) -> None:
        """Until a host has noticed that nobody answers; it looks while something is sent, as a live subflow does."""
        family = "AF_INET6" if ":" in via else "AF_INET"
        send = (
            f"import json, socket; one = socket.socket(socket.{family}, socket.SOCK_DGRAM); "
            f"one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'{dev}'); one.sendto(b'', ('{via}', 9)); "
            "print(json.dumps(0))"
        )
        deadline = time.monotonic() + 15
        while True:
            found = json.loads(self.ip(host, f"-j neigh show {via} dev {dev}"))
            if found and found[0]["state"][0] in ("FAILED", "INCOMPLETE"):
                return
            assert time.monotonic() < deadline, f"the neighbour is still taken for alive: {found}"
            self.python(host, send)
            time.sleep(0.3)
