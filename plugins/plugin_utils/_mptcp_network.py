# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""What one machine needs so that every connection has exactly one subflow per rail, with any rail dead.

The plan, and what was measured for it in network namespaces (Linux 6.18, four rails):

- A target has one service address on C(lo), reachable over every rail; its port binds to that address alone.
- A host reaches it by one multipath route, a next hop per rail. The first subflow of a connection takes any living
  rail; each C(subflow) endpoint adds one bound to its NIC, which selects that NIC's next hop. No address is announced,
  so one that cannot be reached holds up nothing. 5 connections: 5 subflows on each of 4 rails, none doubled.
- Linux 6.16 and later keep a first subflow on the next hop that matches its source address (0.1 % of the bytes on other
  rails after the route was replaced eight times), so a machine needs no routing table per rail.
- A rail that dies silently (the link stays up) is left out as soon as its neighbour is FAILED. With the kernel's
  neighbour timers, a quarter of the new connections still failed after 20 s; with those below none did after 6 s.
- A join whose neighbour does not answer in time is not tried again: a rail that was away for 3 s was missing from the
  connections of that time for good with 3 probes, and from none with 10.
- Removing one NIC makes the kernel drop the whole multipath route. Worse-metric routes, one per rail, then carry on.
- Limits: a subflow that the host lost and the target still holds counts at the target, and the replacement of a first
  subflow counts as an additional one. With N or N - 1 the rail stays lost (join rejected); with 2 N it always healed.
- Blackhole routes of the worst metric and C(prohibit) rules: without them, packets for a dead rail follow the default
  route through the management NIC, where an answer can reset the subflow for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._rails import (
    BadFabric,
    addresses,
    machine_rails,
    parse_address,
    parse_networks,
)

# Metrics: worse than what an administrator writes by hand, better than a DHCP route's 1024; the last is the worst.
METRIC_MULTIPATH = 900
METRIC_RAIL = 901
METRIC_BLACKHOLE = 4294967295
# Priorities of rules: before main (32766); the prohibition after up to MAX_RAILS rails.
PRIORITY_RAIL = 7700
PRIORITY_PROHIBIT = 7799

Rails = list[dict[str, str]]


def service_address(hostvars: Mapping[str, Any], target: str) -> str:
    """The address under which a target is reached; raises BadFabric when it has none."""
    written = hostvars[target].get("fabric_service_address") if target in hostvars else None
    if not written:
        raise BadFabric(
            f"fabric_service_address of target {target} is missing: write an address of its own, outside every rail; "
            "it is put on the target's lo and reached over every rail"
        )
    return str(parse_address(written, f"fabric_service_address of {target}"))


def _service_addresses(
    networks: Any, hostvars: Mapping[str, Any], targets: Iterable[str]
) -> dict[netaddr.IPAddress, str]:
    """Each target by its service address, which must be able to stand beside the rails and the others."""
    taken: dict[netaddr.IPAddress, str] = {}
    for target in targets:
        address = netaddr.IPAddress(service_address(hostvars, target))
        for rail, cidr in parse_networks(networks).items():
            if address in cidr:
                raise BadFabric(
                    f"fabric_service_address {address} of {target} is inside {rail} ({cidr}); "
                    "take one outside every rail, or it can be reached over that rail alone"
                )
        if not address.is_unicast() or address.is_loopback() or address.is_link_local() or not int(address):
            raise BadFabric(f"fabric_service_address {address} of {target} is not an address that hosts can connect to")
        if address in taken:
            raise BadFabric(f"fabric_service_address {address} is written for {taken[address]} and for {target}")
        taken[address] = target
    return taken


def _check_rail_addresses(machines: Mapping[str, Rails]) -> None:
    taken: dict[str, str] = {}
    for machine, rails in machines.items():
        for rail in rails:
            other = taken.setdefault(rail["address"], machine)
            if other != machine:
                raise BadFabric(f"{machine} and {other} both have {rail['address']} in {rail['name']} ({rail['cidr']})")


