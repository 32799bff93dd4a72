# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Converge this host's controllers to a description: one way for the Ansible module, for boot and for events.

What the description declares comes first; the logs of its discovery controllers then say what else there is.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Collection, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import identity as _host_identity
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as keeping
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import turns as _host_turns
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.apply import (
    before_disconnects,
    is_connect,
    perform,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.connect import Connector, explain
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.diff import shape, shape_after
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery import DEPTH
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import Patience
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.plan import Plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.round import Round
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Nvme, read, recognise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag

#: Seconds that namespaces may take to be there over a connection that was made anew.
SCAN = 10.0
#: Plans of one run, beside those that make connections anew one path at a time, and those that follow referrals.
ROUNDS = 5


class NotConverged(Exception):
    """What could not be done, although everything else was; one entry for each.

    failed: names of the connections that could not be made. notes: as in Outcome. again: not all was tried; another run
    is worth it at once.
    """

    def __init__(
        self,
        found: Sequence[str],
        applied: Sequence[Operation],
        failed: Collection[str] = (),
        notes: Sequence[str] = (),
        again: bool = False,
    ) -> None:
        self.errors = list(found)
        self.applied = list(applied)
        self.failed = frozenset(failed)
        self.notes = list(notes)
        self.again = again
        super().__init__("\n".join(found))


@dataclass
class Outcome:
    """What a run did or, in check mode, would do. before and after are shapes to compare, without secrets.

    notes: what the discovery logs say that was not done, a line each. awaited: what is worth another look soon, since
    no event will tell of it. unmade: connections that logs name and that could not be made, a line each.
    """

    operations: list[Operation] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    nvme: Nvme = field(default_factory=Nvme)
    saved: bool = False
    notes: list[str] = field(default_factory=list)
    awaited: list[str] = field(default_factory=list)
    unmade: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.operations) or self.saved


def look(declared: Collection[str] = ()) -> Nvme:
    """The kernel's controllers now, each with the transport that it really uses. declared: names of connections."""
    nvme = read()
    if not any(one.sysfs_transport == "tcp" for one in nvme.controllers):
        return nvme
    return recognise(
        nvme,
        [(one.remote, str(one.remote_port)) for one in sock_diag.connections()],
        {*state.owned(keeping.COMPONENT), *declared},
    )


def converge(
    described: Callable[[], Mapping[str, Any]],
    check: bool = False,
    timeout: float = 20.0,
    connector: Callable[[float], Connector] = Connector,
    last: Collection[str] = (),
    patience: Patience | None = None,
) -> Outcome:
    """Bring the controllers to the description, save it for the next boot, and say what was done.

    described: gives the description (connections, discovery, discovered, gone, hostnqn, hostid, iopolicy, prune,
    allow_disruption); called in a turn, so that a saved one is never older than what another run has just applied.
    timeout: seconds that targets may take to answer. last: names of connections to make after all others.
    patience: what is known of peers, from who keeps the saved description and comes again.
    Raises Invalid, IdentityRefused or Busy before anything is changed, Refused or NotConverged after a part of it.
    """
    turns = _host_turns.looking if check else _host_turns.keeping_saved if patience else _host_turns.describing
    with turns() as turn:
        with turn():
            description = described()
        nvme, found = look(), _host_identity.find()
        who = _host_identity.resolve(description.get("hostnqn", ""), description.get("hostid", ""), found, nvme)
        now = Round(description, who, nvme, last, patience.budget if patience else None)
        identity = _host_identity.plan(who, found)
        nvme = recognise(nvme, [], now.want.connections)
        steps = now.plan(nvme)
        before = shape(nvme, found.hostnqn, now.want)
        if steps.refusals or (check and now.want.failed):
            raise NotConverged([*now.want.failed, *steps.refusals], [])
        saving = keeping.Saving(now.saved(), state.CONFIG_DIR)
        if check:
            operations = [*identity, *steps.operations, *steps.later]
            after = shape_after(now.want, before, steps.foreseen)
            told = (now.followed.notes(), now.awaited(nvme))
            return Outcome(operations, steps.foreseen, before, after, nvme, saving.is_needed(), *told)
        asking = connector(timeout)
        asking.others, asking.may = now.expected, now.may
        if patience:
            asking.patience, asking.comes_again, patience.budget = patience, True, now.budget
        return _Run(now, asking, nvme, turn).carry_out(identity, steps, before, saving)


