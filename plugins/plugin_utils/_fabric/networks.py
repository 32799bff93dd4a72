# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The rails that an inventory describes (C(fabric_networks)), without any machine.

A rail is a path of its own between machines: usually one IP network, several where a router joins them. Rails with the
same network share a switch; which NIC is in which of them then follows from the order of the NICs (see rails.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import shown

#: MPTCP_PM_SUBFLOWS_MAX of Linux 7.2 (net/mptcp/pm_kernel.c) is 64; two per rail are needed, see mptcp_network.py.
MAX_RAILS = 32
#: As many rules as there are priorities for them, see mptcp_network.py.
MAX_SUBNETS = 98

#: Messages and journal lines name all rails.
_NAME_MAX = 64
_KEYS = ("name", "cidr", "subnets", "backup", "speed")


class BadFabric(ValueError):
    """The description of the fabric and the machines contradict each other; the text says where and what to do."""


@dataclass(frozen=True)
class Subnet:
    """A network of a rail, and the router in it to the rail's other networks."""

    cidr: netaddr.IPNetwork
    gateway: netaddr.IPAddress | None = None


@dataclass(frozen=True)
class Rail:
    """A rail. backup: carries data only while no other does. speed: 0 when none of the rails has one."""

    name: str
    subnets: tuple[Subnet, ...]
    backup: bool = False
    speed: float = 0

    @property
    def version(self) -> int:
        """4 or 6."""
        return int(self.subnets[0].cidr.version)

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(str(subnet.cidr) for subnet in self.subnets)})"


def parse_networks(networks: Any) -> dict[str, Rail]:
    """Rails by name, in the order of the description; raises BadFabric for what cannot be a set of rails."""
    if not isinstance(networks, list) or not networks:
        raise BadFabric("fabric_networks: a list of at least one {name, cidr} is needed")
    rails: dict[str, Rail] = {}
    for network in networks:
        rail = _rail(network)
        if rail.name in rails:
            raise BadFabric(f"fabric_networks: two rails are named {shown(rail.name)}; names must differ")
        for other in rails.values():
            _check_overlap(rail, other)
        rails[rail.name] = rail
    for version in (4, 6):
        _check_together(version, [rail for rail in rails.values() if rail.version == version])
    return rails


def shared(rails: Mapping[str, Rail], rail: Rail) -> list[Rail]:
    """Every rail in the network of this one, itself included: more than one when they share a switch."""
    return [other for other in rails.values() if other.subnets[0].cidr == rail.subnets[0].cidr]


def _check_overlap(rail: Rail, other: Rail) -> None:
    for mine in rail.subnets:
        for taken in other.subnets:
            same = mine.cidr == taken.cidr
            if same and len(rail.subnets) + len(other.subnets) > 2:
                raise BadFabric(
                    f"fabric_networks: {rail.name} and {other.name} share {mine.cidr} and one of them is routed; a "
                    "router cannot tell them apart, give each rail networks of its own"
                )
            if not same and (mine.cidr in taken.cidr or taken.cidr in mine.cidr):
                raise BadFabric(
                    f"fabric_networks: {rail.name} ({mine.cidr}) and {other.name} ({taken.cidr}) overlap; give each "
                    "rail a network of its own, or the same one when all NICs are in one network"
                )


def _check_together(version: int, rails: list[Rail]) -> None:
    if len(rails) > MAX_RAILS:
        raise BadFabric(
            f"fabric_networks: {len(rails)} rails are more than the {MAX_RAILS} that the kernel's limit of "
            f"{2 * MAX_RAILS} subflows per connection allows (two per rail, so that a dead one can be replaced)"
        )
    subnets = sum(len(rail.subnets) for rail in rails)
    if subnets > MAX_SUBNETS:
        raise BadFabric(f"fabric_networks: {subnets} IPv{version} subnets are more than {MAX_SUBNETS}; use larger ones")
    if rails and all(rail.backup for rail in rails):
        names = ", ".join(rail.name for rail in rails)
        raise BadFabric(f"fabric_networks: every IPv{version} rail is a backup ({names}); leave backup out of one")
    unknown = [rail.name for rail in rails if not rail.speed]
    if unknown and len(unknown) < len(rails):
        raise BadFabric(f"fabric_networks: {unknown[0]} has no speed and others have; write speed for all or for none")


