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

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _mptcp_pm

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
    """The value, or None when this kernel has no such sysctl."""
    if not os.path.exists(path):
        return None
    with open(path, encoding="ascii") as stream:
        return stream.read().strip()


def interfaces(links: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """NICs by name, from C(ip -j address): index, whether up, whether it has carrier, addresses with prefix."""
    return {
        link["ifname"]: {
            "index": link["ifindex"],
            "up": "UP" in link["flags"],
            "carrier": "LOWER_UP" in link["flags"],
            "addresses": [f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"] if "local" in entry],
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
        name, entries = link["ifname"], [entry for entry in link["addr_info"] if entry.get("family") == "inet"]
        found = [{"address": entry["local"], "prefix": str(entry["prefixlen"])} for entry in entries]
        fact: dict[str, Any] = {
            "device": name,
            "active": link["operstate"] != "DOWN",
            "mtu": link["mtu"],
            "type": "loopback" if "LOOPBACK" in link["flags"] else "ether",
        }
        if found:
            fact["ipv4"] = found[0]
            fact["ipv4_secondaries"] = found[1:]
        facts["interfaces"].append(name)
        facts[re.sub("[-.:]", "_", name)] = fact
    return facts


def route(entry: dict[str, Any]) -> dict[str, Any]:
    """One route of C(ip -j -N route)."""
    hops = entry.get("nexthops") or ([entry] if "dev" in entry else [])
    kind = str(entry.get("type", "1"))
    return {
        "type": _ROUTE_TYPES.get(kind, kind),
        "dst": str(ipaddress.ip_network(entry["dst"])),
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
    return str(ipaddress.ip_network(f"{value}/{entry.get(key + 'len', 32)}"))


def read() -> dict[str, Any]:
    """Everything that the planner compares, but sysctls, which it asks for by path. Raises OSError."""
    links = interfaces(ip_json("address", "show"))
    return {
        "interfaces": links,
        "endpoints": _mptcp_pm.endpoints({link["index"]: name for name, link in links.items()}),
        "limits": _mptcp_pm.limits(),
        "routes": [route(entry) for entry in ip_json("-4", "route", "show", "table", "main", "proto", PROTOCOL)],
        "rules": [rule(entry) for entry in ip_json("-4", "rule", "show") if str(entry.get("protocol")) == PROTOCOL],
    }
