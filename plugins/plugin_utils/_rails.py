# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""Rails: the networks that carry storage traffic, and which NIC of which machine is in which of them.

A rail is one IP network with one NIC of every machine in it. The NIC is found by its address in the gathered facts, so
an inventory names networks and no interface.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import netaddr

#: MPTCP_PM_SUBFLOWS_MAX of Linux 7.2 (net/mptcp/pm_kernel.c) is 64; two per rail are needed, see _mptcp_network.py.
MAX_RAILS = 32


_FACT_NAME = re.compile("[-.:]")


class BadFabric(ValueError):
    """The description of the fabric and the machines contradict each other; the text says where and what to do."""


def parse_networks(networks: Any) -> dict[str, netaddr.IPNetwork]:
    """Rails by name, in the order of the description; raises BadFabric for what cannot be a set of rails."""
    if not isinstance(networks, list) or not networks:
        raise BadFabric("fabric_networks: a list of at least one {name, cidr} is needed")
    if len(networks) > MAX_RAILS:
        raise BadFabric(
            f"fabric_networks: {len(networks)} rails are more than the {MAX_RAILS} that the kernel's limit of "
            f"{2 * MAX_RAILS} subflows per connection allows (two per rail, so that a dead one can be replaced)"
        )
    rails: dict[str, netaddr.IPNetwork] = {}
    for network in networks:
        name, cidr = _name_and_cidr(network)
        if name in rails:
            raise BadFabric(f"fabric_networks: two rails are named {name!r}; names must differ")
        for other, taken in rails.items():
            if cidr in taken or taken in cidr:
                raise BadFabric(f"fabric_networks: {name} ({cidr}) and {other} ({taken}) overlap; one network per rail")
        rails[name] = cidr
    return rails


def _name_and_cidr(network: Any) -> tuple[str, netaddr.IPNetwork]:
    if not isinstance(network, Mapping) or not network.get("name") or not network.get("cidr"):
        raise BadFabric(f"fabric_networks: {network!r} is not a rail; write {{name: rail0, cidr: 198.51.100.0/24}}")
    unknown = sorted(set(network) - {"name", "cidr"})
    if unknown:
        raise BadFabric(
            f"fabric_networks: {network['name']} has the unknown key {unknown[0]!r}; keys are name and cidr"
        )
    try:
        cidr = netaddr.IPNetwork(network["cidr"])
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise BadFabric(f"fabric_networks: cidr {network['cidr']!r} of {network['name']} is not a network") from None
    if cidr.version != 4:
        raise BadFabric(f"fabric_networks: cidr {cidr} of {network['name']} is IPv6; rails are IPv4 networks")
    if cidr.ip != cidr.network or cidr.prefixlen > 31:
        raise BadFabric(f"fabric_networks: cidr {cidr} of {network['name']} is not a network; is it {cidr.cidr}?")
    return str(network["name"]), cidr


def machine_rails(networks: Any, hostvars: Mapping[str, Any], name: str) -> list[dict[str, str]]:
    """The rails of one machine as {name, cidr, interface, address}, in the order of the description.

    networks: the list C(fabric_networks). hostvars: Ansible's, with the facts of the subset C(network) gathered.
    A rail written in the machine's C(fabric_rails) ({rail0: {interface: eth1, address: 198.51.100.1}}) is taken from
    there. Raises BadFabric when a rail has no NIC of the machine, or more than one.
    """
    rails = parse_networks(networks)
    if name not in hostvars:
        raise BadFabric(f"{name!r} is not a machine of the inventory")
    written = hostvars[name].get("fabric_rails") or {}
    if not isinstance(written, Mapping):
        raise BadFabric(f"fabric_rails of {name}: {written!r} must be a dictionary of rails")
    for rail in written:
        if rail not in rails:
            raise BadFabric(f"fabric_rails of {name}: {rail!r} is not in fabric_networks ({', '.join(rails)})")
    found = _addresses(hostvars[name], name) if set(rails) - set(written) else []
    return [
        _written(name, rail, cidr, written[rail])
        if rail in written
        else _found(name, rail, cidr, found, hostvars[name].get("ansible_facts") or {})
        for rail, cidr in rails.items()
    ]


