# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Whether a description of the network can be converged to at all. Pure: no I/O."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import shape
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import checked

#: MPTCP_PM_MAX_ADDR_ID.
_MAX_ID = 255
#: What a description has.
SHAPE: dict[str, Any] = {
    "rails": [{"name": str, "cidr": str, "interface": str, "address": str}],
    "endpoints": [
        {"address": str, "rail": str, "id": int, "flags": [("signal", "subflow", "backup", "fullmesh")]},
    ],
    "limits": {"subflows": int, "add_addr_accepted": int},
    "addresses": [{"address": str, "dev": str}],
    "routes": [
        {
            "type": ("unicast", "blackhole"),
            "dst": str,
            "metric": int,
            "table?": str,
            "nexthops": [{"via": str, "rail": str}],
        },
    ],
    "rules": [{"priority": int, "from": str, "to": str, "action": str}],
    "sysctls": {...: (str, int)},
    "interface_sysctls": {...: (str, int)},
}


def check(description: dict[str, Any]) -> None:
    """Raises ValueError, naming option, value and remedy, for what neither the kernel nor the planner can take."""
    shape.check(description, SHAPE)
    rails = [rail["name"] for rail in description["rails"]]
    _once("rails", "name", rails)
    for rail in description["rails"]:
        # A part of sysctls' paths, and a word of ip's commands.
        checked("interface", rail["interface"], f"rails: interface of {rail['name']}")
        _written("rails", "cidr", rail["cidr"], ipaddress.ip_network, "a network such as 198.51.100.0/24")
        _written("rails", "address", rail["address"], ipaddress.ip_address, "an address such as 198.51.100.5")
    for endpoint in description["endpoints"]:
        _endpoint(endpoint, rails)
    _once("endpoints", "address", [endpoint["address"] for endpoint in description["endpoints"]])
    _once("endpoints", "id", [endpoint["id"] for endpoint in description["endpoints"]])
    _limits(description["limits"])
    for entry in description["addresses"]:
        checked("interface", entry["dev"], f"addresses: dev of {entry['address']}")
        _written("addresses", "address", entry["address"], ipaddress.ip_interface, "an address such as 198.51.100.5/32")
    for route in description["routes"]:
        _route(route, rails)
    for rule in description["rules"]:
        _rule(rule)
    for option in ("sysctls", "interface_sysctls"):
        _sysctls(option, description[option])


def _written(option: str, key: str, value: str, parse: Callable[[str], Any], like: str) -> None:
    try:
        parsed = parse(value)
    except ValueError:
        raise ValueError(f"{option}: {key} {value!r} is not {like}") from None
    # The kernel tells it in this spelling, and what it tells is compared.
    if str(parsed) != value:
        raise ValueError(f"{option}: {key} {value!r} must be written as the kernel shows it: {parsed}")


def _once(option: str, key: str, values: list[Any]) -> None:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{option}: {key} {twice[0]} is there twice; each needs its own")


def _rail(option: str, name: str, rails: list[str]) -> None:
    if name not in rails:
        raise ValueError(
            f"{option}: rail {name!r} is not one of rails ({', '.join(rails)}); add it there or correct it"
        )


def _endpoint(endpoint: dict[str, Any], rails: list[str]) -> None:
    address, flags = endpoint["address"], set(endpoint["flags"])
    _written("endpoints", "address", address, ipaddress.ip_address, "an address such as 198.51.100.5")
    _rail(f"endpoints: {address}", endpoint["rail"], rails)
    if not 1 <= endpoint["id"] <= _MAX_ID:
        raise ValueError(f"endpoints: id {endpoint['id']} of {address} is not a number from 1 to {_MAX_ID}")
    if {"signal", "fullmesh"} <= flags:
        raise ValueError(f"endpoints: {address} has signal and fullmesh, which the kernel refuses; leave one out")


def _route(route: dict[str, Any], rails: list[str]) -> None:
    where = f"routes: {route['dst']}"
    _written("routes", "dst", route["dst"], ipaddress.ip_network, "a prefix such as 198.51.100.9/32")
    if (route["type"] == "blackhole") == bool(route["nexthops"]):
        raise ValueError(f"{where}: a unicast route needs next hops, a blackhole has none; got {route['nexthops']}")
    if not 1 <= route["metric"] < 2**32:
        raise ValueError(f"{where}: metric {route['metric']} is not a number from 1 to 4294967295")
    for hop in route["nexthops"]:
        _rail(where, hop["rail"], rails)
        if hop["via"]:
            _written(where, "via", hop["via"], ipaddress.ip_address, "the address of a gateway")
        elif len(route["nexthops"]) > 1:
            raise ValueError(f"{where}: the next hop over {hop['rail']} has no via; one of several needs it")


def _limits(limits: dict[str, int]) -> None:
    for name in SHAPE["limits"]:
        value = limits[name]
        if not 0 <= value <= _MAX_ID:
            raise ValueError(f"limits: {name} {value} is not a number from 0 to {_MAX_ID}")


def _rule(rule: dict[str, Any]) -> None:
    for side in ("from", "to"):
        if rule[side]:
            _written("rules", side, rule[side], ipaddress.ip_network, "a prefix such as 198.51.100.5/32")


def _sysctls(option: str, values: dict[str, Any]) -> None:
    for name in values:
        if not re.fullmatch(r"[a-z0-9_{}]+(\.[a-z0-9_{}]+)+", name):
            raise ValueError(f"{option}: {name!r} is not the name of a sysctl, such as net.mptcp.enabled")
