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
  rails after the route was replaced eight times), so an IPv4 machine needs no routing table per rail. IPv6 does not:
  32 % of the bytes left by another rail after six replacements. There a rule for each rail's address leads to a table
  with that rail's routes alone: 0 %.
- A rail that dies silently (the link stays up) is left out as soon as its neighbour is FAILED. With the kernel's
  neighbour timers, a quarter of the new connections still failed after 20 s; with those below none did after 6 s.
- Not so for IPv6: the kernel takes a neighbour that it is still looking for as alive, and the joins to a silent rail
  keep it looking. New connections that choose the rail time out for as long as it is silent; a link that is down is
  left out. So the unit asks over each rail and withdraws the next hop where nothing answers (_mptcp/reach.py). Groups
  of next hop objects would leave it out, but give every first subflow the address of their first NIC.
- A join whose neighbour does not answer in time is not tried again by the kernel: the unit does (_mptcp/heal.py). With
  60 probes instead of 3 it need not, but then a rail without carrier is away for up to 30 s more: TCP does not repeat
  a packet that still waits for a neighbour.
- Removing one NIC makes the kernel drop the whole multipath route. Worse-metric routes, one per rail, then carry on.
- Limits: a subflow that the host lost and the target still holds counts at the target, and the replacement of a first
  subflow counts as an additional one. With N or N - 1 the rail stays lost (join rejected); with 2 N it always healed.
- When rails share one network, the connected route of the first NIC would take what a target answers on all of them: a
  route to each address of a host keeps it on its rail. The hosts need nothing more; ARP is settled by the sysctls.
- Rails of unequal speed need nothing: 80, 40 and 20 Mbit/s carried 56, 29 and 15 % of one connection, 129 Mbit/s.
- Behind a router, the kernel does not see that a target's end is dead: connections that choose such a rail time out
  until the unit has withdrawn that next hop, 2 s after it has looked.
