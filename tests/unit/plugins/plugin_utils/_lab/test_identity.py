# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each machine's own names, ids, keys and addresses."""

from __future__ import annotations

import base64
import uuid

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import define
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.identity import Identity, credentials

LAB = define(
    [
        {"name": "target1", "number": 1, "memory": 1280, "cpus": 2, "disks": []},
        {"name": "host1", "number": 2, "memory": 1280, "cpus": 2, "disks": []},
    ],
    [{"name": "rail0", "cidr": "10.10.0.0/24"}, {"name": "rail1", "cidr": "2001:db8::/64", "rate": "40M", "mtu": 9000}],
)
TARGET, HOST = LAB.machines
ONE = Identity(uuid.UUID(int=1), "-----BEGIN KEY-----\nsecret\n", "ssh-ed25519 AAAA lab\n")


def files(text: str) -> dict[str, tuple[str, str]]:
    rows = [line.split() for line in text.splitlines()]
    return {row[1]: (row[2], base64.b64decode(row[6]).decode()) for row in rows}


def test_the_files_are_what_a_machine_has_of_its_own() -> None:
    assert files(credentials(TARGET, ONE)["tmpfiles.extra"]) == {
        "/etc/hostname": ("0644", "target1\n"),
        "/etc/ssh/ssh_host_ed25519_key": ("0600", "-----BEGIN KEY-----\nsecret\n"),
        "/etc/nvme/hostnqn": ("0644", f"nqn.2014-08.org.nvmexpress:uuid:{uuid.UUID(int=1)}\n"),
        "/etc/nvme/hostid": ("0644", f"{uuid.UUID(int=1)}\n"),
    }


def test_a_nic_is_found_by_its_mac_and_gets_its_network_s_name_and_address() -> None:
    given = credentials(TARGET, ONE)
    assert given["network.link.10-rail1"] == "[Match]\nMACAddress=52:54:00:01:00:01\n[Link]\nName=rail1\n"
    assert "Name=rail1\n" in given["network.network.10-rail1"]
    assert "Address=2001:db8::1/64\nLinkLocalAddressing=ipv6\n" in given["network.network.10-rail1"]
    assert "Address=10.10.0.1/24\nLinkLocalAddressing=no\n" in given["network.network.10-rail0"]
    assert "MTUBytes=9000\n" in given["network.network.10-rail1"]
    assert "[TokenBucketFilter]\nParent=root\nRate=40M\n" in given["network.network.10-rail1"]
    assert "MTUBytes" not in given["network.network.10-rail0"]
    assert "TokenBucket" not in given["network.network.10-rail0"]
    assert "Gateway" not in "".join(given.values())


def test_machine_ids_are_valid_stable_and_differ_from_the_host_id() -> None:
    machine_id = credentials(TARGET, ONE)["system.machine_id"]
    assert uuid.UUID(hex=machine_id) != ONE.uuid
    assert len(machine_id) == 32
    assert credentials(TARGET, ONE)["system.machine_id"] == machine_id


def test_two_machines_share_nothing_but_the_way_in() -> None:
    other = Identity(uuid.UUID(int=2), "-----BEGIN KEY-----\nother\n", ONE.authorized_key)
    one, two = credentials(TARGET, ONE), credentials(HOST, other)
    assert {name for name in one if one[name] == two[name]} == {
        "ssh.authorized_keys.root",
        # The address of the NIC that reaches nothing but the forwarded port.
        "network.network.10-mgmt0",
    }
