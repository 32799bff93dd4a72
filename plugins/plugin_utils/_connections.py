# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The connections of a host, derived from the subsystems of the fabric and the targets that serve them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric_checks import service_address
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._host_secrets import secrets
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._identity import hostnqn


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
