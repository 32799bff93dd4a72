# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a machine follows from the networks and the groups; what cannot work is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.filter.rails import FilterModule
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.mptcp_network import mptcp_plan
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import BadFabric
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.sysctls import interface_sysctls, sysctls


def networks(count: int) -> list[dict[str, str]]:
    return [{"name": f"rail{rail}", "cidr": f"10.10.{rail}.0/24"} for rail in range(count)]


def machine(number: int, count: int, service: str = "") -> dict[str, Any]:
    """A machine with address 10.10.R.number on NIC ethR in every rail R, as its facts tell it."""
    facts: dict[str, Any] = {"interfaces": [f"eth{rail}" for rail in range(count)]}
    for rail in range(count):
        facts[f"eth{rail}"] = {
            "device": f"eth{rail}",
            "type": "ether",
            "ipv4": {"address": f"10.10.{rail}.{number}", "prefix": "24"},
        }
    return {"ansible_facts": facts, **({"fabric_service_address": service} if service else {})}


def fabric(count: int, targets: int = 1, hosts: int = 1) -> tuple[dict[str, Any], list[str], list[str]]:
    """hostvars and the names of targets and hosts."""
    hostvars = {f"t{index}": machine(1 + index, count, f"10.10.255.{1 + index}") for index in range(targets)}
    hostvars.update({f"h{index}": machine(101 + index, count) for index in range(hosts)})
    return hostvars, [f"t{index}" for index in range(targets)], [f"h{index}" for index in range(hosts)]


def test_plan_of_a_target_with_two_rails() -> None:
    hostvars, targets, hosts = fabric(2)
    plan = mptcp_plan(networks(2), hostvars, "t0", targets, hosts)
    assert plan == {
        "rails": [
            {"name": "rail0", "cidr": "10.10.0.0/24", "interface": "eth0", "address": "10.10.0.1"},
            {"name": "rail1", "cidr": "10.10.1.0/24", "interface": "eth1", "address": "10.10.1.1"},
        ],
        "endpoints": [],
        "limits": {"subflows": 4, "add_addr_accepted": 0},
        "addresses": [{"address": "10.10.255.1/32", "dev": "lo"}],
        "routes": [
            {"type": "blackhole", "dst": "10.10.0.0/24", "metric": 4294967295, "nexthops": []},
            {"type": "blackhole", "dst": "10.10.1.0/24", "metric": 4294967295, "nexthops": []},
        ],
        "rules": [
            {"priority": 7700, "from": "10.10.255.1/32", "to": "10.10.0.0/24", "action": "main"},
            {"priority": 7701, "from": "10.10.255.1/32", "to": "10.10.1.0/24", "action": "main"},
            {"priority": 7799, "from": "10.10.255.1/32", "to": "", "action": "prohibit"},
        ],
        "sysctls": {
            "net.mptcp.enabled": "1",
            "net.mptcp.path_manager": "kernel",
            "net.mptcp.blackhole_timeout": "0",
            "net.mptcp.allow_join_initial_addr_port": "1",
            "net.mptcp.scheduler": "default",
            "net.mptcp.stale_loss_cnt": "3",
            "net.mptcp.checksum_enabled": "0",
            "net.ipv4.tcp_rto_max_ms": "1000",
            "net.ipv4.tcp_retries2": "255",
            "net.ipv4.tcp_rmem": "4096 16777216 33554432",
        },
        "interface_sysctls": {
            "net.ipv4.conf.{interface}.ignore_routes_with_linkdown": "1",
            "net.ipv4.conf.{interface}.arp_ignore": "1",
            "net.ipv4.conf.{interface}.arp_announce": "2",
        },
    }