def mptcp_plan(
    networks: Any, hostvars: Mapping[str, Any], name: str, targets: Iterable[str], hosts: Iterable[str]
) -> dict[str, Any]:
    """The description that M(nvmeof.mptcp.mptcp_endpoints) converges a machine to.

    networks: the list C(fabric_networks). hostvars: Ansible's, facts gathered for this machine and every target.
    name: the machine. targets, hosts: inventory names; a machine may be both, either or neither.
    Raises BadFabric, naming the variable and the value, for what cannot work.
    """
    targets, hosts = list(targets), list(hosts)
    services = _service_addresses(networks, hostvars, targets)
    # A host looks at the targets alone and the few targets look at all: no pair of machines goes unchecked, and a
    # fleet of n machines does not read n * n sets of variables.
    others = [*targets, *hosts] if name in targets else targets
    machines = {machine: machine_rails(networks, hostvars, machine) for machine in dict.fromkeys([name, *others])}
    _check_rail_addresses(machines)
    for machine in machines:
        for interface, address in addresses(hostvars[machine]):
            if address.ip in services:
                # Its prohibit rule would cut off all that uses the address now, ssh among it.
                raise BadFabric(
                    f"fabric_service_address {address.ip} of {services[address.ip]} is the address of {interface} "
                    f"on {machine}: take one that no NIC has; it is put on the target's lo"
                )
    rails = machines[name]
    plan: dict[str, Any] = {
        "rails": rails,
        "endpoints": [],
        "limits": {"subflows": 2 * len(rails), "add_addr_accepted": 0},
        "addresses": [],
        "routes": [_blackhole(rail["cidr"]) for rail in rails],
        "rules": [],
        "sysctls": dict(_SYSCTLS),
        "interface_sysctls": dict(_INTERFACE_SYSCTLS),
    }
    if name in targets:
        _serve(plan, rails, service_address(hostvars, name))
    if name in hosts:
        reached = {service_address(hostvars, target): machines[target] for target in targets if target != name}
        _reach(plan, rails, reached)
    return plan


def _blackhole(destination: str) -> dict[str, Any]:
    return {"type": "blackhole", "dst": destination, "metric": METRIC_BLACKHOLE, "nexthops": []}


def _unicast(destination: str, metric: int, nexthops: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": "unicast", "dst": destination, "metric": metric, "nexthops": nexthops}


def _serve(plan: dict[str, Any], rails: Rails, address: str) -> None:
    source = f"{address}/32"
    plan["addresses"].append({"address": source, "dev": "lo"})
    # Nothing leaves from the service address but over a rail: it cannot be reached through any other NIC.
    for index, rail in enumerate(rails):
        rule = {"priority": PRIORITY_RAIL + index, "from": source, "to": rail["cidr"], "action": "main"}
        plan["rules"].append(rule)
    plan["rules"].append({"priority": PRIORITY_PROHIBIT, "from": source, "to": "", "action": "prohibit"})


def _reach(plan: dict[str, Any], rails: Rails, targets: Mapping[str, Rails]) -> None:
    for index, rail in enumerate(rails):
        endpoint = {"address": rail["address"], "rail": rail["name"], "id": index + 1, "flags": ["subflow"]}
        plan["endpoints"].append(endpoint)
    plan["sysctls"].update(_HOST_SYSCTLS)
    plan["interface_sysctls"].update(_HOST_INTERFACE_SYSCTLS)
    for address, target_rails in targets.items():
        destination = f"{address}/32"
        nexthops = [{"via": rail["address"], "rail": rail["name"]} for rail in target_rails]
        plan["routes"].append(_unicast(destination, METRIC_MULTIPATH, nexthops))
        for index, nexthop in enumerate(nexthops):
            plan["routes"].append(_unicast(destination, METRIC_RAIL + index, [nexthop]))
        plan["routes"].append(_blackhole(destination))


_SYSCTLS = {
    "net.mptcp.enabled": "1",
    # Only the in-kernel path manager acts on endpoints.
    "net.mptcp.path_manager": "kernel",
    # One dropped SYN must not turn MPTCP off for an hour, for every connection of the machine.
    "net.mptcp.blackhole_timeout": "0",
    # Every subflow joins the address that was connected to first; 0 forbids just that.
    "net.mptcp.allow_join_initial_addr_port": "1",
}
_INTERFACE_SYSCTLS = {
    # A NIC without carrier must not attract packets; the blackhole route takes them.
    "net.ipv4.conf.{interface}.ignore_routes_with_linkdown": "1",
    # The service address is reached through a rail's own address and is never answered or asked for on the wire, also
    # when two rails turn out to share a switch.
    "net.ipv4.conf.{interface}.arp_ignore": "1",
    "net.ipv4.conf.{interface}.arp_announce": "2",
}
_HOST_SYSCTLS = {
    # Leave out a rail whose far end does not answer ARP although the link is up.
    "net.ipv4.fib_multipath_use_neigh": "1",
    # Spread first subflows by port: with the default, all of them to one target take one rail.
    "net.ipv4.fib_multipath_hash_policy": "1",
}
_HOST_INTERFACE_SYSCTLS = {
    # Answers come in on the subflow's rail, also while the best route is over another: strict checking drops them.
    "net.ipv4.conf.{interface}.rp_filter": "2",
    # A dead far end is noticed in about 5 s instead of up to 53 s; a connection that makes progress sends no probe.
    "net.ipv4.neigh.{interface}.base_reachable_time_ms": "2000",
    "net.ipv4.neigh.{interface}.delay_first_probe_time": "1",
    "net.ipv4.neigh.{interface}.retrans_time_ms": "500",
    # A join that no neighbour answers fails for good when the probes are used up: 30 s instead of 1.5 s, in which a
    # rail comes back or a busy target answers. Meanwhile the neighbour counts as dead: no first subflow waits for it.
    "net.ipv4.neigh.{interface}.mcast_solicit": "60",
}
