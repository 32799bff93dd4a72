# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Peers that keep the kernel waiting: it makes one connect at a time, so that their seconds are everybody's. Pure."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget

#: Seconds of a connect in vain. Nobody at an address costs less, so who costs more has accepted and said nothing.
SILENT = 4.0
#: All silent peers together get one second in so many.
SHARE = 10
#: Seconds of a connect in vain after which a round that comes again looks around first, before it asks others.
LONG = 1.0
#: Silent peers that are remembered: of more, the one that was asked longest ago is asked as if it were a new one.
_MOST = 1024


class Patience:
    """What was learnt about peers, and when a silent one can be asked again. A peer is a portal, ADDRESS SERVICE.

    failures: what could not be made since the pass over all connections began, by name, for who makes one in several
    rounds; budget: what logs may still cost in that pass, none before its first round. long: the last connect was in
    vain and took so long that others may want to come first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.failures: dict[str, Any] = {}
        self.budget: Budget | None = None
        self.long = False
        self._clock = clock
        # How it ended and which time that was, the one that was asked longest ago first; and how the last one ended at
        # an address, which may name any number of services.
        self._silent: dict[tuple[str, str], tuple[OSError, int]] = {}
        self._addresses: dict[str, OSError] = {}
        self._times = 0
        self._until = 0.0

    def rank(self, portal: tuple[str, str]) -> int:
        """The order of asking: 0 for who is not silent, then what is new at an address that is, then the others."""
        return 1 + self._silent[portal][1] if portal in self._silent else int(portal[0] in self._addresses)

    def not_now(self, portal: tuple[str, str], at: float | None = None) -> OSError | None:
        """Why a silent peer is not asked: how it ended the last time; None for who can be asked. at: a time, or now."""
        early = (self._clock() if at is None else at) < self._until
        if not early:
            return None
        return self._silent[portal][0] if portal in self._silent else self._addresses.get(portal[0])

    @contextlib.contextmanager
    def measured(self, portal: tuple[str, str]) -> Iterator[None]:
        """Around one connect, which raises OSError if it is in vain."""
        began, self.long = self._clock(), False
        try:
            yield
        except OSError as error:
            took = self._clock() - began
            self.long = took >= LONG
            self._forget(portal)
            if took >= SILENT:
                self._times += 1
                self._silent[portal], self._addresses[portal[0]] = (error, self._times), error
                self._until = self._clock() + (SHARE - 1) * took
                if len(self._silent) > _MOST:
                    self._forget(next(iter(self._silent)))
            raise
        self._forget(portal)

    def _forget(self, portal: tuple[str, str]) -> None:
        if self._silent.pop(portal, None) and not any(address == portal[0] for address, _service in self._silent):
            del self._addresses[portal[0]]