def test_plan_of_a_host_with_two_rails() -> None:
    hostvars, targets, hosts = fabric(2)
    plan = mptcp_plan(networks(2), hostvars, "h0", targets, hosts)
    both = [{"via": "10.10.0.1", "rail": "rail0"}, {"via": "10.10.1.1", "rail": "rail1"}]
    assert plan["endpoints"] == [
        {"address": "10.10.0.101", "rail": "rail0", "id": 1, "flags": ["subflow"]},
        {"address": "10.10.1.101", "rail": "rail1", "id": 2, "flags": ["subflow"]},
    ]
    assert plan["routes"][2:] == [
        {"type": "unicast", "dst": "10.10.255.1/32", "metric": 900, "nexthops": both},
        {"type": "unicast", "dst": "10.10.255.1/32", "metric": 901, "nexthops": both[:1]},
        {"type": "unicast", "dst": "10.10.255.1/32", "metric": 902, "nexthops": both[1:]},
        {"type": "blackhole", "dst": "10.10.255.1/32", "metric": 4294967295, "nexthops": []},
    ]
    assert plan["addresses"] == []
    assert plan["rules"] == []
    assert plan["sysctls"]["net.ipv4.fib_multipath_use_neigh"] == "1"
    assert plan["interface_sysctls"]["net.ipv4.conf.{interface}.rp_filter"] == "2"


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 16, 32])
def test_every_size_gives_one_endpoint_and_one_next_hop_a_rail(count: int, targets: int) -> None:
    hostvars, servers, hosts = fabric(count, targets, 2)
    plan = mptcp_plan(networks(count), hostvars, "h1", servers, hosts)
    assert [endpoint["rail"] for endpoint in plan["endpoints"]] == [f"rail{rail}" for rail in range(count)]
    assert len({endpoint["id"] for endpoint in plan["endpoints"]} - {0}) == count
    assert plan["limits"]["subflows"] == 2 * count <= 64
    for target in range(targets):
        to_target = [route for route in plan["routes"] if route["dst"] == f"10.10.255.{1 + target}/32"]
        metrics = [route["metric"] for route in to_target]
        assert metrics == sorted(set(metrics))
        assert to_target[0]["nexthops"] == [
            {"via": f"10.10.{rail}.{1 + target}", "rail": f"rail{rail}"} for rail in range(count)
        ]
        assert [route["nexthops"] for route in to_target[1:-1]] == [[hop] for hop in to_target[0]["nexthops"]]
        assert to_target[-1]["type"] == "blackhole"
    assert {route["dst"] for route in plan["routes"] if route["type"] == "blackhole"} >= {
        network["cidr"] for network in networks(count)
    }


@pytest.mark.parametrize("count", [1, 4, 32])
def test_what_leaves_a_target_goes_to_a_rail_or_nowhere(count: int) -> None:
    hostvars, targets, hosts = fabric(count)
    rules = mptcp_plan(networks(count), hostvars, "t0", targets, hosts)["rules"]
    assert [rule["priority"] for rule in rules] == sorted({rule["priority"] for rule in rules})
    assert max(rule["priority"] for rule in rules) < 32766
    assert [rule["to"] for rule in rules[:-1]] == [network["cidr"] for network in networks(count)]
    assert rules[-1]["action"] == "prohibit"


ARP = {
    "net.ipv4.conf.{interface}.ignore_routes_with_linkdown": "1",
    "net.ipv4.conf.{interface}.arp_ignore": "1",
    "net.ipv4.conf.{interface}.arp_announce": "2",
}
NEIGHBOURS = {"base_reachable_time_ms": "2000", "delay_first_probe_time": "1", "retrans_time_ms": "500"}
LOOSE = {"net.ipv4.conf.{interface}.rp_filter": "2"}
IPV6 = {"net.ipv6.conf.{interface}.ignore_routes_with_linkdown": "1"}


def neighbours(version: int) -> dict[str, str]:
    wanted = {**NEIGHBOURS, "mcast_solicit": "3"}
    return {f"net.ipv{version}.neigh.{{interface}}.{name}": value for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("versions", "host", "in_one_network", "wanted"),
    [
        ([4], False, False, ARP),
        ([4], False, True, {**ARP, **LOOSE}),
        ([4, 4], True, False, {**ARP, **LOOSE, **neighbours(4)}),
        ([6], False, True, IPV6),
        ([6], True, False, {**IPV6, **neighbours(6)}),
        ([4, 6], True, True, {**ARP, **LOOSE, **IPV6, **neighbours(4), **neighbours(6)}),
    ],
)
def test_sysctls_of_a_nic(versions: list[int], host: bool, in_one_network: bool, wanted: dict[str, str]) -> None:
    assert interface_sysctls(versions, host, in_one_network) == wanted


