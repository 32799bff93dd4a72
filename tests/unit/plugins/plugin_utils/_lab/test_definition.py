# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From lab_machines and lab_networks to machines with addresses, and every refusal with its variable and value."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import define, mac_address
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError
from hypothesis import given
from hypothesis import strategies as st

NETWORKS = [{"name": "rail0", "cidr": "10.10.0.0/24"}, {"name": "rail1", "cidr": "2001:db8::/64"}]


def machine(name: str = "target1", number: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "number": number, "memory": 1280, "cpus": 2, "disks": [], **more}


def test_a_machine_has_one_address_and_mac_per_network() -> None:
    (only,) = define([machine(number=258, disks=[{"serial": "vol0", "size": "1G"}])], NETWORKS[1:]).machines
    assert [(nic.name, nic.address, nic.mac) for nic in only.nics] == [
        ("rail1", "2001:db8::102/64", "52:54:00:00:01:02")
    ]
    assert only.management_mac == "52:54:00:ff:01:02"
    assert [(disk.serial, disk.size) for disk in only.disks] == [("vol0", "1G")]


def test_a_machine_may_leave_networks_out_and_keeps_its_mac_in_the_others() -> None:
    lab = define([machine(), machine("host1", 2, networks=["rail1"])], NETWORKS)
    assert lab.members("rail0") == ["target1"]
    assert lab.members("rail1") == ["target1", "host1"]
    assert lab.machines[1].nics[0].mac == mac_address(1, 2)


def test_a_machine_boots_directly_unless_it_says_otherwise() -> None:
    lab = define([machine(boot="systemd-boot"), machine("host1", 2), machine("host2", 3, boot="grub")], NETWORKS)
    assert [each.boot for each in lab.machines] == ["systemd-boot", "direct", "grub"]
    assert lab.boots() == ["direct", "grub", "systemd-boot"]
    assert define([machine()], NETWORKS).boots() == ["direct"]


@given(st.lists(st.integers(1, 0xFFFF), min_size=1, max_size=20, unique=True), st.integers(1, 8))
def test_no_two_nics_of_a_lab_share_a_mac_or_an_address(numbers: list[int], networks: int) -> None:
    lab = define(
        [machine(f"m{index}", number) for index, number in enumerate(numbers)],
        [
            {"name": f"rail{index}", "cidr": f"10.{index}.0.0/15" if index % 2 == 0 else f"fd00:{index}::/64"}
            for index in range(networks)
        ],
    )
    nics = [nic for each in lab.machines for nic in each.nics]
    macs = [nic.mac for nic in nics] + [each.management_mac for each in lab.machines]
    assert len(set(macs)) == len(macs)
    addresses = [ipaddress.ip_interface(nic.address) for nic in nics]
    assert len(set(addresses)) == len(addresses)
    assert all(address.ip != address.network.network_address for address in addresses)


@pytest.mark.parametrize(
    ("machines", "networks", "words"),
    [
        ([], NETWORKS, ["lab_machines is empty"]),
        ([machine(), machine(number=2)], NETWORKS, ["name", "'target1'", "twice"]),
        ([machine(), machine("host1")], NETWORKS, ["number", "1", "twice"]),
        ([machine("Target_1")], NETWORKS, ["lab_machines: name", "'Target_1'"]),
        ([machine("a/../../b")], NETWORKS, ["lab_machines: name"]),
        ([machine(number=0)], NETWORKS, ["target1", "number 0"]),
        ([machine(number=65536)], NETWORKS, ["target1", "number 65536"]),
        ([machine(number=255)], NETWORKS, ["target1", "number 255", "rail0", "10.10.0.0/24", "254"]),
        ([machine(memory=128)], NETWORKS, ["target1", "memory 128"]),
        ([machine(cpus=0)], NETWORKS, ["target1", "cpus 0"]),
        ([machine(boot="lilo")], NETWORKS, ["target1", "boot 'lilo'", "direct, grub, systemd-boot"]),
        ([machine(networks=["rail9"])], NETWORKS, ["target1", "'rail9'", "lab_networks"]),
        ([machine(disks=[{"serial": "x" * 21, "size": "1G"}])], NETWORKS, ["target1", "serial", "x" * 21]),
        ([machine(disks=[{"serial": "a,b", "size": "1G"}])], NETWORKS, ["target1", "serial", "'a,b'"]),
        ([machine(disks=[{"serial": "a", "size": "1TB"}])], NETWORKS, ["target1", "size", "'1TB'"]),
        ([machine(disks=[{"serial": "a", "size": "1G"}] * 2)], NETWORKS, ["target1", "'a'", "twice"]),
        (
            [machine(disks=[{"serial": f"d{i}", "size": "1G"} for i in range(15)])],
            NETWORKS,
            ["target1", "15 disks", "14"],
        ),
        ([machine()], [{"name": "rail0", "cidr": "10.0.0.0/33"}], ["lab_networks", "rail0", "'10.0.0.0/33'"]),
        ([machine()], [{"name": "rail0", "cidr": "10.0.0.1/24"}], ["lab_networks", "10.0.0.1/24", "10.0.0.0/24"]),
        ([machine()], [{**NETWORKS[0], "rate": "40 Mbit"}], ["lab_networks", "rail0", "rate '40 Mbit'"]),
        ([machine()], [{**NETWORKS[0], "mtu": 576}], ["lab_networks", "rail0", "mtu 576", "1280..65535"]),
        ([machine()], [*NETWORKS, NETWORKS[0]], ["lab_networks", "'rail0'", "taken"]),
        ([machine()], [{"name": "mgmt0", "cidr": "10.0.0.0/24"}], ["lab_networks", "'mgmt0'", "taken"]),
        ([machine()], [{"name": "a-rail-too-long0", "cidr": "10.0.0.0/24"}], ["lab_networks", "a-rail-too-long0"]),
        (
            [machine()],
            [{"name": "a", "cidr": "10.0.0.0/8"}, {"name": "b", "cidr": "10.1.0.0/16"}],
            ["lab_networks", "b 10.1.0.0/16", "overlaps", "a 10.0.0.0/8"],
        ),
        ([machine()], [{"name": f"r{i}", "cidr": f"10.{i}.0.0/16"} for i in range(9)], ["lab_networks", "9", "8"]),
    ],
)
def test_what_cannot_be_a_lab_is_refused(machines: list[Any], networks: list[Any], words: list[str]) -> None:
    with pytest.raises(LabError) as error:
        define(machines, networks)
    assert [word for word in words if word not in str(error.value)] == []
