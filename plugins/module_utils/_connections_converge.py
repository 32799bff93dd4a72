# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Converge this host's controllers to a description: one way for the Ansible module, for boot and for events.

What the description declares comes first; the logs of its discovery controllers then say what else there is.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _host_identity, _sock_diag, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Plan, index
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_round import SLICE, Round, declared_by
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_shape import (
    planned_shape,
    saved_description,
    shape,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import DEVICE, DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_connect import (
    Connector,
    explain,
    perform_other,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Nvme, read, recognise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation, apply


class NotConverged(Exception):
    """What could not be done, although everything else was; one entry for each.

    failed: names of the connections that could not be made. notes: as in Outcome.
    """

    def __init__(
        self,
        found: Sequence[str],
        applied: Sequence[Operation],
        failed: Collection[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.errors = list(found)
        self.applied = list(applied)
        self.failed = frozenset(failed)
        self.notes = list(notes)
        super().__init__("\n".join(found))


@dataclass
class Outcome:
    """What a run did or, in check mode, would do. before and after are shapes to compare, without secrets.

    notes: what the discovery logs say that was not done, a line each. unread: discovery controllers that are live and
    whose log could not be read.
    """

    operations: list[Operation] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    nvme: Nvme = field(default_factory=Nvme)
    saved: bool = False
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.operations) or self.saved


def look() -> Nvme:
    """The kernel's controllers now, each with the transport that it really uses."""
    nvme = read()
    if any(one.sysfs_transport == "tcp" for one in nvme.controllers):
        nvme = recognise(nvme, [(one.remote, str(one.remote_port)) for one in _sock_diag.connections()])
    # A target may give its discovery service a name of its own, and sysfs shows it. It is asked for by the known one.
    known = [replace(one, subsysnqn=DISCOVERY_NQN) if one.cntrltype == "discovery" else one for one in nvme.controllers]
    return replace(nvme, controllers=tuple(known))


def converge(
    described: Callable[[], Mapping[str, Any]],
    check: bool = False,
    timeout: float = 20.0,
    connector: Callable[[float], Connector] = Connector,
    last: Collection[str] = (),
) -> Outcome:
    """Bring the controllers to the description, save it for the next boot, and say what was done.

    described: gives the description (connections, discovery, discovered, gone, hostnqn, hostid, iopolicy, prune,
    allow_disruption); called under the lock, so that a saved one is never older than what another run has just applied.
    timeout: seconds that targets may take to answer. last: names of connections to make after all others.
    Raises Invalid or IdentityRefused before anything is changed, Refused or NotConverged after a part of it.
    """
    # Check mode leaves no file behind, and reads what a run in progress has done so far.
    with contextlib.nullcontext() if check else _state.lock():
        description = described()
        declared_by(description, "", "")
        nvme, found = look(), _host_identity.find()
        who = _host_identity.resolve(description.get("hostnqn", ""), description.get("hostid", ""), found, nvme)
        round_ = Round(description, declared_by(description, who.hostnqn, who.hostid), last)
        identity = _host_identity.plan(who, found)
        steps = round_.plan(nvme)
        before = shape(nvme, found.hostnqn, round_.want)
        if steps.refusals:
            raise NotConverged(steps.refusals, [])
        if check:
            saved = _state.would_save(SLICE, saved_description(description, round_.declared))
            after = planned_shape(round_.want, before, steps)
            return Outcome(
                [*identity, *steps.operations],
                steps.disconnects,
                before,
                after,
                nvme,
                saved,
                round_.followed.notes(),
                round_.unread(nvme),
            )
        return _apply(round_, apply(identity, explain, _host_identity.write), steps, before, connector(timeout))


def _apply(
    round_: Round, done: list[Operation], steps: Plan, before: Mapping[str, Any], connector: Connector
) -> Outcome:
    disconnects, refusals, lines = list(steps.disconnects), list(steps.refusals), [""]
    while True:
        # What is ours is written ahead: a killed run neither forgets nor adopts anything.
        round_.own(ahead=True)
        failed = {one.name for one in connector.failures}
        todo = [one for one in steps.operations if one.path != DEVICE or one.about not in failed]
        if not todo:
            break
        if [one.line() for one in todo] == lines:
            raise NotConverged([f"the kernel took it without effect: {one.line()}" for one in todo], done)
        lines = [one.line() for one in todo]
        performed = _perform(todo, connector)
        done += performed
        round_.made.update({one.about: round_.want.connections[one.about] for one in performed if one.path == DEVICE})
        # A subsystem has a policy, and a discovery controller a log, only once it is connected: the next plan holds
        # what this one could not see.
        steps = round_.plan(look())
        refusals = steps.refusals
        disconnects += [name for name in steps.disconnects if name not in disconnects]
    nvme = look()
    # What somebody else has connected meanwhile is there as well.
    there = index(nvme, round_.want.hostnqn)
    failures = [one for one in connector.failures if one.name not in there]
    if failures or refusals:
        found = [*(failure.text() for failure in failures), *refusals]
        raise NotConverged(found, done, {one.name for one in failures}, round_.followed.notes())
    round_.own(ahead=False)
    saved = _state.save(SLICE, saved_description(round_.description, round_.declared))
    after = shape(nvme, round_.want.hostnqn, round_.want)
    return Outcome(done, disconnects, before, after, nvme, saved, round_.followed.notes(), round_.unread(nvme))


def _perform(operations: Sequence[Operation], connector: Connector) -> list[Operation]:
    """Perform in order; connects that follow one another are one batch: a dead target does not hold up the others."""
    done: list[Operation] = []
    batch: list[Operation] = []
    for operation in operations:
        if operation.path == DEVICE:
            batch.append(operation)
            continue
        done += connector.run(batch) + apply([operation], explain, perform_other)
        batch = []
    return done + connector.run(batch)