@dataclass
class _Run:
    """Applying plans until nothing is left to do."""

    now: Round
    connector: Connector
    nvme: Nvme
    turn: _host_turns.Turn
    done: list[Operation] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)

    def carry_out(
        self, identity: Sequence[Operation], steps: Plan, before: Mapping[str, Any], saving: keeping.Saving
    ) -> Outcome:
        """Apply; whoever else had the connections meanwhile, what was done is told."""
        self.connector.turn = self._turn
        try:
            return self.apply(identity, steps, before, saving)
        except (_host_turns.Superseded, lock.Busy) as error:
            again = isinstance(error, _host_turns.Superseded)
            raise NotConverged([str(error)], self.done, again=again) from error

    def apply(
        self, identity: Sequence[Operation], steps: Plan, before: Mapping[str, Any], saving: keeping.Saving
    ) -> Outcome:
        now = self.now
        with self._turn():
            saving.write_keys()
            saving.expect()
            self.done += apply(identity, explain, _host_identity.write)
        for count in itertools.count():
            if not steps.operations:
                break
            # One path of a subsystem after the other, at most; what goes again as soon as it is made would have no end.
            if count > ROUNDS + DEPTH + len(now.want.connections):
                steps.refusals += [f"{one.about}: `{one.line()}` is needed again and again" for one in steps.operations]
                break
            steps = self._round(steps)
        wanted, failures = now.want, self.connector.failures
        if wanted.failed or steps.refusals or self._is_serious():
            failed = [*wanted.failed, *now.told(failures), *steps.refusals]
            again = bool(self.connector.unasked)
            raise NotConverged(failed, self.done, {one.name for one in failures}, now.followed.notes(), again)
        after, told = shape(self.nvme, wanted.hostnqn, wanted), (now.followed.notes(), now.awaited(self.nvme))
        with self.turn():
            # Nobody else had a turn since the last look, so it is still what there is.
            now.own(self.nvme)
            saved = saving.commit()
        return Outcome(self.done, self.disconnects, before, after, self.nvme, saved, *told, now.told(failures))

    def _is_serious(self) -> bool:
        """Whether more could not be made than what logs name.

        That is another machine's word: it keeps nobody's own description from being carried out and saved for the
        service, which goes on trying. There it counts, so that it is tried again.
        """
        failures = self.connector.failures
        return bool(failures) if self.connector.comes_again else not all(map(self.now.is_of_log, failures))

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """A turn in which what is ours is written ahead: a killed run neither forgets nor adopts anything."""
        with self.turn():
            self.now.own()
            yield

    @contextlib.contextmanager
    def _needed(self, batch: Sequence[Operation]) -> Iterator[Sequence[Operation]]:
        """A turn, and what of a batch is still in the plan in it: a number that a controller had may be another's now.

        Connecting takes its time, after which another path may be the last one: what goes is judged now.
        """
        with self._turn():
            now = self._but_failed(self.now.still(look(self.now.want.connections)))
            before = before_disconnects(now.operations)
            ready = not (now.refusals or any(map(is_connect, before)))
            yield [one for one in batch if one in (now.operations if ready else before)]

    def _but_failed(self, steps: Plan) -> Plan:
        """A plan without what failed in this run, which is not tried twice in it."""
        failed = {*self.connector.unasked, *(one.name for one in self.connector.failures)}
        return replace(steps, operations=[one for one in steps.operations if one.about not in failed])

    def _round(self, steps: Plan) -> Plan:
        """Perform a plan and return the next one; after a serious failure nothing is disconnected."""
        asked = before_disconnects(steps.operations)
        self._perform(asked)
        if len(asked) < len(steps.operations) and not self._is_serious():
            steps = self._but_failed(self._look())
            if steps.refusals or any(map(is_connect, before_disconnects(steps.operations))):
                return steps
            asked = steps.operations
            self._perform(asked)
            self.disconnects += steps.disconnects
        # A subsystem has a policy, and a discovery controller a log, only once it is connected: the next plan holds
        # what this one could not see.
        again = self._next()
        if again.operations and [one.line() for one in again.operations] == [one.line() for one in asked]:
            raise NotConverged([f"the kernel took it without effect: {one.line()}" for one in asked], self.done)
        return again

    def _perform(self, operations: Sequence[Operation]) -> None:
        for one in perform(operations, self.connector, self._needed):
            self.done.append(one)
            if is_connect(one):
                self.now.made[one.about] = self.now.want.connections[one.about]

    def _next(self) -> Plan:
        """The next plan; a namespace is there over a new connection a moment after it."""
        deadline = time.monotonic() + SCAN
        again = self._look()
        while again.refusals and not self._is_serious() and time.monotonic() < deadline:
            time.sleep(0.1)
            again = self._look()
        again = self._but_failed(again)
        if self._is_serious():
            # What failed stays as it is until the next run, and what was to go stays with it.
            return Plan([one for one in again.operations if one.about not in again.disconnects])
        return Plan(refusals=again.refusals) if again.refusals else again

    def _look(self) -> Plan:
        # The last look is what the run returns: reading every controller costs as much as a connect.
        self.nvme = look(self.now.want.connections)
        return self.now.plan(self.nvme)
