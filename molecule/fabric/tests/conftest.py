# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines of the scenario, reached as ssh reaches them: no Ansible between a test and the kernel."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest
import testinfra
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
LAB_DIR = Path(os.environ["LAB_DIR"])
RAILS = ("rail0", "rail1", "rail2", "rail3")
NQN = "nqn.2026-11.org.example:vol0"
PORT = 4420
DEVICE = "/dev/nvme0n1"


def connect(name: str) -> Host:
    return testinfra.get_host(f"ssh://{name}", ssh_config=str(LAB_DIR / "ssh_config"))


@pytest.fixture(scope="session")
def target() -> Host:
    return connect("target1")


@pytest.fixture(scope="session")
def initiator() -> Host:
    return connect("host1")


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
        machine.check_output("systemd-run --on-active=1 systemctl reboot")

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


def subflows(machine: Host) -> dict[str, list[str]]:
    """Token of each MPTCP connection to the port -> local addresses of its established subflows."""
    found: dict[str, list[str]] = {}
    for line in machine.check_output(f"ss -Htni state established dport = :{PORT}").splitlines():
        # A socket is a line; what belongs to it follows indented.
        if not line.startswith((" ", "\t")):
            # A subflow that an endpoint opened is bound to its NIC: 10.10.1.101%rail1:40000.
            local = line.split()[2].rsplit(":", 1)[0].partition("%")[0]
        for word in line.split():
            if word.startswith("tcp-ulp-mptcp"):
                # token:REMOTE(id:0)/LOCAL(id:0); the first subflow shows no remote one.
                token = line.split("token:")[1].split("/")[1].split("(")[0]
                found.setdefault(token, []).append(local)
    return found


def queues(machine: Host) -> int:
    """Queues of the controller, the admin queue among them."""
    return int(machine.check_output("cat /sys/class/nvme/nvme*/queue_count"))


def namespace_is_served(machine: Host) -> bool:
    """the namespace is on the host, and every queue's connection has one subflow a rail"""
    if machine.run(f"grep -qx {NQN} /sys/class/nvme-subsystem/*/subsysnqn && test -b {DEVICE}").failed:
        return False
    connections = subflows(machine)
    return len(connections) == queues(machine) and all(len(set(of)) == len(RAILS) for of in connections.values())


def playbook(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook on the scenario's inventory and keep what it printed."""
    command = ["ansible-playbook", "--inventory", str(ROOT / "inventories/lab"), *arguments]
    settings = {**os.environ, "LAB_DIR": str(LAB_DIR), "ANSIBLE_NOCOLOR": "1", **(env or {})}
    result = subprocess.run(command, cwd=ROOT, env=settings, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return result


def counters(machine: Host) -> dict[str, int]:
    """The kernel's MPTCP counters."""
    return json.loads(machine.check_output("nstat -jzas 'MPTcpExt*'"))["kernel"]


def rail_bytes(machine: Host, direction: str) -> dict[str, int]:
    """Bytes that each rail's NIC has carried."""
    files = " ".join(f"/sys/class/net/{rail}/statistics/{direction}_bytes" for rail in RAILS)
    return dict(zip(RAILS, map(int, machine.check_output(f"cat {files}").split())))