- A rail that is a backup is no next hop of the multipath route, so that no first subflow takes it while another lives.
- Blackhole routes of the worst metric and C(prohibit) rules: without them, packets for a dead rail follow the default
  route through the management NIC, where an answer can reset the subflow for good.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import shown
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.checks import (
    check_in_common,
    check_machines,
    service_addresses,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import (
    BadFabric,
    Rail,
    parse_networks,
    shared,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.rails import Nic, find_nics
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.sysctls import interface_sysctls, sysctls

# Metrics: worse than what an administrator writes by hand, better than a DHCP route's 1024; the last is the worst.
METRIC_MULTIPATH = 900
METRIC_RAIL = 901
METRIC_BLACKHOLE = 4294967295
# Priorities of rules: before main (32766); the prohibition after up to MAX_SUBNETS networks.
PRIORITY_RAIL = 7700
PRIORITY_PROHIBIT = 7799
# Tables of single rails, each looked up by the rule with its own number as priority.
TABLE_RAIL = 7600

Nics = Mapping[str, Nic]


def mptcp_plan(
    networks: Any, hostvars: Mapping[str, Any], name: str, targets: Iterable[str], hosts: Iterable[str]
) -> dict[str, Any]:
    """The description that M(nvmeof.mptcp.mptcp_endpoints) converges a machine to.

    networks: the list C(fabric_networks). hostvars: Ansible's, facts gathered for this machine and every target.
    name: the machine. targets, hosts: inventory names; a machine may be both, either or neither.
    Raises BadFabric, naming the variable and the value, for what cannot work.
    """
    targets, hosts = _names("targets", targets), _names("hosts", hosts)
    rails = parse_networks(networks)
    services = service_addresses(rails, hostvars, targets)
    # A host looks at the targets alone and the few targets look at all: no pair of machines goes unchecked, and a
    # fleet of n machines does not read n * n sets of variables.
    others = [*targets, *hosts] if name in targets else targets
    machines = {machine: find_nics(rails, hostvars, machine) for machine in dict.fromkeys([name, *others])}
    check_machines(machines, services, hostvars)
    nics = machines[name]
    in_one_network = any(len(shared(rails, nic.rail)) > 1 for nic in nics.values())
    versions = [nic.rail.version for nic in nics.values()]
    plan: dict[str, Any] = {
        "rails": [nic.as_option() for nic in nics.values()],
        "endpoints": [],
        # A connection has subflows of its own family alone.
        "limits": {"subflows": 2 * max(map(versions.count, versions)), "add_addr_accepted": 0},
        "addresses": [],
        "routes": _own_networks(nics),
        "rules": [],
        "sysctls": sysctls(versions, name in hosts),
        "interface_sysctls": interface_sysctls(versions, name in hosts, in_one_network),
    }
    if name in targets:
        _serve(plan, nics, services[name])
        answered = [machines[host] for host in hosts if host != name]
        plan["routes"] += [route for host in answered for route in _answers(rails, nics, host)]
    if name in hosts:
        reached = {target: machines[target] for target in targets if target != name}
        for target, target_nics in reached.items():
            check_in_common(name, nics, target, target_nics, services[target])
        # By place in the description, so that a rail keeps its table when the machine is put into another one.
        tables = {rail: str(TABLE_RAIL + place) for place, rail in enumerate(rails)}
        _reach(plan, nics, {services[target]: target_nics for target, target_nics in reached.items()}, tables)
    return plan


def _names(variable: str, names: Any) -> list[str]:
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise BadFabric(f"mptcp_{variable}: {shown(names)} is not a list of inventory names; write [name, ...], or []")
    return list(dict.fromkeys(names))


def _host(address: netaddr.IPAddress) -> str:
    return str(netaddr.IPNetwork(address))


def _blackhole(destination: str, **table: str) -> dict[str, Any]:
    return {"type": "blackhole", "dst": destination, "metric": METRIC_BLACKHOLE, "nexthops": [], **table}


def _unicast(destination: str, metric: int, nexthops: list[dict[str, str]], **table: str) -> dict[str, Any]:
    return {"type": "unicast", "dst": destination, "metric": metric, "nexthops": nexthops, **table}


def _own_networks(nics: Nics) -> list[dict[str, Any]]:
    """A rail's network is reached over the rail, the others of a routed rail through its router, or not at all."""
    routes = []
    for nic in nics.values():
        for subnet in nic.rail.subnets:
            if subnet != nic.subnet:
                hop = {"via": str(nic.subnet.gateway), "rail": nic.rail.name}
                routes.append(_unicast(str(subnet.cidr), METRIC_MULTIPATH, [hop]))
            blackhole = _blackhole(str(subnet.cidr))
            routes += [blackhole] if blackhole not in routes else []
    return routes


def _serve(plan: dict[str, Any], nics: Nics, address: netaddr.IPAddress) -> None:
    source = _host(address)
    plan["addresses"].append({"address": source, "dev": "lo"})
    # Nothing leaves from the service address but over a rail: it cannot be reached through any other NIC.
    cidrs = [
        str(subnet.cidr) for nic in nics.values() if nic.rail.version == address.version for subnet in nic.rail.subnets
    ]
    for index, cidr in enumerate(dict.fromkeys(cidrs)):
        plan["rules"].append({"priority": PRIORITY_RAIL + index, "from": source, "to": cidr, "action": "main"})
    plan["rules"].append({"priority": PRIORITY_PROHIBIT, "from": source, "to": "", "action": "prohibit"})


def _answers(rails: Mapping[str, Rail], nics: Nics, host: Nics) -> Iterable[dict[str, Any]]:
    """Routes of a target to a host's addresses in a network that rails share, each over the rail of that address."""
    for name, nic in host.items():
        if name in nics and len(shared(rails, nic.rail)) > 1:
            yield _unicast(_host(nic.address), METRIC_MULTIPATH, [{"via": "", "rail": name}])
            yield _blackhole(_host(nic.address))


def _reach(
    plan: dict[str, Any], nics: Nics, targets: Mapping[netaddr.IPAddress, Nics], tables: Mapping[str, str]
) -> None:
    for index, (name, nic) in enumerate(nics.items()):
        flags = ["subflow", "backup"] if nic.rail.backup else ["subflow"]
        plan["endpoints"].append({"address": str(nic.address), "rail": name, "id": index + 1, "flags": flags})
    for address, target in targets.items():
        destination = _host(address)
        common = [name for name, nic in nics.items() if name in target and nic.rail.version == address.version]
        common.sort(key=lambda name: nics[name].rail.backup)
        hops = {name: {"via": _via(nics[name], target[name]), "rail": name} for name in common}
        first = [name for name in common if not nics[name].rail.backup]
        plan["routes"].append(_unicast(destination, METRIC_MULTIPATH, [hops[name] for name in first or common]))
        for index, hop in enumerate(hops.values()):
            plan["routes"].append(_unicast(destination, METRIC_RAIL + index, [hop]))
        plan["routes"].append(_blackhole(destination))
        for name in nics:
            if address.version == nics[name].rail.version == 6:
                table = tables[name]
                alone = [_unicast(destination, METRIC_MULTIPATH, [hops[name]], table=table)] if name in hops else []
                plan["routes"] += [*alone, _blackhole(destination, table=table)]
    for name, nic in nics.items():
        if nic.rail.version == 6 and any(address.version == 6 for address in targets):
            table = tables[name]
            plan["rules"].append({"priority": int(table), "from": _host(nic.address), "to": "", "action": table})


def _via(nic: Nic, target: Nic) -> str:
    return str(target.address if target.subnet == nic.subnet else nic.subnet.gateway)
