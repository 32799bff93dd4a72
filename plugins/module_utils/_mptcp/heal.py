# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which rail's endpoint to add again, and when. Pure: the time and the state of the rails are given.

The in-kernel path manager opens a subflow once for each endpoint of a connection: one that was reset, or whose rail was
dead when the connection was made, stays away until its endpoint is deleted and added again, which resets that rail on
every connection. So that is done for a rail only

- while a connection lacks its subflow there and none is being opened: TCP repeats by itself what was not answered,
- while nothing that is established there waits for an answer: the far end is silent, and TCP goes on trying,
- when every connection keeps a subflow of another rail that is alive,
- with no other rail in work, and not before the back-off of this one has ended; a back-off outlives a short recovery,
  for something may reset the rail again and again,
- and, when that would reset what is established there, for a connection whose target answers over the rail.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.rails import State

#: How long a subflow may be missing first, in seconds: a new connection opens its subflows within that.
GRACE = 1.0
#: How long a rail stays in work while its subflows are still missing or being opened, in seconds.
SETTLE = 2.0
#: The back-off after the first time, doubled each time, up to the second where nothing is established on the rail, so
#: that nothing is disturbed, and else up to the third; in seconds.
FIRST, MOST_EMPTY, MOST = 2.0, 5.0, 300.0
#: How long a rail must have been whole until its back-off is forgotten, in seconds.
CALM = 300.0
#: How often to look whether TCP or the kernel has recovered a rail, in seconds.
RECOVERING = 2.0


@dataclass
class Effort:
    """What was seen and done about one rail since it was last whole. Times are of the clock of step().

    away: its NIC had no carrier or no address.
    """

    since: dict[int, float] = field(default_factory=dict)
    amiss: float | None = None
    told: bool = False
    away: bool = False
    attempts: int = 0


@dataclass
class Pace:
    """The back-off of one rail. last: when its endpoint was last added again. calm: since when the rail is whole."""

    attempts: int = 0
    last: float = 0.0
    calm: float | None = None
    answers: bool = False

    def not_before(self, established: bool) -> float:
        """When the endpoint can be added again. established: whether that resets anything."""
        if not self.attempts or (self.answers and not established):
            return 0.0
        # An exponent without bound would be a number of thousands of digits in the end.
        return self.last + min(MOST if established else MOST_EMPTY, FIRST * 2.0 ** min(self.attempts - 1, 10))


@dataclass
class Step:
    """lines: for the journal. rail: whose endpoint to add again now. wake: when to look again, in seconds from now."""

    lines: list[str] = field(default_factory=list)
    rail: str = ""
    wake: float | None = None

    def look_in(self, seconds: float) -> None:
        self.wake = seconds if self.wake is None else min(self.wake, seconds)


class Healer:
    """Remembers each rail's effort."""

    def __init__(self) -> None:
        self._efforts: dict[str, Effort] = {}
        self._paces: dict[str, Pace] = {}
        self._in_work = ("", 0.0)

    def step(self, now: float, states: dict[str, State], usable: dict[str, Any], why: dict[str, str]) -> Step:
        """What to do now. usable: rails whose NIC has carrier and address. why: what ended a rail's last subflow."""
        step = Step()
        due: list[tuple[int, float, str]] = []
        for rail, state in states.items():
            effort = self._efforts.setdefault(rail, Effort())
            pace = self._pace(now, rail, calm=rail in usable and state.whole)
            if rail not in usable:
                self._away(step, rail, state, effort)
            elif state.whole:
                self._whole(step, rail, state, effort)
            else:
                self._amiss(step, now, rail, state, effort)
                hopeful = state.lacking - state.unreachable if state.established else state.lacking
                if hopeful and not state.stale and not state.only:
                    since = min(effort.since[token] for token in hopeful)
                    at = max(since + GRACE, pace.not_before(bool(state.established)))
                    due.append((len(state.established), at, rail))
        self._choose(step, now, due, states, why)
        return step

    def answers(self, rail: str) -> None:
        """A rail that was silent answers again: its back-off ends, unless that would disturb what is established."""
        self._paces.setdefault(rail, Pace()).answers = True

    def _pace(self, now: float, rail: str, calm: bool) -> Pace:
        pace = self._paces.setdefault(rail, Pace())
        if pace.calm is not None and now - pace.calm >= CALM:
            pace = self._paces[rail] = Pace(calm=pace.calm)
        if not calm:
            pace.calm = None
        elif pace.calm is None:
            pace.calm = now
        return pace

    def _away(self, step: Step, rail: str, state: State, effort: Effort) -> None:
        if not effort.told and state.total:
            step.lines.append(f"{rail}: its NIC has no carrier or no address; waiting for it")
        self._efforts[rail] = Effort(told=effort.told or bool(state.total), away=True)

    def _whole(self, step: Step, rail: str, state: State, effort: Effort) -> None:
        if effort.told and state.total:
            how = "its NIC is back" if effort.away else "TCP or the kernel recovered them"
            if effort.attempts:
                how = f"its endpoint was added again {effort.attempts} time(s)"
            step.lines.append(f"{rail}: all {state.total} connections have their subflow again: {how}")
        self._efforts[rail] = Effort()
        if self._in_work[0] == rail:
            self._in_work = ("", 0.0)

    def _amiss(self, step: Step, now: float, rail: str, state: State, effort: Effort) -> None:
        effort.since = {token: effort.since.get(token, now) for token in state.lacking}
        effort.amiss = now if effort.amiss is None else effort.amiss
        if not effort.told and now - effort.amiss >= GRACE:
            effort.told = True
            step.lines.append(
                f"{rail}: of {state.total} connections {len(state.lacking)} have no subflow, {len(state.stale)} one "
                f"that gets no answer, {len(state.opening)} one that is being opened"
            )
        step.look_in(RECOVERING if effort.told else max(effort.amiss + GRACE - now, 0.1))

    def _choose(
        self, step: Step, now: float, due: list[tuple[int, float, str]], states: dict[str, State], why: dict[str, str]
    ) -> None:
        busy, until = self._in_work
        # First the rails on which nothing is disturbed.
        for _established, at, rail in sorted(due):
            if busy and busy != rail and until > now:
                at = max(at, until)
            if at > now or step.rail:
                step.look_in(max(at - now, 0.1))
                continue
            effort, pace = self._efforts[rail], self._paces[rail]
            effort.attempts += 1
            pace.attempts, pace.last, pace.answers = pace.attempts + 1, now, False
            self._in_work = (rail, now + SETTLE)
            step.rail = rail
            step.look_in(SETTLE)
            # Each further time is told when their number has doubled.
            if effort.attempts & (effort.attempts - 1) == 0:
                reason = f" ({why[rail]})" if rail in why else ""
                step.lines.append(
                    f"{rail}: adding its endpoint again, for {len(states[rail].lacking)} of {states[rail].total} "
                    f"connections have no subflow{reason}; time {effort.attempts}"
                )
