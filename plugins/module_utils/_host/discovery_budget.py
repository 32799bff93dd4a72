# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What discovery logs may cost a round, however much they name and however they change.

A round is one run of converging, of a playbook, at boot or for an event; runs of the service that are one pass over all
connections have one budget together. What a person declared costs nothing of it.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

#: What each kind of cost may come to in a round, all logs together. A fabric of 100 targets that refer to one another
#: takes half of it: 140 entries a log, and a command for four of them.
LIMITS: Mapping[str, int] = {
    # From the beginning of the round: after that nothing is begun any more.
    "seconds": 60,
    # Get Log Page, 4 KiB each.
    "commands": 16384,
    # A kilobyte each.
    "entries": 32768,
    # Discovery controllers that logs name.
    "referrals": 128,
    # Connections that logs name, those that are there among them.
    "connections": 256,
}
_LARGEST = 1 << 20
#: One log may take so much of what all together may: a bad one leaves enough for the others.
_SHARE = 4


class Spent(Exception):
    """Something was not done since there is no budget left for it; the text says of what, and what to write."""


class Budget:
    """Is asked before each operation that a log caused. clock: as time.monotonic."""

    def __init__(self, limits: Mapping[str, int] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = {**LIMITS, **(limits or {})}
        self._clock, self._end = clock, clock() + self._limits["seconds"]
        self._taken = {"commands": 0, "entries": 0}
        self._admitted: dict[str, set[str]] = {"referrals": set(), "connections": set()}
        self._whole: Budget | None = None

    def share(self) -> Budget:
        """What one log may take of this budget, whose rest it counts against."""
        some = ("seconds", "commands", "entries")
        part = Budget({kind: max(1, self._limits[kind] // _SHARE) for kind in some}, self._clock)
        part._whole = self
        return part

    def time(self) -> None:
        """Ask whether there is time for another operation. Raises Spent."""
        if self._clock() >= self._end:
            raise _spent("seconds", self._limits)
        if self._whole:
            self._whole.time()

    def take(self, kind: str, number: int = 1) -> None:
        """Ask for so many commands or entries, and for time. Raises Spent, and then nothing was taken."""
        self.time()
        if self._taken[kind] + number > self._limits[kind]:
            raise _spent(kind, self._limits)
        if self._whole:
            self._whole.take(kind, number)
        self._taken[kind] += number

    def admit(self, kind: str, name: str) -> None:
        """Ask for a referral or a connection by its name, any number of times. Raises Spent."""
        admitted = self._admitted[kind]
        if name not in admitted and len(admitted) >= self._limits[kind]:
            raise _spent(kind, self._limits)
        admitted.add(name)

    def hold(self, kind: str, name: str) -> None:
        """Count a referral or a connection that is there: it stays, and takes the place of a new one."""
        self._admitted[kind].add(name)


def _spent(kind: str, limits: Mapping[str, int]) -> Spent:
    return Spent(f"the limit of {limits[kind]} {kind} is reached (discovery_limits)")


def limit_errors(limits: Any) -> list[str]:
    """What is wrong with limits that somebody wrote, each with its remedy."""
    if not isinstance(limits, dict):
        return ["discovery_limits must be a dictionary of limits"]
    unknown = sorted(str(kind) for kind in limits if kind not in LIMITS)
    found = [f"discovery_limits has no {kind!r}; there are {', '.join(LIMITS)}" for kind in unknown]
    for kind in LIMITS:
        value = limits.get(kind, 1)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST:
            found.append(f"discovery_limits: {kind} must be a whole number from 1 to {_LARGEST}")
    return found
