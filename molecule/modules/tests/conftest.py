# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machine, and a target on it that the machine itself connects to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "molecule/shared"))

import machines
from machines import ROOT

SCENARIO = Path(__file__).resolve().parents[1]
MODULES = ("nvme-fabrics", "nvme-tcp", "nvmet", "nvmet-tcp")
NQN = "nqn.2026-11.org.example:modules"
HOSTNQN = "nqn.2014-08.org.example:h"
NVMET = "/sys/kernel/config/nvmet"
PORTS = {"mptcp": 4420, "tcp": 4421}


@pytest.fixture(scope="session")
def machine() -> Host:
    return machines.connect("host1")


def role(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the scenario's playbook again and keep what it printed."""
    command = [
        "ansible-playbook",
        "--inventory",
        str(ROOT / "inventories/lab"),
        str(SCENARIO / "converge.yml"),
        *arguments,
    ]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return result


def words(text: str) -> str:
    """The text on one line, as if nothing had wrapped it."""
    return " ".join(text.replace("''", "'").split())


def connect(machine: Host, options: str, netns: str = "") -> tuple[bool, str]:
    """Ask for a controller; whether the kernel made it, and what it said otherwise."""
    request = f"{options},nqn={NQN},hostnqn={HOSTNQN},hostid=00000000-0000-0000-0000-000000000001"
    where = f"ip netns exec {netns} " if netns else ""
    result = machine.run(f"{where}bash -c 'printf %s {request} > /dev/nvme-fabrics'")
    return result.rc == 0, result.stderr.strip()


def disconnect(machine: Host) -> None:
    machine.check_output("for c in /sys/class/nvme/nvme*; do [ ! -e $c ] || echo 1 > $c/delete_controller; done")


def transports(machine: Host) -> list[str]:
    """The transport of each controller, as sysfs has it."""
    return sorted(machine.check_output("cat /sys/class/nvme/nvme*/transport").split())


def verify(machine: Host) -> None:
    """Write to the namespace and read it again."""
    machine.check_output("udevadm settle")
    verified = machine.run(
        "fio --name=x --filename=/dev/nvme0n1 --rw=randwrite --bs=64k --size=8M --iodepth=8 --ioengine=libaio"
        " --direct=1 --verify=crc32c --do_verify=1"
    )
    assert verified.rc == 0, verified.stdout


def port(machine: Host, number: int, transport: str, address: str) -> None:
    """Serve the namespace on one more port, which goes with the others."""
    path = f"{NVMET}/ports/{number}"
    lines = [f"mkdir {path}", f"echo {transport} > {path}/addr_trtype"]
    if transport != "loop":
        lines.append(f"echo {'ipv6' if ':' in address else 'ipv4'} > {path}/addr_adrfam")
        lines.append(f"echo {address} > {path}/addr_traddr && echo {number} > {path}/addr_trsvcid")
    lines.append(f"ln -s {NVMET}/subsystems/{NQN} {path}/subsystems/{NQN}")
    machine.check_output(" && ".join(lines))


@pytest.fixture(scope="module")
def served(machine: Host) -> Iterator[None]:
    """One namespace of 64 MiB, served on the loopback interface over both transports."""
    lines = [
        "modprobe --all loop nvmet nvme-tcp",
        "truncate -s 64M /root/disk && losetup /dev/loop7 /root/disk",
        f"mkdir {NVMET}/subsystems/{NQN} && echo 1 > {NVMET}/subsystems/{NQN}/attr_allow_any_host",
        f"mkdir {NVMET}/subsystems/{NQN}/namespaces/1",
        f"printf /dev/loop7 > {NVMET}/subsystems/{NQN}/namespaces/1/device_path",
        f"echo 1 > {NVMET}/subsystems/{NQN}/namespaces/1/enable",
    ]
    machine.check_output(" && ".join(lines))
    for transport, number in PORTS.items():
        port(machine, number, transport, "127.0.0.1")
    yield
    disconnect(machine)
    machine.check_output(f"for p in {NVMET}/ports/*; do rm $p/subsystems/*; rmdir $p; done")
    machine.check_output(f"rmdir {NVMET}/subsystems/{NQN}/namespaces/1 {NVMET}/subsystems/{NQN}")
    machine.check_output("losetup -d /dev/loop7 && rm /root/disk")


@pytest.fixture
def target(machine: Host, served: None) -> Iterator[Host]:
    """The machine with the namespace served, and nothing connected."""
    yield machine
    disconnect(machine)