def _rail(network: Any) -> Rail:
    if (
        not isinstance(network, Mapping)
        or not network.get("name")
        or bool(network.get("cidr")) == (bool(network.get("subnets")))
    ):
        raise BadFabric(
            f"fabric_networks: {shown(network)} is not a rail; write {{name: rail0, cidr: 198.51.100.0/24}}, or for a "
            "routed rail {name: rail0, subnets: [{cidr: 198.51.100.0/25, gateway: 198.51.100.1}, ...]}"
        )
    if isinstance(network["name"], (list, dict)) or not str(network["name"]).isprintable():
        raise BadFabric(f"fabric_networks: name {shown(network['name'])} is not a word such as rail0")
    name = str(network["name"])
    if len(name) > _NAME_MAX:
        raise BadFabric(f"fabric_networks: name {shown(name)} has more than {_NAME_MAX} characters; shorten it")
    unknown = sorted(set(network) - set(_KEYS), key=str)
    if unknown:
        raise BadFabric(f"fabric_networks: {name} has the unknown key {shown(unknown[0])}; keys are {', '.join(_KEYS)}")
    backup, speed = network.get("backup", False), network.get("speed", 0)
    if not isinstance(backup, bool):
        raise BadFabric(f"fabric_networks: backup {shown(backup)} of {name} is neither true nor false")
    # Neither .nan nor .inf of YAML is above 0 and below the last.
    number = isinstance(speed, (int, float)) and not isinstance(speed, bool)
    if not number or ("speed" in network and not 0 < speed < 10**9):
        raise BadFabric(f"fabric_networks: speed {shown(speed)} of {name} is not a number of Mbit/s above 0")
    entries = network.get("subnets") or [{"cidr": network["cidr"]}]
    return Rail(name, _subnets(name, entries), backup, speed)


def _subnets(name: str, entries: Any) -> tuple[Subnet, ...]:
    if not isinstance(entries, list):
        raise BadFabric(f"fabric_networks: subnets of {name} is not a list of {{cidr, gateway}}")
    subnets: list[Subnet] = []
    for entry in entries:
        if not isinstance(entry, Mapping) or "cidr" not in entry or set(entry) - {"cidr", "gateway"}:
            raise BadFabric(f"fabric_networks: subnets of {name}: {shown(entry)} needs exactly cidr and gateway")
        subnet = Subnet(_cidr(name, entry["cidr"]), _gateway(name, entry))
        for other in subnets:
            if other.cidr.version != subnet.cidr.version:
                raise BadFabric(
                    f"fabric_networks: {name} has {other.cidr} and {subnet.cidr}; a subflow goes to an address of its "
                    "own family, so write the IPv6 network as a rail of its own"
                )
            if other.cidr in subnet.cidr or subnet.cidr in other.cidr:
                raise BadFabric(f"fabric_networks: {other.cidr} and {subnet.cidr} of {name} overlap")
        subnets.append(subnet)
    for subnet in subnets:
        if len(subnets) > 1 and subnet.gateway is None:
            raise BadFabric(
                f"fabric_networks: {name}: subnet {subnet.cidr} has no gateway, so nothing there finds its way to "
                f"{next(other.cidr for other in subnets if other is not subnet)} and no answer returns; write one"
            )
    return tuple(subnets)


def _cidr(name: str, value: Any) -> netaddr.IPNetwork:
    try:
        cidr = netaddr.IPNetwork(value)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise BadFabric(f"fabric_networks: cidr {shown(value)} of {name} is not a network") from None
    if cidr.size < 2:
        raise BadFabric(
            f"fabric_networks: cidr {cidr} of {name} is one address, not a network; write its prefix length"
        )
    if cidr.ip != cidr.network:
        raise BadFabric(f"fabric_networks: cidr {cidr} of {name} is not a network; is it {cidr.cidr}?")
    if why := unusable(cidr.network):
        raise BadFabric(f"fabric_networks: cidr {cidr} of {name} is {why}; take a network that can be routed")
    return cidr


def _gateway(name: str, entry: Mapping[str, Any]) -> netaddr.IPAddress | None:
    if "gateway" not in entry:
        return None
    cidr = _cidr(name, entry["cidr"])
    gateway = parse_address(entry["gateway"], f"fabric_networks: gateway of {name}")
    # Routers of IPv6 have a link-local address in every network.
    if gateway not in cidr and not (cidr.version == gateway.version == 6 and gateway.is_link_local()):
        raise BadFabric(
            f"fabric_networks: gateway {gateway} of {name} is not in {cidr}, where the machines look for it"
        )
    return gateway


def parse_address(value: Any, where: str) -> netaddr.IPAddress:
    """An address; raises BadFabric naming where it was written."""
    if not isinstance(value, (str, netaddr.IPAddress)):
        raise BadFabric(f"{where}: {shown(value)} is not an IP address; write it as text, such as 198.51.100.1")
    try:
        return netaddr.IPAddress(value, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise BadFabric(f"{where}: {shown(value)} is not an IP address") from None


def unusable(address: netaddr.IPAddress) -> str:
    """What kind of address this is when it cannot be that of a machine in a network, else empty."""
    kinds = {
        "link-local": address.is_link_local(),
        "multicast": address.is_multicast(),
        "loopback": address.is_loopback(),
        "unspecified": int(address) == 0,
        "IPv4 written as IPv6": address.is_ipv4_mapped(),
        "reserved": address.version == 4 and (int(address) >> 24 == 0 or int(address) >> 28 == 0xF),
    }
    return next((kind for kind, so in kinds.items() if so), "")
