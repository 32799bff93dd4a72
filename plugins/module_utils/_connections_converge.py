# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Converge this host's controllers to a description: one way for the Ansible module, for boot and for events."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _connections_saved as keeping
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _host_identity, _sock_diag, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_apply import (
    before_disconnects,
    is_connect,
    perform,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_desired import Desired, desired, usable
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_diff import shape, shape_after
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Plan, plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._device_users import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import name_of, normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host_names import Names
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_connect import Connector, explain
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_reauth import secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Nvme, read, recognise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._uevents import Uevents

SLICE = keeping.SLICE
#: Seconds between two rounds without a playbook, from the first to the longest: the target may be booting too, and a
#: round costs it a few packets. What it answers changes while it boots, which starts again with the first.
PAUSES = (2.0, 10.0)
#: Seconds that namespaces may take to be there over a connection that was made anew.
SCAN = 10.0
#: Plans of one run, beside those that make connections anew one path at a time.
ROUNDS = 5


class NotConverged(Exception):
    """What could not be done, although everything else was; one entry for each."""

    def __init__(self, found: Sequence[str], applied: Sequence[Operation]) -> None:
        self.errors = list(found)
        self.applied = list(applied)
        super().__init__("\n".join(found))


@dataclass
class Outcome:
    """What a run did or, in check mode, would do. before and after are shapes to compare, without secrets."""

    operations: list[Operation] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    nvme: Nvme = field(default_factory=Nvme)
    saved: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.operations) or self.saved


def look() -> Nvme:
    """The kernel's controllers now, each with the transport that it really uses."""
    nvme = read()
    if not any(one.sysfs_transport == "tcp" for one in nvme.controllers):
        return nvme
    return recognise(nvme, [(one.remote, str(one.remote_port)) for one in _sock_diag.connections()])


def converge(
    described: Callable[[], Mapping[str, Any]],
    check: bool = False,
    timeout: float = 20.0,
    connector: Callable[[float], Connector] = Connector,
) -> Outcome:
    """Bring the controllers to the description, save it for the next boot, and say what was done.

    described: gives the description (connections, hostnqn, hostid, iopolicy, prune, allow_disruption); called under the
    lock, so that a saved one is never older than what another run has just applied.
    timeout: seconds that targets may take to answer.
    Raises Invalid or IdentityRefused before anything is changed, Refused or NotConverged after a part of it.
    """
    # Check mode leaves no file behind, and reads what a run in progress has done so far.
    with contextlib.nullcontext() if check else _state.lock():
        description = described()
        nvme, found = look(), _host_identity.find()
        who = _host_identity.resolve(description.get("hostnqn", ""), description.get("hostid", ""), found, nvme)
        names = Names(usable(description["connections"]), [one.traddr for one in nvme.controllers])
        want = _want(description, who, names)
        identity = _host_identity.plan(who, found)
        previous = _previous(names)
        planned = functools.partial(_plan, want, previous, _state.owned(SLICE))
        steps = planned(nvme)
        before = shape(nvme, found.hostnqn, want)
        if steps.refusals or (check and want.failed):
            raise NotConverged([*want.failed, *steps.refusals], [])
        saving = keeping.Saving(want.saved(), _state.CONFIG_DIR)
        if check:
            operations, after = [*identity, *steps.operations, *steps.later], shape_after(want, before, steps.foreseen)
            return Outcome(operations, steps.foreseen, before, after, nvme, saving.is_needed())
        run = _Run(want, previous, planned, connector(timeout), nvme)
        return run.apply(identity, steps, before, saving)


def _want(description: Mapping[str, Any], who: _host_identity.Identity, names: Names) -> Desired:
    return desired(
        description["connections"],
        who.hostnqn,
        who.hostid,
        names.resolved,
        description.get("failed", ()),
        iopolicy=description.get("iopolicy", ""),
        prune=description.get("prune", "owned"),
        allow_disruption=tuple(description.get("allow_disruption", ())),
        restored=description.get("restored", False),
    )


def _previous(names: Names) -> dict[str, Mapping[str, Any]]:
    """The connections last applied, by name; those whose host name has no address now are left out."""
    saved = keeping.load(_state.CONFIG_DIR) or {"connections": []}
    out: dict[str, Mapping[str, Any]] = {}
    for one in map(normalise, saved["connections"]):
        with contextlib.suppress(ValueError):
            resolved = normalise(names.resolved(one))
            out[name_of(resolved)] = resolved
    return out


