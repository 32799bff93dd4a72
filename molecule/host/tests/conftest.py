# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's three machines, subsystems that no inventory knows, and load that must not fail."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator

import pytest
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import namespace_identifiers  # noqa: E402
from machines import LAB_DIR, ROOT, connect, one_or_all, until  # noqa: E402

PREFIX = "nqn.2026-11.org.example"
VOLUMES = {"target1": f"{PREFIX}:vol0", "target2": f"{PREFIX}:vol1"}
ADDRESSES = {"target1": "10.10.255.1", "target2": "10.10.255.2"}
UUID = "0b2c1e9e-3a2f-4a5c-9f4e-00000000000"
NVMET = "/sys/kernel/config/nvmet"
UNIT = "nvmeof-mptcp-host"


@pytest.fixture(scope="session")
def targets() -> dict[str, Host]:
    return {name: connect(name) for name in VOLUMES}


@pytest.fixture(scope="session")
def initiator() -> Host:
    return connect("host1")


def device(nqn: str) -> str:
    """Where udev shows namespace 1 of a subsystem of the inventory."""
    return f"/dev/disk/by-id/nvme-uuid.{namespace_identifiers(nqn, 1)['uuid']}"


class Extra:
    """A subsystem on a target that no inventory knows: made in configfs, by nobody that the host hears of."""

    def __init__(self, targets: dict[str, Host], name: str, number: int) -> None:
        self.target, self.address, self.nqn = targets[name], ADDRESSES[name], f"{PREFIX}:extra{number}"
        self.uuid, self.file = f"{UUID}{number}", f"/var/tmp/extra{number}"
        self.path = f"{NVMET}/subsystems/{self.nqn}"
        self.device = f"/dev/disk/by-id/nvme-uuid.{self.uuid}"

    def make(self, initiator: Host) -> None:
        """All of it but its place in the discovery log."""
        host = initiator.check_output("cat /etc/nvme/hostnqn")
        self.target.check_output(
            f"truncate -s 16M {self.file} && mkdir {self.path} {self.path}/namespaces/1 && cd {self.path} && "
            f"printf %s {self.file} > namespaces/1/device_path && printf %s {self.uuid} > namespaces/1/device_uuid && "
            f"printf 1 > namespaces/1/enable && ln -s {NVMET}/hosts/{host} allowed_hosts/{host}"
        )

    def serve(self) -> None:
        """From now on the discovery log names it."""
        self.target.check_output(f"ln -s {self.path} {NVMET}/ports/1/subsystems/{self.nqn}")

    def stop(self) -> None:
        self.target.check_output(f"rm {NVMET}/ports/1/subsystems/{self.nqn}")

    def forbid(self) -> None:
        """The log names it to the host no more, and its connections stay."""
        self.target.check_output(f"rm {self.path}/allowed_hosts/*")

    def destroy(self) -> None:
        self.target.check_output(
            f"rm -f {NVMET}/ports/1/subsystems/{self.nqn} {self.path}/allowed_hosts/* && "
            f"rmdir {self.path}/namespaces/1 {self.path} && rm {self.file}"
        )

    def is_there(self, initiator: Host) -> bool:
        return initiator.run(f"test -b {self.device}").rc == 0


@pytest.fixture(params=one_or_all("target2", "target1"))
def extra(request: pytest.FixtureRequest, targets: dict[str, Host], initiator: Host) -> Iterator[Extra]:
    """A subsystem of either target, the host being told of one of them alone."""
    one = Extra(targets, request.param, 1)
    one.make(initiator)
    until(lambda: everything_is_there(initiator), 60)
    yield one
    one.destroy()
    until(lambda: not one.is_there(initiator), 30)


def appears(extra: Extra, initiator: Host, seconds: float = 5.0) -> None:
    """Fails when the host had not got the block device in time, by the time that udev noted of it."""
    started = float(initiator.check_output("cat /proc/uptime").split()[0])
    extra.serve()
    until(lambda: extra.is_there(initiator), 60)
    noted = f"udevadm info --query=property --property=USEC_INITIALIZED --value {extra.device}"
    taken = int(initiator.check_output(noted)) / 1e6 - started
    print(f"{extra.nqn} was a block device {taken:.1f} s after the command that serves it was sent")
    assert taken < seconds


