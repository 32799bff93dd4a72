# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that judges a deployment from what the tasks of verify.yml registered; the logic is in plugin_utils."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.unit import digest_of
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.answers import answer
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.checks import service_address
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import entrance
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import BadFabric
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.proof import proof, ready
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.rails import machine_rails
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._program import build


def _read_by(hostvars: Mapping[str, Any], host: str, targets: Iterable[str], variable: str) -> list[str]:
    """This host and the targets; one that a --limit left out is not looked at. Raises BadFabric."""
    for name in (host, *targets):
        if not isinstance(hostvars.get(name), Mapping):
            raise BadFabric(f"{name!r} is not a machine of the inventory; correct it")
    if variable not in hostvars[host]:
        raise BadFabric(f"{variable} of {host} is missing: verify.yml reads it first, in a play that --limit left out")
    return [name for name in dict.fromkeys([host, *targets]) if variable in hostvars[name]]


def of_start(
    hostvars: Mapping[str, Any], host: str, targets: Iterable[str], planned: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Problems that keep a run on this host from starting."""
    machines = {name: answer(hostvars, name, "proof_nvme") for name in _read_by(hostvars, host, targets, "proof_nvme")}
    return ready(host, planned, machines, digest_of(build()))


def of_run(
    hostvars: Mapping[str, Any],
    host: str,
    targets: Iterable[str],
    networks: Any,
    planned: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The judgement of a run on this host."""
    targets = list(targets)
    read = _read_by(hostvars, host, targets, "proof_after")
    try:
        machines: dict[str, dict[str, Any]] = {
            name: {
                "before": answer(hostvars, name, "proof_nvme"),
                "after": answer(hostvars, name, "proof_after"),
                "rails": machine_rails(networks, hostvars, name),
                "service": service_address(hostvars, name) if name in targets else "",
            }
            for name in read
        }
    except BadFabric as error:
        # A NIC that is down has no address any more where a network manager took it away.
        return {"table": [], "problems": [str(error)], "shares": {}}
    return proof(host, machines[host]["rails"], planned, hostvars[host]["proof_nvme"]["controllers"], machines)


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"proof_of_run": entrance(of_run), "proof_of_start": entrance(of_start)}
