# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Look at the live connections of a host: take a rail whose NIC is away from them, and give one back that they lack."""

from __future__ import annotations

import time
from typing import Any, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, converge, pm, reach, saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import counters as _mptcp_counters
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import rails as _mptcp_rails
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.events import Seen
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.heal import Healer
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.locate import locate

#: How often to look when nothing is told, in seconds: the kernel has no event for a connection that fell back to plain
#: TCP, for a subflow that gets no answer, and for an endpoint that another program deleted.
SLOW = 60.0
#: How often to ask whether a rail that is left out answers again, in seconds.
SILENT = 2.0


class Guard:
    """Remembers what it saw: efforts, rails that are left out, counters, and connections that fell back."""

    def __init__(self) -> None:
        self._healer = Healer()
        self._why: dict[str, str] = {}
        self._counters = _mptcp_counters.counters()
        self._fallen: set[int] = set()
        self._slow_at = 0.0
        self.silent: reach.Silent = set()
        self.wake: float | None = None

    def look(self, description: dict[str, Any], seen: Seen) -> Iterator[str]:
        """Heal what can be healed now; lines for the journal. Sets wake, the seconds until the next look.

        What cannot be put back holds up no other rail; it is told. Raises OSError, Refused and Busy.
        """
        self.wake = None
        services = _mptcp_rails.planned(description)
        if not services:
            return
        self.wake = SLOW
        usable = self._usable(description)
        if self._endpoint_missing(description, usable):
            yield from self._converge()
        connections = sock_diag.connections()
        states = _mptcp_rails.states(services, connections)
        slow = time.monotonic() >= self._slow_at
        if slow:
            self._slow_at = time.monotonic() + SLOW
            yield from self._told_by_no_event(services, connections)
        whole = all(state.whole for state in states.values())
        if slow or seen.network or seen.neighbours or seen.closed or self.silent or not whole:
            yield from self._leave_out(services, usable, slow)
            # Asking took its time, and what is whole by now must not be reset.
            states = _mptcp_rails.states(services, sock_diag.connections(), self.silent)
        rails = {endpoint["address"]: endpoint["rail"] for endpoint in description["endpoints"]}
        self._why.update({rails[address]: reason for address, reason in seen.closed.items() if address in rails})
        self._why = {rail: why for rail, why in self._why.items() if rail in states and not states[rail].whole}
        step = self._healer.step(time.monotonic(), states, usable, self._why)
        yield from step.lines
        if step.rail:
            if step.lines:
                yield from self._risen()
            add_again(step.rail)
        self.wake = min(step.wake or SLOW, SILENT if self.silent else SLOW)

    def give_up(self, description: dict[str, Any]) -> Iterator[str]:
        """Close the subflows of rails whose NIC is away; lines for the journal. Raises OSError, Refused and Busy.

        The kernel would repeat what they had after some intervals of its own, or, while the other rails are busy, not
        before the rail is back; and the far end does not even know. Deleting the endpoint has both ends repeat it at
        once. It is added again by converging when the NIC is back.
        """
        services = _mptcp_rails.planned(description)
        if not services:
            return
        usable = self._usable(description)
        if {rail for rails in services.values() for rail in rails} <= set(usable):
            return
        states = _mptcp_rails.states(services, sock_diag.connections())
        for rail in _mptcp_rails.expendable(states, usable):
            # What is closed is still there for a while.
            if delete(rail):
                yield f"{rail}: its subflows are closed; what they had goes over the other rails"

    def _usable(self, description: dict[str, Any]) -> dict[str, str]:
        links = actual.interfaces(actual.ip_json("address", "show"))
        found, problems = locate(description["rails"], links)
        return {rail: dev for rail, dev in found.items() if rail not in problems and links[dev]["carrier"]}

    def _converge(self) -> Iterator[str]:
        try:
            yield from converge.converge(None, silent=self.silent)["plan"]
        except converge.ERRORS as error:
            yield f"not put back: {error}"

    def _endpoint_missing(self, description: dict[str, Any], usable: dict[str, str]) -> bool:
        present = {endpoint["address"] for endpoint in pm.endpoints({})}
        return any(one["rail"] in usable and one["address"] not in present for one in description["endpoints"])

    def _told_by_no_event(
        self, services: dict[str, dict[str, str]], connections: list[sock_diag.Connection]
    ) -> Iterator[str]:
        fallen = {one.token: one for one in connections if one.fallback and one.remote in services}
        for token in sorted(set(fallen) - self._fallen):
            one = fallen[token]
            yield (
                f"the connection to {one.remote}:{one.remote_port} fell back to plain TCP and uses one path; only a "
                "new connection can change that, once the cause is gone"
            )
        self._fallen = set(fallen)
        yield from self._risen()

    def _risen(self) -> Iterator[str]:
        counters = _mptcp_counters.counters()
        for name, meaning in _mptcp_counters.MEANINGS.items():
            by = counters.get(name, 0) - self._counters.get(name, 0)
            if by > 0:
                yield f"{name} rose by {by}: {meaning}"
        self._counters = counters

    def _leave_out(self, services: dict[str, dict[str, str]], usable: dict[str, str], slow: bool) -> Iterator[str]:
        """Take the rails over which a service does not answer out of its multipath route, and put others back."""
        ways = {
            (service, rail): (address, usable[rail])
            for service, rails in services.items()
            for rail, address in rails.items()
            if rail in usable and len(rails) > 1
        }
        silent = reach.silent(ways)
        for service, rail in sorted(silent - self.silent):
            yield f"{rail}: {service} does not answer over it; new connections begin on other rails"
        for service, rail in sorted(self.silent - silent):
            self._healer.answers(rail)
            if (service, rail) in ways:
                yield f"{rail}: {service} answers over it again"
        changed, self.silent = silent != self.silent, silent
        # A playbook that ran meanwhile has put them back.
        if changed or (slow and silent):
            yield from self._converge()


def delete(rail: str) -> bool:
    """Delete the endpoint of a rail; whether there was one. Raises OSError, Refused, Busy."""
    return _replace(rail, add=False)


def add_again(rail: str) -> None:
    """Delete the endpoint of a rail and add it again; raises OSError, Refused, Busy."""
    _replace(rail, add=True)


def _replace(rail: str, add: bool) -> bool:
    with lock.lock("network"):
        # Read under the lock: a playbook may just have replaced it.
        description = saved.load() or {"endpoints": []}
        links = actual.interfaces(actual.ip_json("address", "show"))
        wanted = [endpoint for endpoint in description["endpoints"] if endpoint["rail"] == rail]
        present = {one["address"]: one for one in pm.endpoints({nic["index"]: n for n, nic in links.items()})}
        operations = []
        for endpoint in wanted:
            now = present.get(endpoint["address"])
            if now:
                words = ("dev", now["dev"], "id", str(now["id"]), *now["flags"])
                about = f"endpoint {endpoint['address']}"
                again = [("add", endpoint["address"], *words)] if add else []
                for argv in (("delete", "id", str(now["id"])), *again):
                    operations.append(Operation("run", argv=("ip", "mptcp", "endpoint", *argv), about=about))
        apply(operations, converge.explain)
        return bool(operations)
