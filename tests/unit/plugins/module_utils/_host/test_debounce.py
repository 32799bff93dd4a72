# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When rounds begin while events do not end, on a made-up clock."""

from __future__ import annotations

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.debounce import LEAST, MOST, Debounce


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def begun(clock: Clock, debounce: Debounce, every: float, until: float) -> list[float]:
    """When rounds begin if an event comes that often; a round takes no time."""
    begins = []
    while clock.now < until:
        clock.now += debounce.delay()
        begins.append(clock.now)
        clock.now += every
    return begins


def test_a_storm_gets_fewer_and_fewer_rounds_but_never_none() -> None:
    clock = Clock()
    rounds = begun(clock, Debounce(clock), 0.001, 120.0)
    assert [round(one, 2) for one in rounds[:6]] == [0, 1, 2.25, 3.81, 5.77, 8.21]
    assert [round(one) for one in rounds[-3:]] == [103, 113, 123]
    gaps = [later - earlier for earlier, later in zip(rounds, rounds[1:])]
    assert min(gaps) >= LEAST
    assert max(gaps) <= MOST


def test_a_single_event_is_followed_at_once_and_a_quiet_time_ends_a_storm() -> None:
    clock = Clock()
    debounce = Debounce(clock)
    assert begun(clock, debounce, 30.0, 300.0) == [30.0 * number for number in range(10)]
    begun(clock, debounce, 0.001, 400.0)
    clock.now += debounce.delay()
    clock.now += 2 * MOST
    assert debounce.delay() == 0.0
    clock.now += 0.5
    assert debounce.delay() == LEAST - 0.5
