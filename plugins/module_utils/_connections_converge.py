# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Converge this host's controllers to a description: one way for the Ansible module, for boot and for events."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _host_identity, _sock_diag, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Desired, Plan, desired, index, plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._device_users import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import BY_NAME, DEVICE, name_of, normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_connect import (
    Connector,
    explain,
    perform_other,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Nvme, read, recognise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import HIDDEN, Operation, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._uevents import Uevents

SLICE = "host"
#: Seconds between two rounds without a playbook, from the first to the longest: the target may be booting too, and a
#: round costs it a few packets. What it answers changes while it boots, which starts again with the first.
PAUSES = (2.0, 10.0)


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
        desired(description["connections"], "", "")
        nvme, found = look(), _host_identity.find()
        who = _host_identity.resolve(description.get("hostnqn", ""), description.get("hostid", ""), found, nvme)
        want = desired(
            description["connections"],
            who.hostnqn,
            who.hostid,
            iopolicy=description.get("iopolicy", ""),
            prune=description.get("prune", "owned"),
            allow_disruption=tuple(description.get("allow_disruption", ())),
        )
        identity = _host_identity.plan(who, found)
        steps = _plan(want, nvme)
        before = _shape(nvme, found.hostnqn, want)
        if steps.refusals:
            raise NotConverged(steps.refusals, [])
        if check:
            saved = _state.would_save(SLICE, _saved(description, want))
            return Outcome(
                [*identity, *steps.operations], steps.disconnects, before, _declared(want, before, steps), nvme, saved
            )
        return _apply(description, want, identity, steps, before, connector(timeout))


def _plan(want: Desired, nvme: Nvme) -> Plan:
    saved = _state.load(SLICE) or {"connections": []}
    previous = {name_of(one): one for one in map(normalise, saved["connections"])}
    return plan(want, nvme, _state.owned(SLICE), previous, functools.lru_cache(maxsize=None)(users), _loaded)


def _loaded(module: str) -> bool:
    return os.path.isdir(f"/sys/module/{module}")


def _apply(
    description: Mapping[str, Any],
    want: Desired,
    identity: Sequence[Operation],
    steps: Plan,
    before: Mapping[str, Any],
    connector: Connector,
) -> Outcome:
    # What is ours is written ahead: a killed run neither forgets nor adopts anything.
    _state.own(SLICE, sorted({*_state.owned(SLICE), *want.connections}))
    done = apply(identity, explain, _host_identity.write)
    disconnects = list(steps.disconnects)
    while steps.operations:
        done += _perform(steps.operations, connector)
        if connector.failures:
            break
        # A subsystem has a policy only once it is connected, so the second plan holds what the first could not see.
        again = _plan(want, look())
        if [one.line() for one in again.operations] == [one.line() for one in steps.operations]:
            raise NotConverged([f"the kernel took it without effect: {one.line()}" for one in again.operations], done)
        steps = again
    nvme = look()
    if connector.failures:
        raise NotConverged([failure.text() for failure in connector.failures], done)
    _state.own(SLICE, sorted(want.connections))
    saved = _state.save(SLICE, _saved(description, want))
    return Outcome(done, disconnects, before, _shape(nvme, want.hostnqn, want), nvme, saved)


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


def _saved(description: Mapping[str, Any], want: Desired) -> dict[str, Any]:
    """What boot converges to: the identity is the one in use, and a disruption is allowed once only."""
    return {
        "connections": [dict(one) for one in want.connections.values()],
        "hostnqn": want.hostnqn,
        "hostid": want.hostid,
        "iopolicy": want.iopolicy,
        "prune": want.prune,
    }


def _shape(nvme: Nvme, hostnqn: str, want: Desired) -> dict[str, Any]:
    connections = {}
    for name, one in index(nvme, hostnqn or want.hostnqn).items():
        known = want.connections.get(name, {})
        hidden = {key: HIDDEN if BY_NAME[key].secret else value for key, value in known.items()}
        shown = {**hidden, **{key: value for key, value in one.options.items() if key in known}}
        policy = nvme.subsystem(one.subsysnqn)
        connections[name] = {**shown, **({"iopolicy": policy.iopolicy} if policy and want.iopolicy else {})}
    return {"hostnqn": hostnqn, "connections": connections}


def _declared(want: Desired, before: Mapping[str, Any], steps: Plan) -> dict[str, Any]:
    connections = {
        name: {
            **{key: HIDDEN if BY_NAME[key].secret else value for key, value in one.items()},
            **({"iopolicy": want.iopolicy} if want.iopolicy else {}),
        }
        for name, one in want.connections.items()
    }
    kept = {name: one for name, one in before["connections"].items() if name not in steps.disconnects}
    return {"hostnqn": want.hostnqn, "connections": {**kept, **connections}}


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
            outcome = converge(lambda: _state.load(SLICE) or description, timeout=0.0)
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


def dump(value: Mapping[str, Any]) -> str:
    """A shape as the text of a diff."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
