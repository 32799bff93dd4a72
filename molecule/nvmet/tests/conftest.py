# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machine, what it serves, and the program that converges it without Ansible in between."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

import machines  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program  # noqa: E402
from machines import LAB_DIR, ROOT  # noqa: E402

__all__ = ["ROOT"]

FOLDER = "/var/tmp/nvmet"
NVMET = "/sys/kernel/config/nvmet"
NQN = "nqn.2026-11.org.example:live"
HOSTNQN = "nqn.2026-11.org.example:host"
HOSTID = "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"
ADDRESS = "127.0.0.9"


@pytest.fixture(scope="session")
def machine() -> Host:
    host = machines.connect("target1")
    host.check_output(f"mkdir -p {FOLDER} && modprobe -a nvmet nvmet-tcp nvme-tcp")
    put(f"{FOLDER}/program.pyz", _program.build())
    put(f"{FOLDER}/steps_on_node.py", (Path(__file__).parent / "steps_on_node.py").read_bytes())
    return host


def put(path: str, content: bytes) -> None:
    """Write a file on the machine."""
    command = ["ssh", "-F", str(LAB_DIR / "ssh_config"), "target1", f"cat > {path}"]
    subprocess.run(command, input=content, check=True)


def steps(machine: Host, *descriptions: dict[str, Any], killed: bool = False, under: str = "") -> list[dict[str, Any]]:
    """Converge to each description in turn, in one process; what each did.

    killed: the second of two, with a run killed before each operation on the way; what was found after each.
    under: a command that runs the process, like strace.
    """
    put(f"{FOLDER}/steps.json", json.dumps(descriptions).encode())
    mode = " killed" if killed else ""
    command = f"cd {FOLDER} && PYTHONPATH=program.pyz {under} python3 steps_on_node.py{mode} < steps.json"
    return [json.loads(line) for line in machine.check_output(command).splitlines()]


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def files(machine: Host, names: list[str]) -> list[str]:
    """Files of 1 MiB for namespaces."""
    machine.check_output(f"cd {FOLDER} && truncate -s 1M {' '.join(names)}")
    return [f"{FOLDER}/{name}" for name in names]


def namespace(nsid: int, path: str, **options: Any) -> dict[str, Any]:
    return {"nsid": nsid, "device_path": path, "uuid": f"0b2c1e9e-3a2f-4a5c-9f4e-{nsid:012x}", **options}


def description(*namespaces: dict[str, Any], ports: tuple[int, ...] = (4420,), **host: str) -> dict[str, Any]:
    """A subsystem for one host, which may have keys, on ports of the loopback interface."""
    return {
        "hosts": [{"nqn": HOSTNQN, **host}],
        "subsystems": [{"nqn": NQN, "serial": "LIVE", "allowed_hosts": [HOSTNQN], "namespaces": list(namespaces)}],
        "ports": [
            {"portid": port, "trtype": "mptcp", "adrfam": "ipv4", "traddr": ADDRESS, "trsvcid": str(port),
             "subsystems": [NQN]}
            for port in ports
        ],
    }  # fmt: skip


def connect(machine: Host, **options: str) -> str:
    """Ask the kernel for a controller; empty, or what it said. Options go through standard input: they may be keys."""
    words = {"transport": "mptcp", "traddr": ADDRESS, "trsvcid": "4420", "nqn": NQN, "hostnqn": HOSTNQN,
             "hostid": HOSTID, "nr_io_queues": "1", **options}  # fmt: skip
    request = ",".join(f"{name}={value}" for name, value in words.items())
    encoded = base64.b64encode(request.encode()).decode()
    result = machine.run(
        f"bash -c 'base64 -d <<< {encoded} > {FOLDER}/request; cat {FOLDER}/request > /dev/nvme-fabrics'"
    )
    return "" if result.rc == 0 else result.stderr.strip()


def disconnect(machine: Host) -> None:
    machine.check_output("for c in /sys/class/nvme/nvme*; do [ ! -e $c ] || echo 1 > $c/delete_controller; done")


@pytest.fixture
def emptied(machine: Host) -> Iterator[Host]:
    """A machine that serves nothing, before and after."""
    steps(machine, {})
    yield machine
    disconnect(machine)
    steps(machine, {})
    assert machine.check_output(f"ls {NVMET}/hosts; ls {NVMET}/ports") == ""