def _plan(want: Desired, previous: Mapping[str, Mapping[str, Any]], owned: Sequence[str], nvme: Nvme) -> Plan:
    return plan(want, nvme, owned, previous, functools.lru_cache(maxsize=None)(users), _loaded, secret)


def _loaded(module: str) -> bool:
    return os.path.isdir(f"/sys/module/{module}")


@dataclass
class _Run:
    """Applying plans until nothing is left to do."""

    want: Desired
    previous: dict[str, Mapping[str, Any]]
    planned: Callable[[Nvme], Plan]
    connector: Connector
    nvme: Nvme
    done: list[Operation] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)

    def apply(
        self, identity: Sequence[Operation], steps: Plan, before: Mapping[str, Any], saving: keeping.Saving
    ) -> Outcome:
        want = self.want
        # What is ours is written ahead: a killed run neither forgets nor adopts anything.
        _state.own(SLICE, sorted({*_state.owned(SLICE), *want.connections}))
        saving.write_keys()
        self.done += apply(identity, explain, _host_identity.write)
        # One path of a subsystem after the other, at most; what goes again as soon as it is made would have no end.
        for _ in range(ROUNDS + len(want.connections)):
            if not steps.operations or self.connector.failures:
                break
            steps = self._round(steps)
        else:
            steps.refusals += [f"{one.about}: `{one.line()}` is needed again and again" for one in steps.operations]
        failed = [*want.failed, *(failure.text() for failure in self.connector.failures), *steps.refusals]
        if failed:
            raise NotConverged(failed, self.done)
        _state.own(SLICE, sorted(want.connections))
        after = shape(self.nvme, want.hostnqn, want)
        return Outcome(self.done, self.disconnects, before, after, self.nvme, saving.commit())

    def _round(self, steps: Plan) -> Plan:
        """Perform a plan and return the next one; after a failure there is none, and nothing is disconnected."""
        asked = before_disconnects(steps.operations)
        self._perform(asked)
        if len(asked) < len(steps.operations) and not self.connector.failures:
            # Connecting takes its time, after which another path may be the last one: what goes is judged now.
            steps = self._look()
            if steps.refusals or any(map(is_connect, before_disconnects(steps.operations))):
                return steps
            asked = steps.operations
            self._perform(asked)
            self.disconnects += steps.disconnects
        if self.connector.failures:
            return Plan()
        # A subsystem has a policy only once it is connected, so the next plan holds what this one could not see.
        again = self._next()
        if again.operations and [one.line() for one in again.operations] == [one.line() for one in asked]:
            raise NotConverged([f"the kernel took it without effect: {one.line()}" for one in asked], self.done)
        return again

    def _perform(self, operations: Sequence[Operation]) -> None:
        done = perform(operations, self.connector)
        self.done += done
        self.previous.update({one.about: self.want.connections[one.about] for one in done if is_connect(one)})

    def _next(self) -> Plan:
        """The next plan; a namespace is there over a new connection a moment after it."""
        deadline = time.monotonic() + SCAN
        again = self._look()
        while again.refusals and time.monotonic() < deadline:
            time.sleep(0.1)
            again = self._look()
        return Plan(refusals=again.refusals) if again.refusals else again

    def _look(self) -> Plan:
        # The last look is what the run returns: reading every controller costs as much as a connect.
        self.nvme = look()
        return self.planned(self.nvme)


def boot(description: Mapping[str, Any]) -> Iterator[str]:
    """Keep the connections as they are saved: make what is missing until nothing is, then wait for a controller to go.

    The kernel removes a controller for good when a target that comes back does not serve its subsystem yet, whatever
    its loss timeout says. Yields a line for every event. The lock is held during a round alone, and what a playbook
    saved meanwhile counts from the next.
    """
    said, pause = "", PAUSES[0]
    events = Uevents()
    while True:
        try:
            outcome = converge(lambda: keeping.load(_state.CONFIG_DIR) or description, timeout=0.0)
        except NotConverged as error:
            yield from (operation.line() for operation in error.applied)
            pause = min(pause * 1.5, PAUSES[1]) if str(error) == said else PAUSES[0]
            if str(error) != said:
                said = str(error)
                yield from (f"waiting: {line}" for line in error.errors)
            time.sleep(pause)
        else:
            yield from (operation.line() for operation in outcome.operations)
            yield f"{len(outcome.after['connections'])} connection(s) as described"
            said = ""
            yield f"{events.wait_removed() or 'a controller'} was removed"
