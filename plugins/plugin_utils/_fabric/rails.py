# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""Which NIC of a machine is in which rail.

The NIC is found by its address in the gathered facts, so an inventory names networks and no interface. Rails that share
one network are told apart by the names of the NICs: the first NIC is in the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked, matches, shown
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape, Unfit
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import look_at, variable
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import (
    BadFabric,
    Rail,
    Subnet,
    parse_address,
    parse_networks,
    shared,
)

#: What the facts tell of the addresses of an interface.
_ADDRESSES: Shape = {"ipv4?": (dict, None), "ipv4_secondaries?": ([dict], None), "ipv6?": ([dict], None), ...: object}

Found = list[tuple[str, netaddr.IPNetwork]]


@dataclass(frozen=True)
class Nic:
    """A machine's NIC in a rail. mtu is 0 when no facts tell it."""

    rail: Rail
    subnet: Subnet
    interface: str
    address: netaddr.IPAddress
    mtu: int

    def as_option(self) -> dict[str, str]:
        """As M(nvmeof.mptcp.mptcp_endpoints) takes it."""
        name, cidr = self.rail.name, str(self.subnet.cidr)
        return {"name": name, "cidr": cidr, "interface": self.interface, "address": str(self.address)}


def machine_rails(networks: Any, hostvars: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The rails of one machine as {name, cidr, interface, address, share}, in the order of the description.

    share: the planned part of the bytes, 0 to 1, among the rails of the same family; 0 for a backup.
    """
    nics = list(find_nics(parse_networks(networks), hostvars, name).values())
    return [{**nic.as_option(), "share": _share(nic.rail, [other.rail for other in nics])} for nic in nics]


def _share(rail: Rail, rails: list[Rail]) -> float:
    total = sum(other.speed or 1 for other in rails if other.version == rail.version and not other.backup)
    return 0.0 if rail.backup else (rail.speed or 1) / total


def find_nics(rails: Mapping[str, Rail], hostvars: Mapping[str, Any], name: str) -> dict[str, Nic]:
    """The NIC of one machine in each of its rails, by name of the rail and in the order of the description.

    hostvars: Ansible's, with the facts of the subset C(network) gathered.
    A rail written in the machine's C(fabric_rails) ({rail0: {interface: eth1, address: 198.51.100.1}}) is taken from
    there; C({rail0: absent}) says that the machine has none. Raises BadFabric when a rail has no NIC of the machine, or
    more than one.
    """
    if name not in hostvars:
        raise BadFabric(f"{shown(name)} is not a machine of the inventory")
    variables = hostvars[name]
    for used in ("fabric_rails", "ansible_facts"):
        variable(hostvars, name, used)
    written = _written_rails(name, rails, variables)
    has = {key: rail for key, rail in rails.items() if written.get(key) != "absent"}
    if not has:
        raise BadFabric(f"fabric_rails of {name}: every rail is absent; leave one, or take {name} out of the fabric")
    # A machine whose rails are all written needs no facts.
    if set(has) - set(written) and "interfaces" not in (variables.get("ansible_facts") or {}):
        raise BadFabric(f"the addresses of {name} are not known: gather its facts (gather_subset network) first")
    found = addresses(variables, name)
    nics = {}
    for key, rail in has.items():
        if key in written:
            interface, subnet, address = _written(name, rail, written[key])
        else:
            inside = [pair for pair in found if any(pair[1].ip in subnet.cidr for subnet in rail.subnets)]
            together = [other for other in shared(rails, rail) if other.name in has]
            if len(together) > 1:
                interface, own = _in_order(name, rail, together, written, inside, _down(variables, name))
            else:
                interface, own = _only(name, rail, inside, found, _down(variables, name))
            subnet, address = next(subnet for subnet in rail.subnets if own.ip in subnet.cidr), own.ip
            # A shorter prefix would make the connected route lose against the blackhole route of the rail.
            if own.prefixlen != subnet.cidr.prefixlen:
                raise BadFabric(
                    f"{name}: {interface} has {own}, but {rail.name} is {subnet.cidr}; the prefix lengths must be "
                    "equal, correct the NIC's or the rail's"
                )
        nics[key] = Nic(rail, subnet, interface, address, _mtu(variables, interface, name))
    _check_one_network(name, rails, nics, found)
    return nics


def _written_rails(machine: str, rails: Mapping[str, Rail], variables: Mapping[str, Any]) -> Mapping[str, Any]:
    written = variables.get("fabric_rails") or {}
    if not isinstance(written, Mapping):
        raise BadFabric(f"fabric_rails of {machine}: {shown(written)} must be a dictionary of rails")
    for rail in written:
        if rail not in rails:
            raise BadFabric(f"fabric_rails of {machine}: {shown(rail)} is not in fabric_networks ({', '.join(rails)})")
    return written


def _written(machine: str, rail: Rail, entry: Any) -> tuple[str, Subnet, netaddr.IPAddress]:
    if not isinstance(entry, Mapping) or set(entry) != {"interface", "address"}:
        raise BadFabric(
            f"fabric_rails of {machine}: {rail.name} needs exactly interface and address, or the word absent, "
            f"not {shown(entry)}"
        )
    interface = entry["interface"]
    if not matches("interface", interface) or interface == "lo":
        raise BadFabric(
            f"fabric_rails of {machine}: interface {shown(interface)} of {rail.name} is not the name of a NIC, such as "
            "eth1"
        )
    address = parse_address(entry["address"], f"fabric_rails of {machine}, {rail.name}")
    for subnet in rail.subnets:
        if address in subnet.cidr:
            return interface, subnet, address
    cidrs = " or ".join(str(subnet.cidr) for subnet in rail.subnets)
    raise BadFabric(f"fabric_rails of {machine}: address {address} of {rail.name} is not in {cidrs}")


def _only(machine: str, rail: Rail, inside: Found, found: Found, down: list[str]) -> tuple[str, netaddr.IPNetwork]:
    cidrs = " or ".join(str(subnet.cidr) for subnet in rail.subnets)
    if not inside:
        raise BadFabric(
            f"{machine} has no NIC in {rail}; its addresses are: {_listed(found, down)}. Give a NIC an address in "
            f"{cidrs}, correct the cidr in fabric_networks, or write fabric_rails for {machine}: "
            f"{{{rail.name}: absent}} if it has none on purpose"
        )
    if len(inside) > 1:
        several = " and ".join(f"{interface} {address.ip}" for interface, address in inside)
        raise BadFabric(
            f"{machine} has more than one address in {rail}: {several}. Say which one with fabric_rails: "
            f"{{{rail.name}: {{interface: {inside[0][0]}, address: {inside[0][1].ip}}}}}"
        )
    return inside[0]


def _in_order(
    machine: str, rail: Rail, together: list[Rail], written: Mapping[str, Any], inside: Found, down: list[str]
) -> tuple[str, netaddr.IPNetwork]:
    """The NIC of a rail among those that share its network: as the rail stands among the rails."""
    free = [other.name for other in together if other.name not in written]
    taken = {written[other.name].get("interface") for other in together if isinstance(written.get(other.name), Mapping)}
    left = sorted((pair for pair in inside if pair[0] not in taken), key=lambda pair: _natural(pair[0]))
    if len(left) != len(free) or len({interface for interface, _address in left}) != len(left):
        raise BadFabric(
            f"{machine}: {', '.join(free)} are all in {rail.subnets[0].cidr} and need one NIC each, but the addresses "
            f"there are: {_listed(left, down)}. "
            + (
                "Move what is no rail to another network, or add a rail to fabric_networks"
                if len(left) > len(free)
                else f"Give a NIC an address there, or write fabric_rails for {machine}: {{{free[-1]}: absent}} for a "
                "rail that it does not have"
            )
        )
    return left[free.index(rail.name)]


def _natural(name: str) -> list[tuple[str, int]]:
    """eth2 before eth10."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r"(\D*)(\d*)", name)]


def _check_one_network(machine: str, rails: Mapping[str, Rail], nics: Mapping[str, Nic], found: Found) -> None:
    """In a network that rails share, every NIC is one rail: IPv4 answers for an address on every NIC that lets it."""
    for nic in nics.values():
        cidr, together = nic.subnet.cidr, [other.name for other in shared(rails, nic.rail) if other.name in nics]
        for other in together:
            if other != nic.rail.name and nics[other].interface == nic.interface:
                raise BadFabric(
                    f"fabric_rails of {machine}: {nic.rail.name} and {other} share {cidr} and are both on "
                    f"{nic.interface}; give each a NIC of its own, or write absent for one of them"
                )
        rail_nics = {nics[other].interface for other in together}
        for interface, address in found if len(shared(rails, nic.rail)) > 1 and cidr.version == 4 else ():
            if address.ip in cidr and interface not in rail_nics:
                raise BadFabric(
                    f"{machine}: {interface} has {address} in the network that rails share and is none of them, so it "
                    f"would answer for their addresses; move it to another network, or make it a rail"
                )


def _listed(found: Found, down: list[str]) -> str:
    listed = ", ".join(f"{interface} {address}" for interface, address in found) or "none"
    return "; ".join([listed, *(f"{interface} is down" for interface in down)])


def _down(variables: Mapping[str, Any], machine: str) -> list[str]:
    """NICs that are down, which a network manager may have taken the addresses from."""
    named = ((interface, _fact(interface, variables)) for interface in _interfaces(variables, machine))
    return [_device(interface, fact, machine) for interface, fact in named if fact.get("active") is False]


def addresses(variables: Mapping[str, Any], machine: str) -> Found:
    """Every address of a machine's NICs, from its facts; none when they are not gathered."""
    names = _interfaces(variables, machine)
    return [pair for interface in names for pair in _of_interface(interface, _fact(interface, variables), machine)]


def _interfaces(variables: Mapping[str, Any], machine: str) -> list[str]:
    names = (variables.get("ansible_facts") or {}).get("interfaces", [])
    if not isinstance(names, list):
        raise BadFabric(f"ansible_facts.interfaces of {machine} is {shown(names)}, which is no list of names")
    for name in names:
        # Of a label such as eth0:1 the part that is a name.
        if not isinstance(name, str) or not matches("interface", name.partition(":")[0]):
            raise BadFabric(f"ansible_facts.interfaces of {machine} has {shown(name)}, which is no interface's name")
    return sorted(names)


def _fact(interface: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    # The setup module spells eth0.100 as eth0_100 in the names of facts; "device" keeps the kernel's name.
    fact = (variables.get("ansible_facts") or {}).get(re.sub("[-.:]", "_", interface))
    return fact if isinstance(fact, Mapping) else {}


def _told(kind: str, name: str, value: Any, interface: str, machine: str) -> str:
    """What a machine tells of an interface under a name, which is of that kind."""
    try:
        return checked(kind, value, f"{name} in ansible_facts[{shown(interface)}] of {machine}")
    except Refused as error:
        raise BadFabric(str(error)) from None


def _device(interface: str, fact: Mapping[str, Any], machine: str) -> str:
    return _told("interface", "device", fact.get("device", interface), interface, machine)


def _of_interface(interface: str, fact: Mapping[str, Any], machine: str) -> Iterable[tuple[str, netaddr.IPNetwork]]:
    # Labels such as eth0:1 repeat the addresses that the interface itself lists as secondaries.
    if fact.get("type") == "loopback" or ":" in interface:
        return
    try:
        look_at(f"ansible_facts[{shown(interface)}] of {machine}", fact, _ADDRESSES)
    except Unfit as error:
        raise BadFabric(str(error)) from None
    for entry in [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or []), *(fact.get("ipv6") or [])]:
        if entry.get("address"):
            address = _told("address", "address", entry["address"], interface, machine)
            length = _told(
                "netmask", "prefix", str(entry.get("prefix") or entry.get("netmask") or 32), interface, machine
            )
            try:
                network = netaddr.IPNetwork(f"{address}/{length}")
            except (netaddr.AddrFormatError, ValueError):
                raise BadFabric(
                    f"ansible_facts[{shown(interface)}] of {machine} has {address}/{length}, which is no address"
                ) from None
            yield _device(interface, fact, machine), network


def _mtu(variables: Mapping[str, Any], interface: str, machine: str) -> int:
    return int(_told("number", "mtu", str(_fact(interface, variables).get("mtu") or 0), interface, machine))
