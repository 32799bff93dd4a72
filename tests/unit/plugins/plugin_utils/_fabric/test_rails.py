# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the NIC of every rail in gathered facts, and refusing what cannot be a set of rails."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import BadFabric, parse_networks
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.rails import machine_rails

NETWORKS = [{"name": "rail0", "cidr": "198.51.100.0/25"}, {"name": "rail1", "cidr": "198.51.100.128/25"}]


def machine(*nics: tuple[str, str], **variables: Any) -> dict[str, Any]:
    """Variables of a machine whose facts list (interface, address/prefix)."""
    facts: dict[str, Any] = {
        "interfaces": ["lo"],
        "lo": {"device": "lo", "type": "loopback", "ipv4": {"address": "127.0.0.1", "prefix": "8"}},
    }
    for interface, address in nics:
        ip, prefix = address.split("/")
        entry = {"address": ip, "prefix": prefix}
        key = interface.replace("-", "_").replace(".", "_")
        if interface in facts["interfaces"]:
            facts[key].setdefault("ipv4_secondaries", []).append(entry)
            continue
        facts["interfaces"].append(interface)
        facts[key] = {"device": interface, "type": "ether", "ipv4": entry}
    return {"ansible_facts": facts, **variables}


BOTH = (("eth1", "198.51.100.5/25"), ("eth2", "198.51.100.133/25"))
FOUND = [
    {"name": "rail0", "cidr": "198.51.100.0/25", "interface": "eth1", "address": "198.51.100.5", "share": 0.5},
    {"name": "rail1", "cidr": "198.51.100.128/25", "interface": "eth2", "address": "198.51.100.133", "share": 0.5},
]


@pytest.mark.parametrize(
    ("nics", "interfaces"),
    [
        (BOTH, ("eth1", "eth2")),
        ((("eth0", "192.0.2.9/24"), *BOTH), ("eth1", "eth2")),
        ((("bond0.100", "198.51.100.5/25"), ("br-data", "198.51.100.133/25")), ("bond0.100", "br-data")),
        ((("eth1", "203.0.113.5/24"), ("eth1", "198.51.100.5/25"), BOTH[1]), ("eth1", "eth2")),
        ((("eth9", "198.51.100.5/25"), ("eth9", "198.51.100.133/25")), ("eth9", "eth9")),
    ],
    ids=["plain", "management NIC beside", "VLAN on a bond, bridge", "secondary address", "one NIC in two rails"],
)
def test_rails_are_found_by_address(nics: Any, interfaces: tuple[str, str]) -> None:
    rails = machine_rails(NETWORKS, {"m": machine(*nics)}, "m")
    assert rails == [{**rail, "interface": interface} for rail, interface in zip(FOUND, interfaces)]


def test_written_rail_wins_and_the_others_are_found() -> None:
    written = {"rail0": {"interface": "ib0", "address": "198.51.100.77"}}
    rails = machine_rails(NETWORKS, {"m": machine(BOTH[1], fabric_rails=written)}, "m")
    assert rails == [{**FOUND[0], "interface": "ib0", "address": "198.51.100.77"}, FOUND[1]]


def test_no_facts_are_needed_when_every_rail_is_written() -> None:
    written = {rail["name"]: {"interface": rail["interface"], "address": rail["address"]} for rail in FOUND}
    assert machine_rails(NETWORKS, {"m": {"fabric_rails": written}}, "m") == FOUND


def test_nic_that_is_down_is_told_beside_a_missing_address() -> None:
    cut = machine(BOTH[0])
    cut["ansible_facts"]["interfaces"].append("eth2.7")
    cut["ansible_facts"]["eth2_7"] = {"device": "eth2.7", "type": "ether", "active": False}
    with pytest.raises(BadFabric, match=r"m has no NIC in rail1 .* are: eth1 198.51.100.5/25; eth2.7 is down. Give"):
        machine_rails(NETWORKS, {"m": cut}, "m")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        (machine(BOTH[0]), ["m has no NIC in rail1 (198.51.100.128/25)", "eth1 198.51.100.5/25", "fabric_rails"]),
        (machine(), ["m has no NIC in rail0", "its addresses are: none"]),
        (
            machine(*BOTH, ("eth3", "198.51.100.6/25")),
            ["more than one address in rail0", "eth1 198.51.100.5 and eth3 198.51.100.6"],
        ),
        (machine(("eth1", "198.51.100.5/24"), BOTH[1]), ["eth1 has 198.51.100.5/24", "rail0 is 198.51.100.0/25"]),
        ({}, ["addresses of m are not known", "gather"]),
        (machine(*BOTH, fabric_rails={"rail7": {}}), ["fabric_rails of m", "'rail7' is not in fabric_networks"]),
        (machine(*BOTH, fabric_rails={"rail0": {"interface": "eth1"}}), ["rail0 needs exactly interface and address"]),
        (
            machine(*BOTH, fabric_rails={"rail0": {"interface": "eth1", "address": "192.0.2.1"}}),
            ["192.0.2.1 of rail0 is not in 198.51.100.0/25"],
        ),
        (
            machine(*BOTH, fabric_rails={"rail0": {"interface": "eth1", "address": "fish"}}),
            ["fabric_rails of m, rail0: 'fish' is not an IP address"],
        ),
    ],
)
def test_machine_that_does_not_fit_is_refused(variables: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(BadFabric) as refused:
        machine_rails(NETWORKS, {"m": variables}, "m")
    for words in says:
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("extra", "absent", "shares"),
    [
        ([{}, {}, {}, {}], [], [0.25] * 4),
        ([{}, {}, {}, {}], ["rail1", "rail2"], [0.5, 0.5]),
        ([{"speed": 100000}, {"speed": 50000}, {"speed": 25000}, {"speed": 25000}], [], [0.5, 0.25, 0.125, 0.125]),
        ([{"speed": 100000}, {"speed": 50000}, {"speed": 25000}, {"speed": 25000}], ["rail0"], [0.5, 0.25, 0.25]),
        ([{"backup": True}, {}, {}, {"backup": True}], [], [0, 0.5, 0.5, 0]),
    ],
    ids=["equal", "fewer", "unequal speed", "fewer, unequal speed", "backup"],
)
def test_planned_share_of_each_rail(extra: list[dict[str, Any]], absent: list[str], shares: list[float]) -> None:
    networks = [{"name": f"rail{r}", "cidr": f"10.0.{r}.0/24", **more} for r, more in enumerate(extra)]
    nics = [(f"eth{r}", f"10.0.{r}.5/24") for r in range(4) if f"rail{r}" not in absent]
    found = machine_rails(networks, {"m": machine(*nics, fabric_rails=dict.fromkeys(absent, "absent"))}, "m")
    assert [rail["share"] for rail in found] == shares


