# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the guard of a host does with what it sees, without a kernel."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, counters, pm, reach
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import converge as _mptcp_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import guard as _mptcp_guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.events import Seen

from _mptcp.test_heal import connection, flow

RAILS = {"rail0": "10.10.0.5", "rail1": "10.10.1.5", "rail2": "10.10.2.5"}
SERVICE = "10.10.255.1"
DESCRIPTION: dict[str, Any] = {
    "rails": [
        {"name": rail, "cidr": f"10.10.{number}.0/24", "interface": f"eth{number}", "address": address}
        for number, (rail, address) in enumerate(RAILS.items())
    ],
    "endpoints": [{"rail": rail, "address": address} for rail, address in RAILS.items()],
    "routes": [
        {"type": "unicast", "dst": f"{SERVICE}/32", "nexthops": [{"via": "10.10.0.1", "rail": rail} for rail in RAILS]}
    ],
}
LINKS = [
    {
        "ifname": f"eth{number}",
        "ifindex": number + 2,
        "flags": ["UP", "LOWER_UP"],
        "addr_info": [{"local": address, "prefixlen": 24}],
    }
    for number, address in enumerate(RAILS.values())
]


class Host:
    """Its endpoints and connections, what answers no echo, and what was added again."""

    def __init__(self) -> None:
        self.endpoints = list(RAILS.values())
        self.connections: list[sock_diag.Connection] = []
        self.silent: reach.Silent = set()
        self.refused: Exception | None = None
        self.added: list[str] = []
        self.deleted: list[str] = []
        self.links = copy.deepcopy(LINKS)
        self.now = 1000.0

    def converge(self, wanted: Any, silent: Any = ()) -> dict[str, Any]:
        if self.refused:
            raise self.refused
        return {"plan": ["put back"]}

    def look(self, guard: _mptcp_guard.Guard, **seen: Any) -> list[str]:
        """The lines of two looks, between which what is missing stays so for long enough."""
        lines = list(guard.look(DESCRIPTION, Seen(**seen)))
        self.now += 2
        return lines + list(guard.look(DESCRIPTION, Seen()))


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(actual, "ip_json", lambda *_arguments: made.links)
    monkeypatch.setattr(pm, "endpoints", lambda _names: [{"address": one} for one in made.endpoints])
    monkeypatch.setattr(_mptcp_converge, "converge", made.converge)
    monkeypatch.setattr(counters, "counters", dict)
    monkeypatch.setattr(reach, "silent", lambda ways: made.silent & set(ways))
    monkeypatch.setattr(sock_diag, "connections", lambda: made.connections)
    monkeypatch.setattr(_mptcp_guard, "add_again", made.added.append)
    monkeypatch.setattr(_mptcp_guard, "delete", lambda rail: made.deleted.append(rail) or True)
    monkeypatch.setattr(_mptcp_guard.time, "monotonic", lambda: made.now)
    return made


def test_missing_subflow_is_given_back(host: Host) -> None:
    host.connections = [connection(1, flow("10.10.0.5"), flow("10.10.2.5"))]
    host.look(_mptcp_guard.Guard())
    assert host.added == ["rail1"]


def test_what_came_back_while_the_target_was_asked_is_not_reset(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def asking(_ways: Any) -> reach.Silent:
        if host.now > 1000.0:
            host.connections = [connection(1, *map(flow, RAILS.values()))]
        return set()

    monkeypatch.setattr(reach, "silent", asking)
    host.connections = [connection(1, flow("10.10.0.5"), flow("10.10.2.5"))]
    host.look(_mptcp_guard.Guard())
    assert host.added == []


@pytest.mark.parametrize(
    "refused", [OSError(34, "too many addresses"), lock.Busy("held"), _mptcp_converge.NotConverged("ignored")]
)
def test_endpoint_that_cannot_be_put_back_holds_up_no_other_rail(host: Host, refused: Exception) -> None:
    host.endpoints.remove("10.10.2.5")
    host.refused = refused
    host.connections = [connection(1, flow("10.10.0.5"))]
    lines = host.look(_mptcp_guard.Guard())
    assert f"not put back: {refused}" in lines
    assert host.added == ["rail1"]


def test_silent_rail_that_cannot_be_left_out_holds_up_no_other_rail(host: Host) -> None:
    host.silent = {(SERVICE, "rail2")}
    host.refused = OSError(5, "refused")
    host.connections = [connection(1, flow("10.10.0.5"), flow("10.10.2.5"))]
    assert "not put back: [Errno 5] refused" in host.look(_mptcp_guard.Guard())
    assert host.added == ["rail1"]


def test_rail_is_not_reset_for_a_target_that_is_silent_there(host: Host) -> None:
    host.silent = {(SERVICE, "rail1")}
    everywhere = [flow(address) for address in RAILS.values()]
    host.connections = [connection(1, *everywhere), connection(2, flow("10.10.0.5"), flow("10.10.2.5"))]
    guard = _mptcp_guard.Guard()
    host.look(guard)
    assert host.added == []
    host.silent = set()
    host.look(guard)
    assert set(host.added) == {"rail1"}


def test_reason_of_an_earlier_trouble_is_not_told_again(host: Host) -> None:
    guard, lost = _mptcp_guard.Guard(), [connection(1, flow("10.10.0.5"), flow("10.10.2.5"))]
    host.connections = lost
    assert any("(reset)" in line for line in host.look(guard, closed={"10.10.1.5": "reset"}))
    host.connections = [connection(1, *(flow(address) for address in RAILS.values()))]
    host.look(guard)
    host.connections, host.now = lost, host.now + 20
    lines = host.look(guard)
    assert any("adding its endpoint again" in line for line in lines)
    assert not any("(reset)" in line for line in lines)


EVERYWHERE = [flow(address) for address in RAILS.values()]


@pytest.mark.parametrize(
    ("away", "connections", "deleted"),
    [
        ([], [EVERYWHERE], []),
        ([1], [EVERYWHERE], ["rail1"]),
        ([0, 2], [EVERYWHERE, EVERYWHERE], ["rail0", "rail2"]),
        ([0, 1, 2], [EVERYWHERE], []),
        ([1], [EVERYWHERE, [flow("10.10.1.5")]], []),
        ([1], [[flow("10.10.1.5"), flow("10.10.0.5", backoffs=2)]], []),
        ([1], [[flow("10.10.1.5", backoffs=2), flow("10.10.0.5")]], ["rail1"]),
        ([1], [[flow("10.10.0.5"), flow("10.10.2.5")]], []),
    ],
    ids=["all there", "one away", "two away", "all away", "the only one of a connection", "the other one is silent",
         "silent already", "nothing there"],
)  # fmt: skip
@pytest.mark.parametrize("how", ["carrier", "address"])
def test_subflows_of_a_nic_that_is_away_are_closed_where_others_are_left(
    host: Host, away: list[int], connections: list[list[Any]], deleted: list[str], how: str
) -> None:
    for number in away:
        if how == "carrier":
            host.links[number]["flags"] = ["UP"]
        else:
            host.links[number]["addr_info"] = []
    host.connections = [connection(token, *flows) for token, flows in enumerate(connections)]
    lines = list(_mptcp_guard.Guard().give_up(DESCRIPTION))
    assert host.deleted == deleted
    assert len(lines) == len(deleted)
    assert all("goes over the other rails" in line for line in lines)