def _written(machine: str, rail: str, cidr: netaddr.IPNetwork, entry: Any) -> dict[str, str]:
    if not isinstance(entry, Mapping) or set(entry) != {"interface", "address"}:
        raise BadFabric(f"fabric_rails of {machine}: {rail} needs exactly interface and address, not {entry!r}")
    if parse_address(entry["address"], f"fabric_rails of {machine}, {rail}") not in cidr:
        raise BadFabric(f"fabric_rails of {machine}: address {entry['address']} of {rail} is not in {cidr}")
    return {"name": rail, "cidr": str(cidr), "interface": str(entry["interface"]), "address": str(entry["address"])}


def _found(
    machine: str,
    rail: str,
    cidr: netaddr.IPNetwork,
    found: list[tuple[str, netaddr.IPNetwork]],
    facts: Mapping[str, Any],
) -> dict[str, str]:
    inside = [(interface, address) for interface, address in found if address.ip in cidr]
    if not inside:
        listed = ", ".join(f"{interface} {address}" for interface, address in found) or "none"
        down = [f"{interface} is down" for interface in _down(facts)]
        raise BadFabric(
            f"{machine} has no NIC in {rail} ({cidr}); its addresses are: {'; '.join([listed, *down])}. Give a NIC an "
            f"address in {cidr}, correct the cidr in fabric_networks, or write fabric_rails for {machine}"
        )
    if len(inside) > 1:
        several = " and ".join(f"{interface} {address.ip}" for interface, address in inside)
        raise BadFabric(
            f"{machine} has more than one address in {rail} ({cidr}): {several}. Say which one with fabric_rails: "
            f"{{{rail}: {{interface: {inside[0][0]}, address: {inside[0][1].ip}}}}}"
        )
    interface, address = inside[0]
    # A shorter prefix would make the connected route lose against the blackhole route of the rail.
    if address.prefixlen != cidr.prefixlen:
        raise BadFabric(
            f"{machine}: {interface} has {address}, but {rail} is {cidr}; the prefix lengths must be equal, "
            "correct the NIC's or the rail's"
        )
    return {"name": rail, "cidr": str(cidr), "interface": interface, "address": str(address.ip)}


def _addresses(machine: Mapping[str, Any], name: str) -> list[tuple[str, netaddr.IPNetwork]]:
    if "interfaces" not in (machine.get("ansible_facts") or {}):
        raise BadFabric(f"the addresses of {name} are not known: gather its facts (gather_subset network) first")
    return addresses(machine)


def addresses(machine: Mapping[str, Any]) -> list[tuple[str, netaddr.IPNetwork]]:
    """Every IPv4 address of a machine's NICs, from its facts; none when they are not gathered."""
    facts = machine.get("ansible_facts") or {}
    return [pair for interface in sorted(facts.get("interfaces", [])) for pair in _of_interface(interface, facts)]


def _down(facts: Mapping[str, Any]) -> list[str]:
    """NICs that are down, which a network manager may have taken the addresses from."""
    named = (facts.get(_FACT_NAME.sub("_", interface)) for interface in sorted(facts["interfaces"]))
    return [str(fact["device"]) for fact in named if isinstance(fact, Mapping) and fact.get("active") is False]


def _of_interface(interface: str, facts: Mapping[str, Any]) -> Iterable[tuple[str, netaddr.IPNetwork]]:
    # The setup module spells eth0.100 as eth0_100 in the names of facts; "device" keeps the kernel's name.
    fact = facts.get(_FACT_NAME.sub("_", interface))
    # Labels such as eth0:1 repeat the addresses that the interface itself lists as secondaries.
    if not isinstance(fact, Mapping) or fact.get("type") == "loopback" or ":" in interface:
        return
    for entry in [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or [])]:
        if entry.get("address"):
            length = entry.get("prefix") or entry.get("netmask") or 32
            yield str(fact.get("device", interface)), netaddr.IPNetwork(f"{entry['address']}/{length}")


def parse_address(value: Any, where: str) -> netaddr.IPAddress:
    """An IPv4 address; raises BadFabric naming where it was written."""
    try:
        return netaddr.IPAddress(value, version=4, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise BadFabric(f"{where}: {value!r} is not an IPv4 address") from None