def everything_is_there(initiator: Host) -> bool:
    """both volumes and both discovery controllers are connected and live"""
    states = initiator.run("cat /sys/class/nvme/nvme*/state").stdout.split()
    found = controllers(initiator)
    wanted = {*VOLUMES.values()}
    return (
        set(states) == {"live"}
        and wanted <= {nqn for _address, nqn, _kind in found}
        and {address for address, _nqn, kind in found if kind == "discovery"} == set(ADDRESSES.values())
        and all(initiator.run(f"test -b {device(nqn)}").rc == 0 for nqn in wanted)
    )


def controllers(initiator: Host) -> list[tuple[str, str, str]]:
    """Address, NQN and kind of each controller."""
    shown = initiator.check_output(
        "for one in /sys/class/nvme/nvme*; do [ -e $one/address ] || continue; "
        "echo $(cat $one/address) $(cat $one/subsysnqn) $(cat $one/cntrltype); done"
    )
    return sorted(
        (address.split("traddr=")[1].split(",")[0], nqn, kind)
        # One that goes while it is read has lost something already.
        for address, nqn, kind in (line.split() for line in shown.splitlines() if len(line.split()) == 3)
    )


def journal(initiator: Host, since: str, unit: str = UNIT) -> str:
    """What a unit has said since a cursor that mark() gave."""
    return initiator.check_output(f"journalctl --quiet --output cat --unit {unit} --after-cursor='{since}'")


def mark(initiator: Host) -> str:
    """Where the journal ends now."""
    return initiator.check_output("journalctl --quiet --lines 1 --show-cursor | sed -n 's/^-- cursor: //p'")


@contextlib.contextmanager
def load(initiator: Host, nqn: str) -> Iterator[None]:
    """fio on a volume, which must neither fail nor stop while something else happens."""
    initiator.check_output(
        "systemd-run -q --collect --unit load -p StandardOutput=file:/var/tmp/load.json "
        f"fio --name=load --filename={device(nqn)} --rw=randrw --bs=16k --size=32m --time_based --runtime=3600 "
        "--rate=1m --direct=1 --ioengine=psync --output-format=json"
    )
    try:
        yield
        assert initiator.check_output("systemctl is-active load") == "active"
    finally:
        initiator.run("systemctl kill --signal INT load; while systemctl -q is-active load; do sleep 1; done")
    # fio says before and after it that it was asked to end.
    said = initiator.check_output("cat /var/tmp/load.json")
    [job] = json.JSONDecoder().raw_decode(said, said.index("{"))[0]["jobs"]
    assert job["error"] == 0
    assert job["write"]["total_ios"] > 0


@contextlib.contextmanager
def unreachable(target: Host) -> Iterator[Callable[[], None]]:
    """Nothing passes the target's rails, without a word to anybody; what is given ends that."""
    target.check_output(
        "nft 'add table inet cut; add chain inet cut in {type filter hook input priority -10;}; "
        "add chain inet cut out {type filter hook output priority -10;}; "
        'add rule inet cut in iifname "rail*" drop; add rule inet cut out oifname "rail*" drop\''
    )
    try:
        yield lambda: target.check_output("nft delete table inet cut")
    finally:
        target.run("nft delete table inet cut")


def playbook(name: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Run a playbook as the scenario does, with variables in place of its own."""
    command = ["ansible-playbook", f"playbooks/{name}.yml"]
    for inventory in ("inventories/lab", "molecule/host/inventory"):
        command += ["--inventory", str(ROOT / inventory)]
    command += ["--extra-vars", f"@{ROOT / 'molecule/host/vars/machines.yml'}", "--extra-vars", json.dumps(variables)]
    settings = {**os.environ, "LAB_DIR": str(LAB_DIR)}
    result = subprocess.run(command, cwd=ROOT, env=settings, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return result
