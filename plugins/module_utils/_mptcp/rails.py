# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What each connection should have on each rail, and what it has. Pure: no I/O."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.sock_diag import Connection, Subflow


@dataclass
class State:
    """A rail over all connections that should use it, each named by its token.

    lacking: without a subflow. opening: one is being opened. stale: the far end does not answer. established: the
    others. only: connections that would have nothing left without this rail. unreachable: those of lacking whose target
    does not answer over this rail.
    """

    lacking: set[int] = field(default_factory=set)
    opening: set[int] = field(default_factory=set)
    stale: set[int] = field(default_factory=set)
    established: set[int] = field(default_factory=set)
    only: set[int] = field(default_factory=set)
    unreachable: set[int] = field(default_factory=set)

    @property
    def whole(self) -> bool:
        return not (self.lacking or self.opening or self.stale)

    @property
    def total(self) -> int:
        return len(self.lacking) + len(self.opening) + len(self.stale) + len(self.established)


def planned(description: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Service address to the rails that lead there, each with the local address of its endpoint."""
    endpoints = {endpoint["rail"]: endpoint["address"] for endpoint in description["endpoints"]}
    found: dict[str, dict[str, str]] = {}
    for route in description["routes"]:
        network = ipaddress.ip_network(route["dst"])
        # A rail of one next hop leads to a service; a route without a gateway is a target's answer to a host.
        if route["type"] != "unicast" or network.num_addresses > 1:
            continue
        for hop in route["nexthops"]:
            if hop["via"] and hop["rail"] in endpoints:
                address = str(network.network_address)
                found.setdefault(address, {})[hop["rail"]] = endpoints[hop["rail"]]
    return found


def of_services(services: dict[str, dict[str, str]], connections: list[Connection]) -> list[Connection]:
    """The connections to the service addresses that can have subflows: MPTCP, established, and used."""
    return [
        one
        for one in connections
        # The kernel opens no subflow before the peer has answered over the first one.
        if one.remote in services and one.established and not one.fallback and one.bytes_acked + one.bytes_received
    ]


def states(
    services: dict[str, dict[str, str]], connections: list[Connection], silent: Iterable[tuple[str, str]] = ()
) -> dict[str, State]:
    """The state of every planned rail. silent: (service address, rail) over which nothing answers."""
    found = {rail: State() for rails in services.values() for rail in rails}
    for connection in of_services(services, connections):
        alive = {flow.local for flow in connection.subflows if flow.established and not flow.stale}
        for rail, address in services[connection.remote].items():
            state, flows = found[rail], [flow for flow in connection.subflows if flow.local == address]
            _sort(state, connection.token, flows)
            if connection.token in state.lacking and (connection.remote, rail) in silent:
                state.unreachable.add(connection.token)
            if alive == {address}:
                state.only.add(connection.token)
    return found


def expendable(states: dict[str, State], usable: dict[str, Any]) -> list[str]:
    """The rails without a usable NIC whose subflows can be closed: their connections have one on a usable rail."""
    kept = {token for rail in states if rail in usable for token in states[rail].established}
    found = []
    for rail, state in states.items():
        here = state.established | state.stale | state.opening
        if rail not in usable and here and here <= kept:
            found.append(rail)
    return found


def _sort(state: State, token: int, flows: list[Subflow]) -> None:
    established = [flow for flow in flows if flow.established]
    if not flows:
        state.lacking.add(token)
    elif not established:
        state.opening.add(token)
    elif all(flow.stale for flow in established):
        state.stale.add(token)
    else:
        state.established.add(token)


def without(description: dict[str, Any], silent: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The description with no next hop of a silent (service address, rail) in a multipath route.

    A next hop that is alone stays, for the subflow that is bound to its NIC.
    """
    return {**description, "routes": [_speaking(route, set(silent)) for route in description["routes"]]}


def _speaking(route: dict[str, Any], silent: set[tuple[str, str]]) -> dict[str, Any]:
    service = route["dst"].split("/")[0]
    left = [hop for hop in route["nexthops"] if (service, hop["rail"]) not in silent]
    return {**route, "nexthops": left} if left and len(route["nexthops"]) > 1 else route
