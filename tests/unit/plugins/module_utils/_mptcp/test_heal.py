# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When an endpoint is added again, and when not: no kernel, no clock."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.sock_diag import Connection, Subflow
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.heal import (
    CALM,
    FIRST,
    GRACE,
    MOST,
    MOST_EMPTY,
    Healer,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.rails import State, planned, states, without
from ansible_collections.nvmeof.mptcp.plugins.modules.mptcp_info import RETURN, shown

USABLE = {"rail0": "eth0", "rail1": "eth1"}
WHOLE = State(established={1, 2})
LACKING = State(lacking={1, 2})
PARTLY = State(lacking={1}, established={2})


def times(healer: Healer, state: State, until: float, **others: State) -> list[float]:
    """When rail1 is added again, looking as often as is asked for."""
    now, found = 0.0, []
    while now < until:
        step = healer.step(now, {"rail0": WHOLE, "rail1": state, **others}, USABLE, {})
        if step.rail == "rail1":
            found.append(now)
        assert step.wake is not None
        assert step.wake > 0
        now += step.wake
    return found


def test_nothing_is_done_while_nothing_is_missing() -> None:
    step = Healer().step(0, {"rail0": WHOLE, "rail1": WHOLE}, USABLE, {})
    assert (step.rail, step.wake, step.lines) == ("", None, [])


@pytest.mark.parametrize(("state", "most"), [(LACKING, MOST_EMPTY), (PARTLY, MOST)])
def test_back_off_grows_up_to_its_limit(state: State, most: float) -> None:
    found = times(Healer(), state, 1000)
    gaps = [after - before for before, after in zip(found, found[1:])]
    assert GRACE <= found[0] <= 2 * GRACE + 1
    wanted = [min(FIRST * 2**number, most) for number in range(len(gaps))]
    assert all(0 <= gap - want < 2.1 for gap, want in zip(gaps, wanted)), gaps
    assert gaps[-1] >= most


@pytest.mark.parametrize(
    "state",
    [
        State(opening={1, 2}),
        State(stale={1, 2}),
        State(lacking={1}, stale={2}),
        State(lacking={1}, established={2}, only={2}),
    ],
    ids=["TCP is opening them", "TCP tries", "the far end is silent", "the last one of a connection"],
)
def test_what_is_left_to_others_is_left_alone(state: State) -> None:
    assert times(Healer(), state, 100) == []


def test_a_rail_without_carrier_is_left_alone_and_begins_anew() -> None:
    healer = Healer()
    assert times(healer, LACKING, 100)
    assert healer.step(100, {"rail1": LACKING}, {}, {}).rail == ""
    assert healer.step(101, {"rail1": LACKING}, USABLE, {}).rail == ""
    assert healer.step(101 + GRACE, {"rail1": LACKING}, USABLE, {}).rail == "rail1"


def test_two_rails_are_never_in_work_together() -> None:
    healer, both = Healer(), {"rail0": LACKING, "rail1": LACKING}
    healer.step(0, both, USABLE, {})
    first = healer.step(1, both, USABLE, {})
    assert first.rail == "rail0"
    # Being opened is not yet there.
    again = healer.step(1.5, {"rail0": State(opening={1, 2}), "rail1": LACKING}, USABLE, {})
    assert again.rail == ""
    assert healer.step(1.6, {"rail0": WHOLE, "rail1": LACKING}, USABLE, {}).rail == "rail1"


def test_new_connections_that_open_their_subflows_are_given_the_time() -> None:
    healer = Healer()
    for token in range(20):
        assert healer.step(token / 2, {"rail1": State(lacking={token})}, USABLE, {}).rail == ""


def test_journal_tells_what_helped() -> None:
    for state, how in ((State(stale={1, 2}), "TCP or the kernel recovered"), (LACKING, "was added again 1 time(s)")):
        healer = Healer()
        lines = [line for now in (0, 1) for line in healer.step(now, {"rail1": state}, USABLE, {}).lines]
        lines += healer.step(2, {"rail1": WHOLE}, USABLE, {}).lines
        assert how in lines[-1]
        assert healer.step(3, {"rail1": WHOLE}, USABLE, {}).lines == []


def test_journal_tells_that_a_nic_is_back() -> None:
    healer = Healer()
    assert healer.step(0, {"rail1": WHOLE}, {}, {}).lines == [
        "rail1: its NIC has no carrier or no address; waiting for it"
    ]
    [line] = healer.step(1, {"rail1": WHOLE}, USABLE, {}).lines
    assert line == "rail1: all 2 connections have their subflow again: its NIC is back"


def flow(local: str, **values: Any) -> Subflow:
    fixed = {"local_port": 1, "remote": "10.10.255.1", "remote_port": 4420, "address_id": 0, "rtt_us": 1}
    counts = {"bytes_sent": 1, "bytes_received": 1, "retransmissions": 0, "backup": False, "established": True}
    return Subflow(local=local, **{**fixed, **counts, **values})


def connection(token: int, *flows: Subflow, **values: Any) -> Connection:
    shown = {"local": "a", "local_port": 1, "remote": "10.10.255.1", "remote_port": 4420, "established": True}
    return Connection(token=token, subflows=list(flows), **{**shown, "fallback": False, "bytes_acked": 1, **values})


def test_state_of_each_rail() -> None:
    services = {"10.10.255.1": {"rail0": "a", "rail1": "b"}}
    found = states(
        services,
        [
            connection(1, flow("a"), flow("b")),
            connection(2, flow("a")),
            connection(3, flow("a"), flow("b", established=False)),
            connection(4, flow("a"), flow("b", backoffs=2)),
            connection(5, flow("b"), fallback=True),
            connection(6, flow("b"), established=False),
            connection(7, flow("b"), bytes_acked=0),
            connection(8, flow("b"), remote="203.0.113.1"),
        ],
    )
    assert found["rail0"] == State(established={1, 2, 3, 4}, only={2, 3, 4})
    assert found["rail1"] == State(established={1}, lacking={2}, opening={3}, stale={4})


def test_rails_to_each_service() -> None:
    def route(dst: str, *rails: str, via: str = "10.10.0.1") -> dict[str, Any]:
        return {"type": "unicast", "dst": dst, "nexthops": [{"via": via, "rail": rail} for rail in rails]}

    description = {
        "endpoints": [{"rail": "rail0", "address": "a"}, {"rail": "rail1", "address": "b"}],
        "routes": [
            route("10.10.255.1/32", "rail0", "rail1"),
            route("10.10.255.1/32", "rail0"),
            route("2001:db8::1/128", "rail1"),
            route("10.20.0.0/24", "rail0"),
            route("10.10.0.101/32", "rail0", via=""),
            {"type": "blackhole", "dst": "10.10.255.1/32", "nexthops": []},
        ],
    }
    assert planned(description) == {"10.10.255.1": {"rail0": "a", "rail1": "b"}, "2001:db8::1": {"rail1": "b"}}
    left = without(description, {("10.10.255.1", "rail0")})["routes"]
    assert [[hop["rail"] for hop in one["nexthops"]] for one in left[:3]] == [["rail1"], ["rail0"], ["rail1"]]
    every = {("10.10.255.1", "rail0"), ("10.10.255.1", "rail1")}
    assert without(description, every) == description


def test_what_mptcp_info_shows_of_a_connection() -> None:
    flows = [flow("a"), flow("b", established=False), flow("c", backoffs=2), flow("d", backup=True)]
    told = shown(connection(7, *flows), {"rail0": "a", "rail1": "b", "rail2": "x"}, {"a": "eth0"})
    assert (told["token"], told["planned"], told["missing"]) == (7, ["rail0", "rail1", "rail2"], ["rail1", "rail2"])
    seen = [(one["interface"], one["rail"], one["state"]) for one in told["subflows"]]
    assert seen == [("eth0", "rail0", "active"), ("", "rail1", "opening"), ("", "", "stale"), ("", "", "backup")]
    documented = yaml.safe_load(RETURN)["connections"]["contains"]
    assert set(told) == set(documented)
    assert set(told["subflows"][0]) == set(documented["subflows"]["contains"])


def again_and_again(healer: Healer, state: State, until: float, away: bool = False) -> list[float]:
    """When rail1 is added again, which helps for half a second each time; away: its NIC goes and returns instead."""
    now, found, whole_until = 0.0, [], -1.0
    while now < until:
        helped = now < whole_until
        usable = {} if away and helped else USABLE
        step = healer.step(now, {"rail0": WHOLE, "rail1": WHOLE if helped and not away else state}, usable, {})
        if step.rail == "rail1":
            found.append(now)
            whole_until = now + 0.5
        now += 0.25
    return found


@pytest.mark.parametrize("away", [False, True], ids=["whole for a moment", "without carrier for a moment"])
def test_back_off_outlives_a_recovery_that_does_not_last(away: bool) -> None:
    """Something resets one connection each time it joins: the others are not reset with it every few seconds."""
    found = again_and_again(Healer(), PARTLY, 2000, away)
    gaps = [after - before for before, after in zip(found, found[1:])]
    assert all(gap >= min(FIRST * 2**number, MOST) for number, gap in enumerate(gaps)), gaps
    assert gaps[-1] >= MOST
    empty = again_and_again(Healer(), LACKING, 300, away)
    assert max(after - before for before, after in zip(empty, empty[1:])) <= MOST_EMPTY + 2, "nothing is disturbed"


def test_back_off_is_forgotten_once_a_rail_has_been_whole_for_long() -> None:
    healer = Healer()
    assert len(times(healer, PARTLY, 1000)) > 5
    for state, at in ((WHOLE, 1000.0), (WHOLE, 1000.0 + CALM), (PARTLY, 2000.0)):
        assert healer.step(at, {"rail1": state}, USABLE, {}).rail == ""
    assert healer.step(2000 + GRACE, {"rail1": PARTLY}, USABLE, {}).rail == "rail1"


def test_long_back_off_ends_when_nothing_is_left_to_disturb() -> None:
    """One connection was refused for long; then the rail is reset for all of them."""
    healer = Healer()
    last = times(healer, PARTLY, 1000)[-1]
    now = last + MOST_EMPTY
    assert healer.step(now, {"rail1": LACKING}, USABLE, {}).rail == "rail1"


def test_what_is_established_is_not_reset_for_a_target_that_does_not_answer() -> None:
    away = State(lacking={1}, established={2}, unreachable={1})
    assert times(Healer(), away, 1000) == []
    assert times(Healer(), State(lacking={1, 3}, established={2}, unreachable={1}), 10), "another one can be helped"
    assert times(Healer(), State(lacking={1, 2}, unreachable={1, 2}), 10), "echo may be filtered there"


def test_lacking_where_the_target_does_not_answer() -> None:
    services = {"10.10.255.1": {"rail0": "a", "rail1": "b"}, "10.10.255.2": {"rail0": "a", "rail1": "b"}}
    lost = [connection(1, flow("a")), connection(2, flow("a"), remote="10.10.255.2")]
    found = states(services, lost, {("10.10.255.2", "rail1")})
    assert found["rail1"] == State(lacking={1, 2}, unreachable={2})


def test_answer_of_a_silent_rail_ends_the_back_off_unless_it_disturbs_something() -> None:
    for state, wanted in ((LACKING, "rail1"), (PARTLY, "")):
        healer = Healer()
        last = times(healer, state, 100)[-1]
        healer.answers("rail1")
        assert healer.step(last + 0.1, {"rail1": state}, USABLE, {}).rail == wanted
