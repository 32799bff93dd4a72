# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Keep the network as it was saved, at boot and after each change of it, and its connections whole.

The kernel deletes a route when the last NIC that it leads over goes down or loses its address, as happens to every rail
at once when a directly cabled peer reboots, and does not bring it back. Source: rtnetlink(7).
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.systemd import ready
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, converge, saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import guard as _mptcp_guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.events import Events, Seen
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.guard import Guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.locate import locate

#: How long boot waits for the NICs of the description to be up with their addresses, in seconds.
BOOT_WAIT = 30.0
#: How long to wait after a refused change before it is tried again, in seconds; no event may come any more.
RETRY = 10.0


def boot(description: Mapping[str, Any]) -> Iterator[str]:
    """Converge once the NICs are there, tell systemd, and go on for as long as the machine runs; lines for the journal.

    Raises what converging raises as long as it never succeeded.
    """
    events = Events()
    _wait_for_nics(description, BOOT_WAIT)
    result = converge.converge(None)
    yield from _lines(result) or ["as described"]
    guard, missing = Guard(), result["missing"]
    # Before the first connection is made: a rail that is silent is left out of its route.
    yield from _looked(guard, Seen())
    ready()
    refused = ""
    while True:
        seen = events.wait(min(guard.wake or RETRY, RETRY) if refused else guard.wake)
        if seen.network:
            # First: I/O waits for it.
            yield from _told(guard, guard.give_up)
        if seen.network or seen.deleted or refused:
            before = refused
            try:
                result, refused = converge.converge(None, silent=guard.silent), ""
            except converge.ERRORS as error:
                refused = str(error)
                yield from [] if refused == before else [f"after a change of the network: {refused}"]
                continue
            if result["plan"] or result["missing"] != missing:
                yield from _lines(result) or ["every rail has its NIC again"]
            missing = result["missing"]
        yield from _looked(guard, seen)


def _looked(guard: Guard, seen: Seen) -> Iterator[str]:
    return _told(guard, lambda description: guard.look(description, seen))


def _told(guard: Guard, look: Callable[[dict[str, Any]], Iterator[str]]) -> Iterator[str]:
    try:
        yield from look(saved.load() or {"endpoints": [], "routes": []})
    except converge.ERRORS as error:
        # A damaged file stays so until a playbook runs: not a line every 2 s.
        guard.wake = guard.wake and _mptcp_guard.SLOW
        yield f"after a look at the connections: {error}"


def _lines(result: dict[str, Any]) -> list[str]:
    return [*result["plan"], *(f"not usable: {problem}" for problem in result["missing"])]


def _wait_for_nics(description: Mapping[str, Any], longest: float) -> None:
    ends = time.monotonic() + longest
    while time.monotonic() < ends:
        links = actual.interfaces(actual.ip_json("address", "show"))
        if not locate(description["rails"], links)[1]:
            return
        time.sleep(0.2)
