# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Bring nvmet to a description; the one code path of the module, of boot and of events."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import configfs, interrupted
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import plan as _nvmet_plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import sizes as _nvmet_sizes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.apply import (
    apply_all,
    ask_addresses,
    ask_transports,
    spare_port,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.beside import conflicts, shared
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.changes import expected
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.devices import aliases, as_served, unfit, without
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.forecast import Disruption, forecast
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.live import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.prune import removals
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.refusals import explain
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import (
    COMPONENT,
    Saving,
    keep_keys,
    load,
    served,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tls import unaccepted
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, label


class NotConverged(Exception):
    """Everything was applied and yet something differs: the kernel changed a value, or another program works on it."""


class Disruptive(Exception):
    """The plan would disturb hosts that are connected now, and nobody allowed that; nothing was changed."""


@dataclass
class Machine:
    """What converging works on; tests hand in another."""

    kernel: configfs.Kernel = field(default_factory=configfs.Live)
    root: str = configfs.ROOT
    devices: Devices = field(default_factory=Devices)
    config_dir: str = state.CONFIG_DIR
    owned_dir: str = state.OWNED_DIR
    locks: str = lock.FOLDER


@dataclass
class Result:
    """plan: the operations. before: the tree that was found. desired: what was asked for, as far as it can be served.

    disconnects: what the plan costs the hosts that are connected now.

    late: namespaces and hosts that are not served because of their device or their keys, with the reason; boot only.
    """

    changed: bool
    plan: list[Operation]
    before: Tree
    desired: Tree
    found: _nvmet_plan.Plan
    disconnects: list[Disruption]
    late: list[str]

    @property
    def kept(self) -> list[str]:
        """What is ours to remove, but in use by what is not ours."""
        return self.found.kept

    @property
    def after(self) -> Tree:
        """What nvmet has once the plan is applied, as far as it can be known; for a diff."""
        return expected(self.desired, self.before, self.found.created, self.found.removed)


def converge(
    description: Mapping[str, Any],
    *,
    check: bool = False,
    prune: str = "owned",
    persist: bool = True,
    boot: bool = False,
    keyless: Mapping[str, str] = MappingProxyType({}),
    allow_disruption: Collection[str] = (),
    machine: Machine | None = None,
) -> Result:
    """Make nvmet as described, or with check say what that would take.

    boot: a namespace whose device is not there or not fit is left out instead of refused, and nothing is saved.
    keyless: NQNs of hosts whose keys cannot be read, with the reason; none of them is let in that is not in already.
    allow_disruption: NQNs of the subsystems whose hosts may be disturbed.
    Raises Invalid and Disruptive before anything is changed, Refused and NotConverged after.
    """
    on = machine or Machine()
    wanted = parse(description)
    with contextlib.nullcontext() if check else lock.lock("target", folder=on.locks):
        owned = state.owned(COMPONENT, on.owned_dir)
        actual, bad, prepared = _look(on, wanted, check, boot, owned, prune)
        bad.update({f"hosts/{nqn}": f"{label(f'hosts/{nqn}')}: {why}" for nqn, why in keyless.items()})
        desired = as_served(without(wanted, actual, bad), actual, on.devices)
        before = interrupted.noted(on.owned_dir)
        missing = interrupted.lost(before, actual)
        same = aliases(desired, actual, on.devices)
        found, desired = interrupted.plan(missing, desired, actual, owned, prune, on.root, same)
        # Measured before nvmet looks, see _nvmet_sizes.
        sizes, noted = _nvmet_sizes.measure(desired, on.devices), _nvmet_sizes.seen(on.owned_dir)
        found.operations += _nvmet_sizes.plan(desired, actual, noted, sizes, on.root)
        costs = _forecast(on, found.operations, actual, allow_disruption, check)
        saving = Saving(wanted, prune, on.config_dir) if persist and not boot else None
        save = saving is not None and saving.is_needed()
        with state.telling() as applied:
            if saving and save and not check:
                saving.write_keys()
            if not check:
                _apply(on, desired, actual, found, owned, missing, applied)
                _nvmet_sizes.note(desired, noted, sizes, on.owned_dir)
            if saving and save and not check:
                saving.commit()
        return Result(
            changed=bool(prepared or found.operations) or save,
            plan=[*prepared, *found.operations],
            before=actual,
            desired=desired,
            found=found,
            disconnects=costs,
            late=list(bad.values()),
        )


def _look(
    on: Machine, wanted: Tree, check: bool, boot: bool, owned: list[str], prune: str
) -> tuple[Tree, dict[str, str], list[Operation]]:
    """What nvmet has, what cannot be served, and what it took or takes to see nvmet at all."""
    actual = configfs.gather(on.kernel, on.root)
    saved = load(on.config_dir)
    # Without a description, as after one that was damaged, what is ours and as large as it was is still known.
    known = served(saved) if saved else _nvmet_sizes.unchanged(wanted, owned, on.devices, on.owned_dir)
    bad = unfit(wanted, actual, known, on.devices)
    going, _kept = removals(wanted, actual, owned, prune)
    bad = {**shared(wanted, actual, going, on.devices), **bad}
    # Boot brings the saved keys itself, and lets in whom it can.
    keyless = keep_keys(wanted, actual, {} if boot else saved.get("keys", {}), on.config_dir)
    # Boot brings back what a run was allowed to make.
    unfulfilled = [] if boot else [*bad.values(), *unaccepted(wanted)]
    _insist([*_unknown(wanted, actual), *conflicts(wanted, actual, going), *unfulfilled, *keyless])
    preparation = configfs.preparation(on.kernel, on.root)
    if preparation and not check:
        apply(preparation, explain, on.kernel.perform)
        actual = configfs.gather(on.kernel, on.root)
        _insist(_unknown(wanted, actual))
    return actual, bad, preparation


def _insist(problems: list[str]) -> None:
    if problems:
        raise Invalid(problems)


def _forecast(
    on: Machine, operations: list[Operation], actual: Tree, allowed: Collection[str], check: bool
) -> list[Disruption]:
    if not operations:
        return []
    using = users(actual, on.kernel)
    found = forecast(operations, actual, using, on.root)
    refused = [one for one in found if one.subsystem not in allowed]
    if refused and not check:
        raise Disruptive(
            f"{'; '.join(one.words() for one in refused)}. Nothing was changed. Stop the use, or list "
            f"{', '.join(one.subsystem for one in refused)} in allow_disruption"
        )
    return found


def _unknown(wanted: Tree, actual: Tree) -> list[str]:
    return [
        f"{label(path)}: this kernel's nvmet has no attribute {name}; leave it out"
        for path, found in wanted.objects.items()
        for name in sorted(actual.lacking.get(found.kind, set()) & set(found.attributes))
    ]


def _apply(
    on: Machine,
    desired: Tree,
    actual: Tree,
    found: _nvmet_plan.Plan,
    owned: list[str],
    missing: Tree,
    applied: list[Operation],
) -> None:
    if found.operations:
        ask_addresses(found.operations, actual, desired, on.root, explain, on.kernel.bind)
        _ask(on, actual, found, owned)
    down = interrupted.together(missing, interrupted.taken_down(found.operations, actual, on.root))
    interrupted.note(down, on.owned_dir)
    # What is about to be made is ours from now on, also when this run is killed halfway; not what is only put back.
    ours = {*owned, *({*found.created} - {*missing.objects, *missing.links})}
    state.own(COMPONENT, sorted(ours), on.owned_dir)
    there = {*actual.objects, *actual.links}
    try:
        applied += apply_all(found.operations, explain, on.kernel.perform)
    except Refused as refused:
        paths = {one.path[len(on.root) + 1 :] for one in refused.applied if one.verb != "write"}
        closed = interrupted.still_down(down, refused.applied, on.root)
        why = f" Until a run succeeds, which puts it back, this is gone: {', '.join(closed)}." if closed else ""
        raise _owning(on, {*owned, *(ours & paths)} - (paths & {*found.removed}), refused, why) from None
    there = there.union(found.created).difference(found.removed)
    state.own(COMPONENT, sorted(ours & there), on.owned_dir)
    interrupted.note(Tree(), on.owned_dir)
    left = configfs.without_effect(on.kernel, on.root, found.operations, desired)
    if left:
        raise NotConverged(
            f"{len(left)} operation(s) had no effect, the first for {left[0].about}: `{left[0].line()}`. The kernel "
            "keeps another value than the one written, or another program changes nvmet."
        )


def _ask(on: Machine, actual: Tree, found: _nvmet_plan.Plan, owned: list[str]) -> None:
    """Ask for the transports; until they are known nothing is ours but the port that asks."""
    spare = spare_port(actual)
    state.own(COMPONENT, sorted({*owned, spare}), on.owned_dir)
    try:
        ask_transports(found.operations, actual, f"{on.root}/{spare}", explain, on.kernel.perform)
    except Refused as refused:
        raise _owning(on, owned, refused) from None


def _owning(on: Machine, names: Collection[str], refused: Refused, why: str = "") -> Refused:
    """The refusal, once it is noted what is ours; it tells also when that cannot be noted."""
    try:
        state.own(COMPONENT, sorted(names), on.owned_dir)
    except state.Unsaved as unsaved:
        why += f" Besides, {unsaved}"
    return Refused(refused.operation, refused.code, refused.refusal + why, refused.applied)