def test_sysctls_of_a_machine() -> None:
    """Those of TCP are named after IPv4 and hold for both."""
    names = [{name.split(".")[1] for name in sysctls(versions, True)} for versions in ([4], [6], [4, 6])]
    assert names == [{"mptcp", "ipv4"}, {"mptcp", "ipv4", "ipv6"}, {"mptcp", "ipv4", "ipv6"}]
    assert {name.split(".")[1] for name in sysctls([4, 6], False)} == {"mptcp", "ipv4"}


def test_machine_that_serves_and_connects_gets_both() -> None:
    hostvars, targets, _hosts = fabric(2, targets=2)
    plan = mptcp_plan(networks(2), hostvars, "t0", targets, ["t0", "h0"])
    assert [entry["address"] for entry in plan["addresses"]] == ["10.10.255.1/32"]
    assert {route["dst"] for route in plan["routes"] if route["type"] == "unicast"} == {"10.10.255.2/32"}
    assert len(plan["endpoints"]) == 2


def test_machine_in_no_group_gets_nothing_but_the_rails() -> None:
    hostvars, targets, hosts = fabric(2)
    plan = mptcp_plan(networks(2), {**hostvars, "x": machine(50, 2)}, "x", targets, hosts)
    assert (plan["endpoints"], plan["addresses"], plan["rules"]) == ([], [], [])


def test_host_does_not_read_other_hosts() -> None:
    """A fleet of n hosts must not read n * n sets of variables; a duplicate is found by the targets."""
    hostvars, targets, hosts = fabric(2, hosts=3)
    del hostvars["h2"]
    assert mptcp_plan(networks(2), hostvars, "h0", targets, hosts)["endpoints"]


def without(name: str, key: str) -> Any:
    hostvars, _targets, _hosts = fabric(2, 2, 2)
    del hostvars[name][key]
    return hostvars


def on_nic(name: str) -> dict[str, Any]:
    """A machine whose management NIC has the service address of t0."""
    hostvars = fabric(2, 2, 2)[0]
    facts = hostvars[name]["ansible_facts"]
    facts["interfaces"].append("mgmt0")
    facts["mgmt0"] = {"device": "mgmt0", "type": "ether", "ipv4": {"address": "10.10.255.1", "prefix": "24"}}
    return hostvars


def having(**changes: Any) -> Any:
    return {**fabric(2, 2, 2)[0], **changes}


@pytest.mark.parametrize(
    ("hostvars", "name", "says"),
    [
        (without("t0", "fabric_service_address"), "h0", ["fabric_service_address of target t0 is missing"]),
        (without("t1", "fabric_service_address"), "t0", ["fabric_service_address of target t1 is missing"]),
        (having(t0=machine(1, 2, "fish")), "t0", ["fabric_service_address of t0", "'fish'"]),
        (having(t0=machine(1, 2, "10.10.1.9")), "h0", ["10.10.1.9 of t0 is inside rail1 (10.10.1.0/24)"]),
        *[
            (having(t0=machine(1, 2, address)), "h0", [f"{address} of t0 is not an address that hosts can connect to"])
            for address in ("127.0.0.1", "224.0.0.1", "0.0.0.0", "169.254.0.9")
        ],
        (on_nic("h0"), "h0", ["10.10.255.1 of t0 is the address of mgmt0 on h0"]),
        (on_nic("t0"), "t0", ["10.10.255.1 of t0 is the address of mgmt0 on t0"]),
        (having(h0={**machine(101, 2), "fabric_rails": ["rail0"]}), "h0", ["fabric_rails of h0", "dictionary"]),
        (having(t1=machine(2, 2, "10.10.255.1")), "h0", ["10.10.255.1 is written for t0 and for t1"]),
        (having(t1=machine(1, 2, "10.10.255.2")), "h0", ["t1 and t0 both have 10.10.0.1 in rail0"]),
        (having(h0=machine(1, 2)), "h0", ["both have 10.10.0.1"]),
        (having(h1=machine(101, 2)), "t0", ["h1 and h0 both have 10.10.0.101"]),
        (having(h0=machine(101, 1)), "h0", ["h0 has no NIC in rail1"]),
        (having(t0=machine(1, 1, "10.10.255.1")), "h0", ["t0 has no NIC in rail1"]),
        (having(t0={"fabric_service_address": "10.10.255.1"}), "h0", ["addresses of t0 are not known"]),
    ],
)
def test_what_cannot_work_is_refused(hostvars: dict[str, Any], name: str, says: list[str]) -> None:
    with pytest.raises(BadFabric) as refused:
        mptcp_plan(networks(2), hostvars, name, ["t0", "t1"], ["h0", "h1"])
    for words in says:
        assert words in str(refused.value)


