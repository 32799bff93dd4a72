# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""How the lab speaks: an error that a person can act on, and lines that show that a long step is alive."""

from __future__ import annotations

import time
import typing as t


class LabError(Exception):
    """Something the lab cannot do; the text names the object, the value and the remedy."""


class Progress:
    """Lines for the person who waits, each with the seconds since the start."""

    def __init__(self, show: t.Callable[[str], None], every: float = 15.0) -> None:
        """show: prints one line at once. every: seconds between two lines of one wait."""
        self._show = show
        self._every = every
        self._started = time.monotonic()
        self._last = self._started

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """Show `text` now."""
        self._last = time.monotonic()
        self._show(f"lab: {self.elapsed:5.1f} s  {text}")

    def still(self, text: str) -> None:
        """Show `text` if nothing was shown for a while: for loops."""
        if time.monotonic() - self._last >= self._every:
            self.say(text)
