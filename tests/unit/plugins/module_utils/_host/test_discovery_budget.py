# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The budget of a round: asked before each operation, shared by all logs, and not to be had twice."""

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import (
    LIMITS,
    Budget,
    Spent,
    limit_errors,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("kind", ["commands", "entries"])
def test_what_is_taken_comes_to_the_limit_and_no_further(kind: str) -> None:
    budget = Budget({kind: 10})
    budget.take(kind, 7)
    with pytest.raises(Spent, match=f"the limit of 10 {kind} is reached .discovery_limits."):
        budget.take(kind, 4)
    budget.take(kind, 3)
    with pytest.raises(Spent):
        budget.take(kind)


@pytest.mark.parametrize("kind", ["referrals", "connections"])
def test_a_name_is_counted_once_and_what_is_there_takes_a_place(kind: str) -> None:
    budget = Budget({kind: 3})
    budget.hold(kind, "there")
    for name in ("a", "b", "a", "there"):
        budget.admit(kind, name)
    with pytest.raises(Spent, match=f"3 {kind}"):
        budget.admit(kind, "c")
    # What is there stays, however much there is.
    budget.hold(kind, "there too")
    budget.admit(kind, "there too")


def test_nothing_begins_after_the_last_second() -> None:
    clock = Clock()
    budget = Budget({"seconds": 60}, clock)
    share = budget.share()
    clock.now = 14.9
    share.take("commands")
    clock.now = 15.0
    with pytest.raises(Spent, match="15 seconds"):
        share.take("commands")
    budget.take("commands")
    clock.now = 60.0
    for ask in (budget.time, budget.share().time, lambda: budget.take("entries")):
        with pytest.raises(Spent, match="60 seconds"):
            ask()


def test_one_log_leaves_enough_for_the_others() -> None:
    budget = Budget({"entries": 100})
    for _log in range(4):
        share = budget.share()
        share.take("entries", 25)
        with pytest.raises(Spent, match="25 entries"):
            share.take("entries")
    # What the shares took is taken from the whole.
    with pytest.raises(Spent, match="100 entries"):
        budget.share().take("entries")


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"hours": 1}, "discovery_limits has no 'hours'; there are seconds, commands, "),
        ({"seconds": 0}, "discovery_limits: seconds must be a whole number from 1 to 1048576"),
        ({"entries": True}, "entries must be a whole number"),
        ({"connections": 1 << 21}, "connections must be a whole number"),
        (["seconds"], "must be a dictionary"),
    ],
)
def test_limits_that_are_none_are_told(limits: object, what: str) -> None:
    (error,) = limit_errors(limits)
    assert what in error
    assert limit_errors(dict(LIMITS)) == []