@pytest.mark.parametrize("names", [None, "t0", 5, [None], [["t0"]], {"t0": 1}])
@pytest.mark.parametrize("variable", ["targets", "hosts"])
def test_names_of_machines_are_a_list(variable: str, names: Any) -> None:
    given = {"targets": ["t0"], "hosts": ["h0"], variable: names}
    with pytest.raises(BadFabric, match=f"mptcp_{variable}: .* is not a list of inventory names"):
        mptcp_plan(networks(2), fabric(2)[0], "h0", **given)


def test_machine_named_twice_counts_once() -> None:
    hostvars, targets, hosts = fabric(2)
    assert mptcp_plan(networks(2), hostvars, "h0", targets * 2, hosts * 2) == mptcp_plan(
        networks(2), hostvars, "h0", targets, hosts
    )


@pytest.mark.parametrize("name", [["rail0"], {"rail": 0}, "rail\n0"])
def test_name_of_a_rail_is_a_word(name: Any) -> None:
    with pytest.raises(BadFabric, match=r"name .* is not a word"):
        mptcp_plan([{"name": name, "cidr": "10.10.0.0/24"}], *fabric(2)[:1], "h0", ["t0"], ["h0"])


@pytest.mark.parametrize("speed", [float("nan"), float("inf"), 10**400])
def test_speed_that_cannot_be_shared_out(speed: float) -> None:
    wanted = [{**rail, "speed": speed} for rail in networks(2)]
    with pytest.raises(BadFabric, match=r"speed .* of rail0 is not a number of Mbit/s"):
        mptcp_plan(wanted, fabric(2)[0], "h0", ["t0"], ["h0"])


@pytest.mark.parametrize("interface", [None, 5, "", "lo", "..", "../x", "a b", "x" * 16, ["eth1"], "eth1:1"])
def test_interface_that_is_no_name(interface: Any) -> None:
    written = {"rail0": {"interface": interface, "address": "10.10.0.9"}}
    hostvars = {**fabric(2)[0], "h0": {**machine(101, 2), "fabric_rails": written}}
    with pytest.raises(BadFabric, match=r"fabric_rails of h0: interface .* of rail0 is not the name of a NIC"):
        mptcp_plan(networks(2), hostvars, "h0", ["t0"], ["h0"])


@pytest.mark.parametrize("address", [5, True, ["10.10.255.1"], {"a": 1}, "255.255.255.255", "240.0.0.1", "0.1.2.3"])
def test_service_address_that_is_none(address: Any) -> None:
    hostvars = {**fabric(2)[0], "t0": {**machine(1, 2), "fabric_service_address": address}}
    with pytest.raises(BadFabric, match="fabric_service_address"):
        mptcp_plan(networks(2), hostvars, "h0", ["t0"], ["h0"])


def test_filters_tell_a_mistake_as_ansible_does() -> None:
    filters = FilterModule().filters()
    assert set(filters) == {"machine_rails", "mptcp_plan"}
    with pytest.raises(AnsibleFilterError, match="fabric_networks"):
        filters["machine_rails"]([], {}, "m")
