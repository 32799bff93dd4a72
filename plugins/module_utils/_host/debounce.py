# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""When a round may begin that an event asks for: at most one a second, and fewer while events do not end. Pure."""

from __future__ import annotations

import time
from typing import Callable

#: Seconds from the beginning of a round to that of the next, after a quiet time and at the most.
LEAST, MOST = 1.0, 10.0
#: How much longer each time: a change of a fabric is a handful of events, and the last one is followed soon, too.
GROWTH = 1.25


class Debounce:
    """The seconds between two rounds grow while events go on, and are forgotten when twice as many were quiet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gap = LEAST
        self._last = float("-inf")

    def delay(self) -> float:
        """Seconds to wait with the round for an event that came now; other events until then are part of that round."""
        now = self._clock()
        if now - self._last >= 2 * self._gap:
            self._gap, begins = LEAST, now
        else:
            begins = max(now, self._last + self._gap)
            self._gap = min(GROWTH * self._gap, MOST)
        self._last = begins
        return begins - now
