# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""From the described and the actual network to the commands between them. Pure: no I/O.

Adding or deleting an endpoint resets that rail on every connection, so one that is as described is never touched.
Creations come before deletions. What carries neither our routing protocol number nor our name is never changed.
"""

from __future__ import annotations

from typing import Any, List, Tuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.actual import PROTOCOL, sysctl_path
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.feasible import free_id
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.locate import locate


def sysctls(description: dict[str, Any], found: dict[str, str]) -> dict[str, str]:
    """The wanted value of every sysctl, by path."""
    wanted = {sysctl_path(name): str(value) for name, value in description["sysctls"].items()}
    for interface in found.values():
        for name, value in description["interface_sysctls"].items():
            wanted[sysctl_path(name, interface)] = str(value)
    return wanted


def names(description: dict[str, Any]) -> list[str]:
    """What a description makes ours and the kernel does not mark: endpoints and addresses."""
    endpoints = [f"endpoint {endpoint['address']}" for endpoint in description["endpoints"]]
    return endpoints + [f"address {entry['address']} {entry['dev']}" for entry in description["addresses"]]


class Plan:
    """Operations, and the state before and after them as lines by object."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.before: dict[str, str] = {}
        self.after: dict[str, str] = {}
        #: Endpoints that are replaced or removed: their rail is reset on every connection.
        self.resets: list[str] = []

    def keep(self, key: str, line: str) -> None:
        """An object that exists."""
        self.before[key] = self.after[key] = line

    def run(self, about: str, *argv: str) -> None:
        """A command."""
        self.operations.append(Operation("run", argv=argv, about=about))


def make(description: dict[str, Any], actual: dict[str, Any], values: dict[str, Any], owned: list[str]) -> Plan:
    """The plan from actual (as actual.read gives it) to a description.

    values: actual sysctls by path. owned: names() of what earlier descriptions created. Raises ValueError when no id
    is left for an endpoint.
    """
    found, problems = locate(description["rails"], actual["interfaces"])
    plan = Plan()
    _sysctls(plan, sysctls(description, found), values)
    _addresses(plan, description, actual)
    stale_routes = _routes(plan, description, actual, found, problems)
    stale_rules = _rules(plan, description, actual)
    _limits(plan, description, actual)
    _endpoints(plan, description, actual, found)
    _drop_endpoints(plan, description, actual, owned)
    for about, argv in (*stale_rules, *stale_routes):
        plan.run(about, *argv)
        del plan.after[about]
    _drop_addresses(plan, description, actual, owned)
    return plan


def _sysctls(plan: Plan, wanted: dict[str, str], values: dict[str, Any]) -> None:
    for path, value in wanted.items():
        plan.keep(path, f"{path} = {values.get(path)}")
        if values.get(path) != value:
            plan.operations.append(Operation("write", path=path, value=value, about=path))
            plan.after[path] = f"{path} = {value}"


def _addresses(plan: Plan, description: dict[str, Any], actual: dict[str, Any]) -> None:
    for entry in description["addresses"]:
        key = f"address {entry['address']} {entry['dev']}"
        if entry["address"] in actual["interfaces"].get(entry["dev"], {}).get("addresses", []):
            plan.keep(key, key)
            continue
        # It is never asked for on the wire, so nobody else can answer for it: usable at once, for a port to bind to.
        nodad = ("nodad",) if ":" in entry["address"] else ()
        plan.run(key, "ip", "address", "add", entry["address"], "dev", entry["dev"], *nodad)
        plan.after[key] = key


def _drop_addresses(plan: Plan, description: dict[str, Any], actual: dict[str, Any], owned: list[str]) -> None:
    for name in sorted(set(owned) - set(names(description))):
        kind, _, rest = name.partition(" ")
        address, _, dev = rest.partition(" ")
        if kind == "address" and address in actual["interfaces"].get(dev, {}).get("addresses", []):
            plan.before[name] = name
            plan.run(name, "ip", "address", "del", address, "dev", dev)


Stale = List[Tuple[str, Tuple[str, ...]]]


def _ip(prefix: str, *words: str) -> tuple[str, ...]:
    # Without a family, ip takes some IPv6 objects for IPv4 ones that are not there.
    return ("ip", "-6", *words) if ":" in prefix else ("ip", *words)


def _table(route: dict[str, Any]) -> tuple[str, ...]:
    return () if route.get("table", "main") == "main" else ("table", route["table"])


def _route_key(route: dict[str, Any]) -> str:
    return " ".join(("route", route["dst"], "metric", str(route["metric"]), *_table(route)))


def _route_argv(route: dict[str, Any], hops: list[tuple[str, str]]) -> tuple[str, ...]:
    kind = () if route["type"] == "unicast" else (route["type"],)
    argv = (*kind, route["dst"], "metric", str(route["metric"]), *_table(route), "proto", PROTOCOL)
    if len(hops) == 1:
        via = ("via", hops[0][0]) if hops[0][0] else ()
        return (*argv, *via, "dev", hops[0][1])
    return (*argv, *(word for via, dev in hops for word in ("nexthop", "via", via, "dev", dev)))


def _hops(route: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hop["via"], hop["dev"]) for hop in route["nexthops"]]


