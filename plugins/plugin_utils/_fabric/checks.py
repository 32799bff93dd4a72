# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""What no single machine can tell: whether the machines of a fabric fit together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import variable
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import (
    BadFabric,
    Rail,
    parse_address,
    unusable,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.rails import Nic, addresses

Machines = Mapping[str, Mapping[str, Nic]]


def service_address(hostvars: Mapping[str, Any], target: str) -> str:
    """The address under which a target is reached; raises BadFabric when it has none."""
    written = variable(hostvars, target, "fabric_service_address") if target in hostvars else None
    if not written:
        raise BadFabric(
            f"fabric_service_address of target {target} is missing: write an address of its own, outside every rail; "
            "it is put on the target's lo and reached over every rail"
        )
    address = parse_address(written, f"fabric_service_address of {target}")
    if why := unusable(address):
        raise BadFabric(
            f"fabric_service_address {address} of {target} is not an address that hosts can connect to: {why}"
        )
    return str(address)


def service_addresses(
    rails: Mapping[str, Rail], hostvars: Mapping[str, Any], targets: Iterable[str]
) -> dict[str, netaddr.IPAddress]:
    """The service address of every target, each of which must be able to stand beside the rails and the others."""
    found: dict[str, netaddr.IPAddress] = {}
    for target in targets:
        address = netaddr.IPAddress(service_address(hostvars, target))
        for rail in rails.values():
            for subnet in rail.subnets:
                if address in subnet.cidr:
                    raise BadFabric(
                        f"fabric_service_address {address} of {target} is inside {rail.name} ({subnet.cidr}); "
                        "take one outside every rail, or it can be reached over that rail alone"
                    )
        if all(rail.version != address.version for rail in rails.values()):
            raise BadFabric(
                f"fabric_service_address {address} of {target} is IPv{address.version} and no rail is; take an address "
                f"of the rails' family, or add IPv{address.version} rails to fabric_networks"
            )
        for other, taken in found.items():
            if taken == address:
                raise BadFabric(f"fabric_service_address {address} is written for {other} and for {target}")
        found[target] = address
    return found


def check_machines(machines: Machines, services: Mapping[str, netaddr.IPAddress], hostvars: Mapping[str, Any]) -> None:
    """Raise BadFabric when an address is used twice or the ends of a rail differ."""
    taken: dict[netaddr.IPAddress, tuple[str, str]] = {}
    for machine, nics in machines.items():
        for nic in nics.values():
            _check_address(machine, nic)
            other, rail = taken.setdefault(nic.address, (machine, nic.rail.name))
            if other != machine:
                raise BadFabric(
                    f"{machine} and {other} both have {nic.address} in {nic.rail.name} ({nic.subnet.cidr}); "
                    "give one of them another address"
                )
            if rail != nic.rail.name:
                raise BadFabric(f"fabric_rails of {machine}: {rail} and {nic.rail.name} both have {nic.address}")
        for interface, found in addresses(hostvars[machine], machine):
            for target, service in services.items():
                if found.ip == service:
                    # Its prohibit rule would cut off all that uses the address now, ssh among it.
                    raise BadFabric(
                        f"fabric_service_address {service} of {target} is the address of {interface} on {machine}: "
                        "take one that no NIC has; it is put on the target's lo"
                    )
    _check_mtu(machines)


def _check_address(machine: str, nic: Nic) -> None:
    cidr, where = nic.subnet.cidr, f"{machine} has {nic.address} in {nic.rail.name} ({nic.subnet.cidr})"
    if nic.address == nic.subnet.gateway:
        raise BadFabric(
            f"{where}, which is the gateway there; correct the gateway in fabric_networks or the NIC's address"
        )
    # A network of two addresses has neither (RFC 3021, RFC 6164).
    if cidr.size > 2 and nic.address in (cidr.network, cidr.broadcast):
        raise BadFabric(f"{where}, which is the address of the network or of all its machines; take one between them")


def _check_mtu(machines: Machines) -> None:
    """Frames larger than the far end takes are dropped on the way, first under load."""
    seen: dict[str, tuple[str, Nic]] = {}
    for machine, nics in machines.items():
        for name, nic in nics.items():
            other, first = seen.setdefault(name, (machine, nic)) if nic.mtu else (machine, nic)
            if first.mtu != nic.mtu:
                raise BadFabric(
                    f"{name}: {nic.interface} of {machine} has mtu {nic.mtu} and {first.interface} of {other} has mtu "
                    f"{first.mtu}; set the same mtu on every NIC of a rail"
                )


def check_in_common(name: str, nics: Mapping[str, Nic], target: str, reached: Mapping[str, Nic], service: Any) -> None:
    """Raise BadFabric when no rail leads from a host to a target."""
    if not any(rail in reached and nic.rail.version == service.version for rail, nic in nics.items()):
        raise BadFabric(
            f"{name} and target {target} have no rail in common for {service}: {name} has {', '.join(nics)} and "
            f"{target} has {', '.join(reached)}. Correct fabric_rails, or leave {target} out of mptcp_targets of {name}"
        )