def test_both_families_are_full_shares() -> None:
    networks = [*rails("10.0.0.0/24", "10.0.1.0/24"), {"name": "v6", "cidr": "2001:db8::/64"}]
    addresses = {"rail0": "10.0.0.5", "rail1": "10.0.1.5", "v6": "2001:db8::5"}
    written = {name: {"interface": "eth0", "address": address} for name, address in addresses.items()}
    found = machine_rails(networks, {"m": {"fabric_rails": written}}, "m")
    assert [rail["share"] for rail in found] == [0.5, 0.5, 1]


def test_unknown_machine_is_refused() -> None:
    with pytest.raises(BadFabric, match="'x' is not a machine"):
        machine_rails(NETWORKS, {}, "x")


def rails(*cidrs: Any) -> list[dict[str, Any]]:
    return [{"name": f"rail{index}", "cidr": cidr} for index, cidr in enumerate(cidrs)]


@pytest.mark.parametrize(
    ("networks", "says"),
    [
        (None, "at least one"),
        ([], "at least one"),
        ("198.51.100.0/24", "at least one"),
        (["198.51.100.0/24"], "is not a rail"),
        ([{"name": "rail0", "cidr": "198.51.100.0/24", 1: 2, "x": 3}], "rail0 has the unknown key 1;"),
        ([{"name": "r" * 65, "cidr": "198.51.100.0/24"}], "has more than 64 characters; shorten it"),
        ([{"name": "a"}], "is not a rail"),
        ([{"cidr": "198.51.100.0/24"}], "is not a rail"),
        ([{"name": "a", "cidr": "198.51.100.0/24", "colour": 10}], "unknown key 'colour'"),
        (rails("fish"), "'fish' of rail0 is not a network"),
        (rails("198.51.100.0/33"), "is not a network"),
        (rails(7), "is not a network"),
        (rails("198.51.100.5/24"), "is it 198.51.100.0/24"),
        (rails("198.51.100.5"), "is one address"),
        (
            rails("198.51.100.0/24", "198.51.100.128/25"),
            "rail1 (198.51.100.128/25) and rail0 (198.51.100.0/24) overlap",
        ),
        (rails("198.51.100.128/25", "198.51.100.0/24"), "overlap"),
        ([*rails("198.51.100.0/24"), {"name": "rail0", "cidr": "203.0.113.0/24"}], "two rails are named 'rail0'"),
        (rails(*(f"10.0.{index}.0/24" for index in range(33))), "33 rails are more than the 32"),
        (rails(*(f"2001:db8:{index}::/64" for index in range(33))), "33 rails are more than the 32"),
        (
            [
                {
                    "name": rail,
                    "subnets": [{"cidr": f"10.{rail}.{net}.0/24", "gateway": f"10.{rail}.{net}.1"} for net in nets],
                }
                for rail, nets in (("1", range(50)), ("2", range(49)))
            ],
            "99 IPv4 subnets are more than 98",
        ),
    ],
)
def test_what_cannot_be_a_set_of_rails_is_refused(networks: Any, says: str) -> None:
    with pytest.raises(BadFabric) as refused:
        parse_networks(networks)
    assert says in str(refused.value)
    assert str(refused.value).startswith("fabric_networks")


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_up_to_the_kernel_s_limit(count: int) -> None:
    assert list(parse_networks(rails(*(f"10.0.{index}.0/24" for index in range(count))))) == [
        f"rail{index}" for index in range(count)
    ]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("interfaces", 1), "eth1;id", "ansible_facts.interfaces of m has 'eth1;id'"),
        (("eth1", "device"), "../eth1", r"device in ansible_facts\['eth1'\] of m is '../eth1'"),
        (("eth1", "ipv4", "address"), "198.51.100.5 -o", r"address in ansible_facts\['eth1'\] of m"),
        (("eth1", "ipv4", "address"), "::::", r"ansible_facts\['eth1'\] of m has ::::/25, which is no address"),
        (("eth1", "ipv4", "prefix"), "25\n", r"prefix in ansible_facts\['eth1'\] of m"),
        (("eth1", "ipv4"), "198.51.100.5", r"ansible_facts\['eth1'\] of m"),
        (("eth1", "mtu"), "1500;id", r"mtu in ansible_facts\['eth1'\] of m"),
        (("interfaces",), "eth1", "ansible_facts.interfaces of m is 'eth1'"),
    ],
)
def test_a_fact_that_is_not_what_it_is_called_is_named_with_its_machine(place: Any, value: str, words: str) -> None:
    found = machine(*BOTH)
    inner: Any = found["ansible_facts"]
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    with pytest.raises(BadFabric, match=words):
        machine_rails(NETWORKS, {"m": found}, "m")
