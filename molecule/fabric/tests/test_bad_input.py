# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong description is refused before any task has changed a machine, naming the variable and the value."""

from __future__ import annotations

import json
from typing import Any, Iterator

import pytest
from fabric import NQN, playbook
from testinfra.host import Host

NAMESPACE = {"nsid": 1, "device_path": "/dev/disk/by-id/virtio-vol0"}
SUBSYSTEM = {"nqn": NQN, "allowed_hosts": ["host1"], "namespaces": [NAMESPACE]}
PORT = {
    "portid": 1,
    "trtype": "mptcp",
    "adrfam": "ipv4",
    "traddr": "10.10.255.1",
    "trsvcid": "4420",
    "subsystems": [NQN],
}
RAILS = [{"name": f"rail{number}", "cidr": f"10.10.{number}.0/24"} for number in range(4)]


def refused(**variables: Any) -> str:
    """What the playbook says, on one line; it has to fail and to have changed nothing."""
    result = playbook("playbooks/site.yml", "--extra-vars", json.dumps(variables))
    assert result.returncode != 0
    recap = [line for line in result.stdout.splitlines() if "unreachable=" in line]
    assert recap
    assert all("changed=0" in line for line in recap), recap
    return " ".join(result.stdout.replace("''", "'").split())


def subsystems(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**SUBSYSTEM, **change} for change in changes]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (
            {"fabric_subsystems": subsystems({"serail": "x"})},
            ["nvme_target_subsystems", "serail"],
        ),
        (
            {"fabric_subsystems": subsystems({"cntlid_min": "many"})},
            ["cntlid_min", "many"],
        ),
        (
            {"fabric_subsystems": subsystems({}, {})},
            [f"fabric_subsystems of target1: nqn '{NQN}' is written twice"],
        ),
        (
            {"fabric_subsystems": subsystems({"namespaces": [NAMESPACE, NAMESPACE]})},
            [f"fabric_subsystems ({NQN}): nsid 1 is written twice"],
        ),
        (
            {"nvme_target_ports": [PORT, PORT]},
            ["ports[1].portid: 1 is written twice"],
        ),
        (
            {"fabric_networks": [*RAILS, {"name": "rail9", "cidr": "198.51.100.0/24"}]},
            ["target1 has no NIC in rail9 (198.51.100.0/24)", "fabric_networks"],
        ),
        (
            {"fabric_networks": [{"name": f"rail{number}", "cidr": f"10.20.{number}.0/24"} for number in range(33)]},
            ["fabric_networks: 33 rails are more than the 32"],
        ),
        (
            {"nvme_kernel_method": "magic"},
            ["nvme_kernel_method", "magic", "modules"],
        ),
        (
            {"nvme_host_connections": [{"transport": "mptcp", "traddr": "10.10.255.1", "subsysnqn": NQN, "tls": True}]},
            ["tls"],
        ),
        (
            {
                "fabric_subsystems": subsystems({"allowed_hosts": ["host1", f"{NQN}-host"]}),
                "nvme_target_ports": [{**PORT, "trtype": "tcp", "tsas": "tls1.3"}],
            },
            ["port 1: tsas tls1.3 is no authentication, and 2 hosts are allowed there", "allow_unauthenticated_tls"],
        ),
    ],
    ids=["unknown key", "wrong type", "duplicate NQN", "duplicate NSID", "duplicate port", "rail without NIC",
         "too many rails", "unknown method", "TLS", "TLS for two hosts"],
)  # fmt: skip
def test_description_is_refused(variables: dict[str, Any], words: list[str]) -> None:
    said = refused(**variables)
    assert [word for word in words if word not in said] == []


@pytest.fixture(scope="module")
def devices(target: Host) -> Iterator[dict[str, str]]:
    """Devices of the target that are in use, by how; each would be exported by the kernel."""
    made = {}
    for kind in ("mounted", "md", "lvm"):
        target.check_output(f"truncate -s 64M /var/tmp/{kind}")
        made[kind] = target.check_output(f"losetup --find --show /var/tmp/{kind}")
    target.check_output(f"mkfs.ext4 -q {made['mounted']} && mount {made['mounted']} /mnt")
    target.check_output(f"mdadm --create /dev/md/spare --run --level 1 --raid-devices 2 --force {made['md']} missing")
    target.check_output(f"vgcreate -q spare {made['lvm']} && lvcreate -q --yes --extents 4 spare")
    yield {"root": "/dev/disk/by-label/root", "absent": "/dev/disk/by-id/virtio-absent", **made}
    target.check_output("umount /mnt && mdadm -q --stop /dev/md/spare && vgremove -q --force --yes spare")
    target.check_output("losetup --detach-all && rm /var/tmp/mounted /var/tmp/md /var/tmp/lvm")


def test_device_that_is_in_use_is_refused(devices: dict[str, str]) -> None:
    namespaces = [{"nsid": number, "device_path": path} for number, path in enumerate(devices.values(), start=2)]
    said = refused(fabric_subsystems=subsystems({"namespaces": [NAMESPACE, *namespaces]}))
    for kind, path in devices.items():
        assert f"device_path '{path}'" in said, kind
    for word in ("holds the root filesystem", "does not exist", "is mounted on /mnt", "md array", "LVM"):
        assert word in said


def test_nothing_was_changed(target: Host, initiator: Host) -> None:
    result = playbook("playbooks/site.yml", "--check")
    assert result.returncode == 0
    for line in result.stdout.splitlines():
        assert "unreachable=" not in line or "changed=0" in line, line