def _routes(
    plan: Plan, description: dict[str, Any], actual: dict[str, Any], found: dict[str, str], problems: dict[str, str]
) -> Stale:
    present = {_route_key(route): route for route in actual["routes"]}
    for key, route in present.items():
        plan.keep(key, " ".join(_route_argv(route, _hops(route))))
    described = {rail["name"]: rail["interface"] for rail in description["rails"]}
    for route in description["routes"]:
        key, now = _route_key(route), present.get(_route_key(route))
        every = [(hop["via"], found.get(hop["rail"], described[hop["rail"]])) for hop in route["nexthops"]]
        # The kernel refuses a next hop on a NIC that is down, and keeps one that was there before.
        usable = [pair for hop, pair in zip(route["nexthops"], every) if hop["rail"] not in problems]
        if not usable and route["nexthops"]:
            continue
        hops = _hops(now) if now else []
        if now and now["type"] == route["type"] and set(usable) <= set(hops) <= set(every):
            continue
        argv = _route_argv(route, usable)
        plan.run(key, *_ip(route["dst"], "route", "replace" if now else "add"), *argv)
        plan.after[key] = " ".join(argv)
    wanted = {_route_key(route) for route in description["routes"]}
    gone = [(key, route) for key, route in present.items() if key not in wanted]
    return [(key, (*_ip(route["dst"], "route", "del"), *_route_argv(route, _hops(route)))) for key, route in gone]


def _rule_argv(rule: dict[str, Any]) -> tuple[str, ...]:
    to = ("to", rule["to"]) if rule["to"] else ()
    action = ("prohibit",) if rule["action"] == "prohibit" else ("lookup", rule["action"])
    return ("from", rule["from"] or "all", *to, *action, "priority", str(rule["priority"]), "protocol", PROTOCOL)


def _rules(plan: Plan, description: dict[str, Any], actual: dict[str, Any]) -> Stale:
    present = [_rule_argv(rule) for rule in actual["rules"]]
    wanted = [_rule_argv(rule) for rule in description["rules"]]
    for argv in present:
        plan.keep(f"rule {' '.join(argv)}", " ".join(argv))
    for argv in wanted:
        if argv not in present:
            key = f"rule {' '.join(argv)}"
            plan.run(key, *_ip(argv[1], "rule", "add"), *argv)
            plan.after[key] = " ".join(argv)
    return [(f"rule {' '.join(argv)}", (*_ip(argv[1], "rule", "del"), *argv)) for argv in present if argv not in wanted]


def _limits(plan: Plan, description: dict[str, Any], actual: dict[str, Any]) -> None:
    def line(limits: dict[str, int]) -> tuple[str, ...]:
        return ("subflows", str(limits["subflows"]), "add_addr_accepted", str(limits["add_addr_accepted"]))

    plan.keep("limits", " ".join(line(actual["limits"])))
    if actual["limits"] != description["limits"]:
        plan.run("limits", "ip", "mptcp", "limits", "set", *line(description["limits"]))
        plan.after["limits"] = " ".join(line(description["limits"]))


def _endpoint_line(address: str, dev: str, flags: list[str]) -> str:
    return f"{address} dev {dev} {' '.join(sorted(flags))}"


def _endpoints(plan: Plan, description: dict[str, Any], actual: dict[str, Any], found: dict[str, str]) -> None:
    present = {endpoint["address"]: endpoint for endpoint in actual["endpoints"]}
    taken = {endpoint["id"] for endpoint in actual["endpoints"]}
    for endpoint in description["endpoints"]:
        address, dev = endpoint["address"], found.get(endpoint["rail"])
        key, now, number = f"endpoint {address}", present.get(address), endpoint["id"]
        if now:
            plan.keep(key, _endpoint_line(address, now["dev"], now["flags"]))
        line = _endpoint_line(address, dev or "", endpoint["flags"])
        if dev is None or (now and plan.before[key] == line and not now["port"]):
            continue
        if not now and not actual["interfaces"][dev]["carrier"]:
            # Nothing could be opened, and what was closed for that reason would be opened in vain.
            continue
        if now:
            plan.after[key] = line
            changes = _changes(now, dev, endpoint["flags"])
            if changes:
                plan.run(key, "ip", "mptcp", "endpoint", "change", "id", str(now["id"]), *changes)
                continue
            plan.run(key, "ip", "mptcp", "endpoint", "delete", "id", str(now["id"]))
            plan.resets.append(address)
            taken.discard(now["id"])
        number = free_id(number, taken, address)
        taken.add(number)
        argv = ("ip", "mptcp", "endpoint", "add", address, "dev", dev, "id", str(number), *endpoint["flags"])
        plan.run(key, *argv)
        plan.after[key] = line


def _changes(now: dict[str, Any], dev: str, flags: list[str]) -> list[str]:
    """What C(ip mptcp endpoint change) needs, or nothing when only another endpoint will do, which resets the rail."""
    differ = set(now["flags"]) ^ set(flags)
    if now["dev"] != dev or now["port"] or not differ <= {"backup", "fullmesh"}:
        return []
    return [flag if flag in flags else f"no{flag}" for flag in sorted(differ)]


def _drop_endpoints(plan: Plan, description: dict[str, Any], actual: dict[str, Any], owned: list[str]) -> None:
    stale = set(owned) - set(names(description))
    for endpoint in actual["endpoints"]:
        key = f"endpoint {endpoint['address']}"
        if key in stale:
            plan.before[key] = _endpoint_line(endpoint["address"], endpoint["dev"], endpoint["flags"])
            plan.run(key, "ip", "mptcp", "endpoint", "delete", "id", str(endpoint["id"]))
            plan.resets.append(endpoint["address"])


def foreign(description: dict[str, Any], actual: dict[str, Any], owned: list[str]) -> list[str]:
    """Endpoints that somebody else made (NetworkManager, mptcpd, a person); they are left alone."""
    ours = {*owned, *names(description)}
    return [
        _endpoint_line(endpoint["address"], endpoint["dev"], endpoint["flags"])
        for endpoint in actual["endpoints"]
        if f"endpoint {endpoint['address']}" not in ours
    ]
