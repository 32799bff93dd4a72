# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The network as the kernel has it, in the shape that the planner compares: NICs, endpoints, limits, routes, rules.

Routes and rules are ours when they carry our routing protocol number; everything else is not read at all.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import pm

#: rtm_protocol / FRA_PROTOCOL of our routes and rules; unassigned in include/uapi/linux/rtnetlink.h and in iproute2.
PROTOCOL = "77"
# With -N, iproute2 prints numbers: RTN_BLACKHOLE, FR_ACT_PROHIBIT, RT_TABLE_MAIN.
_ROUTE_TYPES = {"1": "unicast", "6": "blackhole"}
_RULE_ACTIONS = {"8": "prohibit"}
_TABLES = {"254": "main"}


class ToolFailed(OSError):
    """iproute2 is missing or could not answer."""


def ip_json(*arguments: str) -> Any:
    """The answer of C(ip -j -N ...)."""
    argv = ["ip", "-j", "-N", *arguments]
    try:
        result = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError:
        raise ToolFailed(2, "the command ip is not there: install the package iproute2") from None
    if result.returncode:
        raise ToolFailed(result.returncode, f"`{' '.join(argv)}`: {result.stderr.strip()}")
    return json.loads(result.stdout or "[]")


def sysctl_path(name: str, interface: str = "", root: str = "/proc/sys") -> str:
    """The file of a sysctl; C({interface}) stands for a NIC, whose name may hold dots."""
    return "/".join([root, *(part.replace("{interface}", interface) for part in name.split("."))])


def read_sysctl(path: str) -> str | None:
    """The value, or None when this kernel has no such sysctl. The numbers of a list have one space between them."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="ascii") as stream:
        return " ".join(stream.read().split())


def interfaces(links: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """NICs by name, from C(ip -j address): index, whether up, whether it has carrier, addresses with prefix."""
    return {
        link["ifname"]: {
            "index": link["ifindex"],
            "up": "UP" in link["flags"],
            "carrier": "LOWER_UP" in link["flags"],
            # IPv6 refuses to use an address before it knows that nobody else has it.
            "addresses": [
                f"{entry['local']}/{entry['prefixlen']}"
                for entry in link["addr_info"]
                if "local" in entry and not entry.get("tentative")
            ],
        }
        for link in links
        if "ifname" in link
    }


def nic_facts(links: list[dict[str, Any]]) -> dict[str, Any]:
    """The NICs of C(ip -j address) in the names and the shape of Ansible's setup module."""
    facts: dict[str, Any] = {"interfaces": []}
    for link in links:
        if "ifname" not in link:
            continue
        name = link["ifname"]
        # A privacy address is replaced every day; no plan can hold it.
        entries = [entry for entry in link["addr_info"] if "local" in entry and not entry.get("temporary")]
        found = [_address_fact(entry) for entry in entries if entry["family"] == "inet"]
        found6 = [_address_fact(entry) for entry in entries if entry["family"] == "inet6"]
        fact: dict[str, Any] = {
            "device": name,
            "active": link["operstate"] != "DOWN",
            "mtu": link["mtu"],
            "type": "loopback" if "LOOPBACK" in link["flags"] else "ether",
        }
        if found:
            fact["ipv4"] = found[0]
            fact["ipv4_secondaries"] = found[1:]
        if found6:
            fact["ipv6"] = found6
        facts["interfaces"].append(name)
        facts[re.sub("[-.:]", "_", name)] = fact
    return facts


def _address_fact(entry: dict[str, Any]) -> dict[str, str]:
    return {"address": entry["local"], "prefix": str(entry["prefixlen"])}


def route(entry: dict[str, Any]) -> dict[str, Any]:
    """One route of C(ip -j -N route)."""
    kind = _ROUTE_TYPES.get(str(entry.get("type", "1")), str(entry.get("type")))
    # IPv6 shows a blackhole as a route over lo.
    hops = entry.get("nexthops") or ([entry] if "dev" in entry and kind == "unicast" else [])
    table = str(entry.get("table", "254"))
    return {
        "type": kind,
        "dst": str(ipaddress.ip_network(entry["dst"])),
        "table": _TABLES.get(table, table),
        "metric": entry.get("metric", 0),
        "nexthops": [{"via": hop.get("gateway", ""), "dev": hop["dev"]} for hop in hops],
    }


def rule(entry: dict[str, Any]) -> dict[str, Any]:
    """One rule of C(ip -j -N rule)."""
    action = str(entry.get("action", entry.get("table", "")))
    return {
        "priority": entry["priority"],
        "from": _prefix(entry, "src"),
        "to": _prefix(entry, "dst"),
        "action": _RULE_ACTIONS.get(action, _TABLES.get(action, action)),
    }


def _prefix(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key, "all")
    if value == "all":
        return ""
    length = f"/{entry[key + 'len']}" if key + "len" in entry else ""
    return str(ipaddress.ip_network(f"{value}{length}"))


def _of_both_families(*arguments: str) -> list[dict[str, Any]]:
    return [entry for family in ("-4", "-6") for entry in ip_json(family, *arguments)]


def read() -> dict[str, Any]:
    """Everything that the planner compares, but sysctls, which it asks for by path. Raises OSError."""
    links = interfaces(ip_json("address", "show"))
    return {
        "interfaces": links,
        "endpoints": pm.endpoints({link["index"]: name for name, link in links.items()}),
        "limits": pm.limits(),
        "routes": [route(entry) for entry in _of_both_families("route", "show", "table", "all", "proto", PROTOCOL)],
        "rules": [rule(entry) for entry in _of_both_families("rule", "show") if str(entry.get("protocol")) == PROTOCOL],
    }
