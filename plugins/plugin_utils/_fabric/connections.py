# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""Who connects where, derived from the fabric: connections and discovery addresses of hosts, referrals of targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import is_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import normalise_address
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.answers import PLACES, look_through
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.checks import service_address
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import variable
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.host_secrets import secrets
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import hostnqn
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import parse_networks


def nvme_connections(
    subsystems: Sequence[Mapping[str, Any]],
    host: str,
    targets: Iterable[str],
    hostvars: Mapping[str, Any],
    **options: Any,
) -> list[dict[str, Any]]:
    """One connection for each target that serves a subsystem which allows the host.

    subsystems: as fabric_subsystems describes them; one without C(targets) is served by every target.
    host: inventory name of the host. targets: inventory names of the targets. options: written into every connection.
    Raises BadFabric for a target without fabric_service_address, UnknownHost for a host without a known NQN, BadSecret.
    """
    own = hostnqn(host, hostvars)
    authenticated = secrets(host, hostvars)
    return [
        {
            "transport": "mptcp",
            "traddr": service_address(hostvars, target),
            "subsysnqn": subsystem["nqn"],
            # nvmet asks nobody for a key where anyone is let in.
            **({} if subsystem.get("allow_any_host") is True else authenticated),
            **options,
        }
        for target in targets
        for subsystem in subsystems
        if target in subsystem.get("targets", [target]) and _allows(subsystem, host, own)
    ]


#: Options of a connection that its discovery controller has as well: how, not as whom and not for what.
_OF_DISCOVERY = (
    "transport",
    "trsvcid",
    "host_traddr",
    "host_iface",
    "reconnect_delay",
    "tos",
    "hdr_digest",
    "data_digest",
)


def nvme_discovery(targets: Iterable[str], hostvars: Mapping[str, Any], **options: Any) -> list[dict[str, Any]]:
    """One discovery controller for each target, at its service address.

    options: as for nvme_connections; those that concern I/O or who the host is are left out.
    Raises BadFabric for a target without fabric_service_address.
    """
    shared = {name: value for name, value in options.items() if name in _OF_DISCOVERY}
    return [{"transport": "mptcp", "traddr": service_address(hostvars, target), **shared} for target in targets]


def nvme_discovery_networks(networks: Any, targets: Iterable[str], hostvars: Mapping[str, Any]) -> list[str]:
    """Where discovery logs may send a host: the rails, and the addresses of the targets.

    networks: as fabric_networks describes them, or nothing. targets: inventory names of the targets. Raises BadFabric.
    """
    rails = parse_networks(networks).values() if networks else ()
    found = [str(subnet.cidr) for rail in rails for subnet in rail.subnets]
    for target in targets:
        found.append(service_address(hostvars, target))
        ports = [port for port in variable(hostvars, target, "nvme_target_ports") or [] if isinstance(port, Mapping)]
        for address in (str(port.get("traddr", "")) for port in ports):
            # A port on every address names none.
            if address not in ("0.0.0.0", "::") and is_address(address):
                found.append(address)
    return list(dict.fromkeys(found))


def nvme_discovery_nqns(subsystems: Sequence[Mapping[str, Any]]) -> list[str]:
    """The subsystems that discovery logs may name: all of the naming authorities of those that are described.

    C(nqn.2026-11.org.example:vol0) stands for C(nqn.2026-11.org.example:*). Without subsystems it is any.
    """
    authorities = (str(subsystem["nqn"]).partition(":") for subsystem in subsystems if subsystem.get("nqn"))
    return list(dict.fromkeys(f"{name}:*" if colon else name for name, colon, _rest in authorities)) or ["*"]


def nvme_discovered(host: str, hostvars: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """The options of connections that discovery logs name: those of derived ones, without what a log says itself.

    Raises BadSecret.
    """
    said = ("transport", "traddr", "trsvcid", "subsysnqn", "host_traddr", "host_iface")
    return {**secrets(host, hostvars), **{name: value for name, value in options.items() if name not in said}}


def nvme_planned(
    connections: Sequence[Mapping[str, Any]],
    discovery: Sequence[Mapping[str, Any]],
    subsystems: Sequence[Mapping[str, Any]],
    host: str,
    targets: Iterable[str],
    hostvars: Mapping[str, Any],
    controllers: Sequence[Mapping[str, Any]],
) -> list[Mapping[str, Any]]:
    """The connections that a host is expected to have: the declared ones or, where discovery alone decides, derived.

    controllers: those that the host has, as nvme_info tells them. A derived one is where the host has it at the target,
    else at the target's service address. Raises what nvme_connections raises, and
    Refused.
    """
    if connections or not discovery:
        return list(connections)
    look_through(controllers, PLACES, f"controllers in nvme_info of {host}")
    transports = [one.get("transport", "mptcp") for one in discovery]
    out: list[Mapping[str, Any]] = []
    for target in targets:
        for one in nvme_connections(subsystems, host, [target], hostvars):
            found = [have for have in controllers if have["subsysnqn"] == one["subsysnqn"]]
            for have in [have for have in found if _is_of(have, target, hostvars)] or [{**one, "trsvcid": "4420"}]:
                transport = have["transport"] if have["transport"] in transports else transports[0]
                planned = {"transport": transport, **{key: have[key] for key in ("traddr", "trsvcid", "subsysnqn")}}
                out += [] if planned in out else [planned]
    return out


def _is_of(controller: Mapping[str, Any], target: str, hostvars: Mapping[str, Any]) -> bool:
    """Whether a controller is one of the target's; a port on every address gives none to go by."""
    ports = variable(hostvars, target, "nvme_target_ports") or [_port(service_address(hostvars, target))]
    addresses = {normalise_address(str(port.get("traddr", ""))) for port in ports}
    return controller["traddr"] in addresses or not addresses.isdisjoint(("0.0.0.0", "::"))


def nvme_referrals(targets: Iterable[str], target: str, hostvars: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A referral to every port of every other target, so that one discovery address is enough.

    A port is what C(nvme_target_ports) of the inventory says, else port 1 at the service address.
    """
    return [
        {
            "name": f"{other}-{port['portid']}",
            **{name: port[name] for name in ("trtype", "adrfam", "traddr", "trsvcid", "portid") if name in port},
        }
        for other in targets
        if other != target
        for port in variable(hostvars, other, "nvme_target_ports") or [_port(service_address(hostvars, other))]
        # These two lead nowhere from another machine.
        if port.get("trtype") not in ("loop", "pci")
    ]


def _port(address: str) -> dict[str, Any]:
    family = "ipv6" if ":" in address else "ipv4"
    return {"portid": 1, "trtype": "mptcp", "adrfam": family, "traddr": address, "trsvcid": "4420"}


def host_targets(
    subsystems: Sequence[Mapping[str, Any]], host: str, targets: Iterable[str], hostvars: Mapping[str, Any]
) -> list[str]:
    """The targets that let the host in by name or NQN, which are those that have keys of it."""
    own = hostnqn(host, hostvars)
    named = [one for one in subsystems if one.get("allow_any_host") is not True and _allows(one, host, own)]
    return [target for target in targets if any(target in one.get("targets", [target]) for one in named)]


def _allows(subsystem: Mapping[str, Any], host: str, own: str) -> bool:
    # By name or NQN, never by another name with the same NQN: a cloned machine is not let in.
    return subsystem.get("allow_any_host") is True or bool({host, own} & set(subsystem.get("allowed_hosts") or []))
