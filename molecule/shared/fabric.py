# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric of inventories/lab: what is deployed on its target and its host, as the kernel and the playbooks tell."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from machines import LAB_DIR, ROOT, connect
from testinfra.host import Host

sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import namespace_identifiers

RAILS = ("rail0", "rail1", "rail2", "rail3")
NQN = "nqn.2026-11.org.example:vol0"
PORT = 4420
DEVICE = f"/dev/disk/by-id/nvme-uuid.{namespace_identifiers(NQN, 1)['uuid']}"
_FIO = "/var/tmp/io.json"


@pytest.fixture(scope="session")
def target() -> Host:
    return connect("target1")


@pytest.fixture(scope="session")
def initiator() -> Host:
    return connect("host1")


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
    """Queues of all controllers, their admin queues and the discovery controller's among them."""
    return sum(map(int, machine.check_output("cat /sys/class/nvme/nvme*/queue_count").split()))


def every(machine: Host, attribute: str) -> set[str]:
    """What an attribute says of the controllers."""
    return set(machine.check_output(f"cat /sys/class/nvme/nvme*/{attribute}").split())


def namespace_is_served(machine: Host) -> bool:
    """the namespace is on the host, and every queue's connection has one subflow a rail"""
    if machine.run(f"grep -qx {NQN} /sys/class/nvme-subsystem/*/subsysnqn && test -b {DEVICE}").failed:
        return False
    connections = subflows(machine)
    return len(connections) == queues(machine) and all(len(set(of)) == len(RAILS) for of in connections.values())


def playbook(*arguments: str, env: dict[str, str] | None = None, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook of a tree of the collection on the scenario's inventory and keep what it printed."""
    command = ["ansible-playbook", "--inventory", str(ROOT / "inventories/lab"), *arguments]
    own = {"ANSIBLE_CONFIG": str(tree / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(tree / "collections")}
    settings = {**os.environ, "LAB_DIR": str(LAB_DIR), **own, **(env or {})}
    result = subprocess.run(command, cwd=tree, env=settings, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return result


def counters(machine: Host) -> dict[str, int]:
    """The kernel's MPTCP counters."""
    return json.loads(machine.check_output("nstat -jzas 'MPTcpExt*'"))["kernel"]


def rail_bytes(machine: Host, direction: str) -> dict[str, int]:
    """Bytes that each rail's NIC has carried."""
    files = " ".join(f"/sys/class/net/{rail}/statistics/{direction}_bytes" for rail in RAILS)
    return dict(zip(RAILS, map(int, machine.check_output(f"cat {files}").split())))


def identity(initiator: Host) -> tuple[str, frozenset[str]]:
    """What a reconnect would change: the controller's cntlid and the tokens of its connections."""
    return initiator.check_output("cat /sys/class/nvme/nvme*/cntlid"), frozenset(subflows(initiator))


@contextlib.contextmanager
def io(initiator: Host, options: str = "") -> Iterator[dict[str, float]]:
    """Writes that are soon read back and compared, on all rails; afterwards stall, the longest of them in seconds.

    options: more of fio's.
    """
    found: dict[str, float] = {}
    initiator.check_output(
        f"rm -f {_FIO}; systemd-run -q --collect --unit io -p StandardOutput=file:{_FIO} fio --name=io "
        f"--filename={DEVICE} --rw=randwrite --bs=128k --size=256m --iodepth=16 --ioengine=libaio --direct=1 "
        "--time_based --runtime=3600 --verify=crc32c --verify_backlog=32 --verify_fatal=1 --output-format=json "
        f"{options}"
    )
    try:
        yield found
        assert initiator.run("systemctl is-active io").rc == 0, initiator.check_output(f"cat {_FIO}")
    finally:
        initiator.check_output("systemctl kill --signal INT io; while systemctl -q is-active io; do sleep 0.5; done")
    # fio says first that it was asked to end.
    [job] = json.loads("{" + initiator.check_output(f"cat {_FIO}").partition("{")[2])["jobs"]
    assert job["error"] == 0
    assert job["write"]["total_ios"] > 0
    assert "I/O error" not in initiator.check_output("dmesg")
    found["stall"] = max(job[what]["lat_ns"]["max"] for what in ("read", "write")) / 1e9
