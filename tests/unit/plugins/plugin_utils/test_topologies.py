# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every topology of topologies.yml has exactly its plan, and every one of impossible_topologies.yml its error.

Machines t... serve, h... connect, b... do both, x... neither. The notation of a plan, in which every command counts:
C(limit N) subflows; C(serve S on NETS) is the address, a rule for each network and the prohibition; C(endpoints A%NIC);
C(drop NETS) are blackholes; C(to D via HOPS) is the multipath route, a route for each hop in that order (with C(then),
in the order of what follows), and a blackhole; C(answer A over NIC) and C(beyond NET via HOP) are a route and a
blackhole; C(alone A table T) is a rule and the routes of its table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.mptcp_network import mptcp_plan
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import BadFabric

HERE = Path(__file__).parent
POSSIBLE = yaml.safe_load((HERE / "topologies.yml").read_text())
IMPOSSIBLE = yaml.safe_load((HERE / "impossible_topologies.yml").read_text())
WORST = 4294967295


def fabric(case: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """fabric_networks and hostvars. A rail that is only a network is named rail0, rail1, ..."""
    rails = case["rails"]
    if isinstance(rails, list):
        named = [rail if isinstance(rail, dict) else {"cidr": rail} for rail in rails]
        rails = [{"name": f"rail{number}", **rail} for number, rail in enumerate(named)]
    return rails, {name: variables(case["machines"][name]) for name in case["machines"]}


def variables(machine: dict[str, Any]) -> dict[str, Any]:
    """A machine written as {NIC: 'address/length ... mtu N', service: address, rails: fabric_rails}."""
    facts: dict[str, Any] = {"interfaces": []}
    for nic, words in machine.items():
        if nic in ("service", "rails"):
            continue
        addresses, _, mtu = words.partition(" mtu ")
        entries = [dict(zip(("address", "prefix"), word.split("/"))) for word in addresses.split()]
        old = [entry for entry in entries if ":" not in entry["address"]]
        fact = {"device": nic, "type": "ether", "ipv4_secondaries": old[1:], **({"ipv4": old[0]} if old else {})}
        fact["ipv6"] = [entry for entry in entries if ":" in entry["address"]]
        facts["interfaces"].append(nic)
        facts[nic.replace(".", "_").replace("-", "_")] = {**fact, **({"mtu": int(mtu)} if mtu else {})}
    found = {"ansible_facts": facts} if facts["interfaces"] else {}
    service = {"fabric_service_address": machine["service"]} if "service" in machine else {}
    return {**found, **service, **({"fabric_rails": machine["rails"]} if "rails" in machine else {})}


def plan(case: dict[str, Any], name: str) -> dict[str, Any]:
    networks, hostvars = fabric(case)
    targets = [one for one in hostvars if one[0] in "tb"]
    return mptcp_plan(networks, hostvars, name, targets, [one for one in hostvars if one[0] in "hb"])


def notation(made: dict[str, Any]) -> Iterator[str]:
    """A plan in the notation above; whatever does not fit into it fails."""
    nics = {rail["name"]: rail["interface"] for rail in made["rails"]}
    assert made["limits"].pop("add_addr_accepted") == 0
    yield f"limit {made['limits'].pop('subflows')}"
    yield from _serving(made)
    if made["endpoints"]:
        assert [one["id"] for one in made["endpoints"]] == list(range(1, len(made["endpoints"]) + 1))
        assert {one["flags"][0] for one in made["endpoints"]} == {"subflow"}
        words = ["+".join([f"{one['address']}%{nics[one['rail']]}", *one["flags"][1:]]) for one in made["endpoints"]]
        yield f"endpoints {' '.join(words)}"
    yield from _routing(made, nics)


def _serving(made: dict[str, Any]) -> Iterator[str]:
    for entry in made["addresses"]:
        assert entry["dev"] == "lo"
        rules = [rule for rule in made["rules"] if rule["from"] == entry["address"]]
        assert [rule["priority"] for rule in rules] == [*range(7700, 7699 + len(rules)), 7799]
        assert [rule["action"] for rule in rules] == [*["main"] * (len(rules) - 1), "prohibit"]
        assert rules[-1]["to"] == ""
        yield f"serve {entry['address']} on {' '.join(rule['to'] for rule in rules[:-1])}"
        made["rules"] = [rule for rule in made["rules"] if rule not in rules]


def _routing(made: dict[str, Any], nics: dict[str, str]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for route in made["routes"]:
        groups.setdefault((route["dst"], route.get("table", "main")), []).append(route)
    dropped = []
    for (dst, table), routes in groups.items():
        last = routes.pop()
        assert (last["type"], last["metric"], last["nexthops"]) == ("blackhole", WORST, [])
        assert [route["metric"] for route in routes] == [900 + number for number in range(len(routes))]
        hops = [[f"{hop['via']}%{nics[hop['rail']]}" for hop in route["nexthops"]] for route in routes]
        singles = [hop for single in hops[1:] for hop in single]
        if table != "main":
            [rule] = [rule for rule in made["rules"] if rule["action"] == table]
            assert (str(rule["priority"]), rule["to"], len(hops) <= 1) == (table, "", True)
            yield f"alone {rule['from']} table {table} to {dst} via {hops[0][0] if hops else 'nothing'}"
        elif not hops:
            dropped.append(dst)
        elif len(hops) == 1:
            [[hop]] = hops
            yield f"answer {dst} over {hop[1:]}" if hop[0] == "%" else f"beyond {dst} via {hop}"
        else:
            assert len(singles) == len(hops) - 1
            yield f"to {dst} via {' '.join(hops[0])}" + ("" if singles == hops[0] else f" then {' '.join(singles)}")
    yield f"drop {' '.join(dropped)}"
    tables = {route["table"] for route in made["routes"] if "table" in route}
    assert {rule["action"] for rule in made["rules"]} == tables


@pytest.mark.parametrize(
    ("case", "name"),
    [(case, name) for case in POSSIBLE for name in case["plan"]],
    ids=[f"{case['name']}: {name}" for case in POSSIBLE for name in case["plan"]],
)
def test_plan(case: dict[str, Any], name: str) -> None:
    assert list(notation(plan(case, name))) == case["plan"][name]


@pytest.mark.parametrize("case", IMPOSSIBLE, ids=[case["name"] for case in IMPOSSIBLE])
def test_impossible(case: dict[str, Any]) -> None:
    with pytest.raises(BadFabric) as refused:
        plan(case, case["for"])
    assert str(refused.value) == case["says"]


def test_tables_hold_what_they_should() -> None:
    for cases in (POSSIBLE, IMPOSSIBLE):
        assert len(cases) >= 40
        assert len({case["name"] for case in cases}) == len(cases)
