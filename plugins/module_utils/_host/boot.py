# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Keep the connections of this host as they are described, from boot to shutdown, by the kernel's own events.

The kernel removes a controller for good when a target that comes back does not serve its subsystem yet, whatever its
loss timeout says; and it tells of a changed discovery log, but reads none.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.systemd import is_shutting_down, ready
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as keeping
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.converge import NotConverged, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.debounce import Debounce
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import IdentityInUse, IdentityRefused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import Patience
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.uevents import Uevents, is_removal

#: Seconds between two rounds without a playbook while something is missing, from the first to the longest: the target
#: may be booting too, and a round costs it a few packets. What it answers changes while it boots, which starts again
#: with the first. An event ends a pause.
PAUSES = (2.0, 10.0)
#: Seconds that the boot waits for what comes after the connections, while a target is away.
BOOT_WAIT = 20.0


def boot(description: Mapping[str, Any]) -> Iterator[str]:
    """Make what is missing until nothing is, then wait for an event, and so on; yields a line for every event.

    Tells systemd that the connections are there, or that it has waited long enough for them. The connections are held
    for one connect at a time, and a round ends when a playbook saves others meanwhile.
    """
    # However long a round takes that waits for a dead target.
    limit = threading.Timer(BOOT_WAIT, ready)
    limit.daemon = True
    limit.start()
    keeper, events, debounce = Keeper(description), Uevents(), Debounce()
    while True:
        yield from keeper.round()
        if keeper.complete:
            limit.cancel()
            ready()
        happened = events.wait(keeper.pause)
        yield from happened
        delay = debounce.delay() if happened else 0.0
        if delay:
            # A log that changes after each reading, above all: what else happens until then is part of the round.
            time.sleep(delay)
            more = [line for line in events.wait(0.0) if line not in happened]
            yield from more
            happened += more
        # What is disconnected for the shutdown must not come back under its file system.
        if is_removal(happened):
            while is_shutting_down():
                yield "the machine is shutting down: nothing is connected any more"
                happened = events.wait(None)
        keeper.news = bool(happened)


class Keeper:
    """One round after the other, and what has been said already.

    complete: the last round left nothing to do. pause: seconds until the next without an event, None for no limit.
    news: something happened since, so that the next round says what came of it.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.complete = False
        self.pause: float | None = PAUSES[0]
        self.news = True
        self._begun = False
        self._description = description
        self._missing: list[str] = []
        self._failed: frozenset[str] = frozenset()
        self._patience = Patience()
        self._wait = PAUSES[0]
        self._halfway = False
        self._notes: list[str] = []

    def round(self) -> Iterator[str]:
        """Converge once; yields what was done, what is missing and what the logs say, each thing once.

        Raises Damaged in the first one, for what no pause mends.
        """
        first, self._begun = not self._begun, True
        if not self._halfway:
            self._patience.failures.clear()
            self._patience.budget = None
        self._halfway = False
        try:
            outcome = converge(lambda: self._saved(), timeout=0.0, last=self._failed, patience=self._patience)
            interval = self._saved().get("discovery_interval")
        except NotConverged as error:
            yield from (operation.line() for operation in error.applied)
            self._failed = error.failed
            if error.again:
                # Some were not asked yet, for one took its time: what has happened meanwhile may be worth more.
                yield from self._note(error.notes or self._notes)
                self.pause, self.complete, self._halfway = 0.0, False, bool(error.failed)
                return
            yield from self._note(error.notes)
            yield from self._wait_for(error.errors)
        except (Refused, lock.Busy, IdentityInUse) as error:
            # A controller that went away between the look and the write, a long run of a playbook, or a controller that
            # somebody made under another identity: the event of its removal ends the pause.
            yield from self._wait_for([str(error)])
        except (Invalid, IdentityRefused, state.Damaged) as error:
            why = _damage(error)
            if first:
                raise why from None
            # Somebody edits it: what is connected is looked after again as soon as it is whole.
            yield from self._wait_for([str(why)])
        else:
            yield from (operation.line() for operation in outcome.operations)
            yield from self._note(outcome.notes)
            self._failed = frozenset()
            if outcome.awaited:
                yield from self._wait_for(outcome.awaited)
                return
            if self.news or outcome.operations or self._missing:
                yield f"{len(outcome.after['connections'])} connection(s) as described"
            self._missing, self.complete = [], True
            # The longest that an event which was lost on its way stays unnoticed.
            self.pause = interval or None

    def _saved(self) -> Mapping[str, Any]:
        return keeping.load(state.CONFIG_DIR) or self._description

    def _wait_for(self, missing: Sequence[str]) -> Iterator[str]:
        known = sorted(missing) == sorted(self._missing)
        self._wait = min(self._wait * 1.5, PAUSES[1]) if known else PAUSES[0]
        self.pause = self._wait
        if not known:
            yield from (f"waiting: {line}" for line in missing)
        self._missing, self.complete = list(missing), False

    def _note(self, notes: Sequence[str]) -> Iterator[str]:
        yield from (line for line in notes if line not in self._notes)
        self._notes = list(notes)


def _damage(error: ValueError) -> state.Damaged:
    if isinstance(error, state.Damaged):
        return error
    path = state.description_file(keeping.COMPONENT, state.CONFIG_DIR)
    return state.Damaged(f"{path} cannot be kept: {error}", "correct that and run the playbook hosts.yml again")
