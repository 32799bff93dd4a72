# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Bring nvmet to a description; the one code path of the module, of boot and of events."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _configfs, _nvmet_plan, _nvmet_sizes, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_apply import apply_all, ask_transports, spare_port
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_beside import conflicts, shared
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_changes import changes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_devices import aliases, as_served, unfit, without
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_forecast import Disruption, forecast
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_live import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_prune import removals
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_refusals import explain
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_saved import SLICE, Saving
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_tree import (
    Object,
    Tree,
    is_builtin,
    label,
    parent,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation, apply


class NotConverged(Exception):
    """Everything was applied and yet something differs: the kernel changed a value, or another program works on it."""


class Disruptive(Exception):
    """The plan would disturb hosts that are connected now, and nobody allowed that; nothing was changed."""


@dataclass
class Machine:
    """What converging works on; tests hand in another."""

    kernel: _configfs.Kernel = field(default_factory=_configfs.Live)
    root: str = _configfs.ROOT
    devices: Devices = field(default_factory=Devices)
    config_dir: str = _state.CONFIG_DIR
    owned_dir: str = _state.OWNED_DIR
    lock_path: str = _state.LOCK_PATH


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
        return _expected(self.desired, self.before, self.found)


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
    with contextlib.nullcontext() if check else _state.lock(on.lock_path):
        owned = _state.owned(SLICE, on.owned_dir)
        actual, bad, prepared = _look(on, wanted, check, boot, owned, prune)
        bad.update({f"hosts/{nqn}": f"{label(f'hosts/{nqn}')}: {why}" for nqn, why in keyless.items()})
        desired = as_served(without(wanted, actual, bad), actual, on.devices)
        found = _nvmet_plan.plan(desired, actual, owned, prune, on.root, aliases(desired, actual, on.devices))
        # Measured before nvmet looks, see _nvmet_sizes.
        sizes, noted = _nvmet_sizes.measure(desired, on.devices), _nvmet_sizes.seen(on.owned_dir)
        found.operations += _nvmet_sizes.plan(desired, actual, noted, sizes, on.root)
        costs = _forecast(on, found.operations, actual, allow_disruption, check)
        saving = Saving(wanted, prune, on.config_dir) if persist and not boot else None
        save = saving is not None and saving.is_needed()
        if saving and save and not check:
            saving.write_keys()
        if found.operations and not check:
            _apply(on, desired, actual, found, owned, prune)
        if not check:
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
    actual = _configfs.gather(on.kernel, on.root)
    bad = unfit(wanted, actual, _known(on), on.devices)
    going, _kept = removals(wanted, actual, owned, prune)
    bad = {**shared(wanted, actual, going, on.devices), **bad}
    _insist([*_unknown(wanted, actual), *conflicts(wanted, actual, going), *([] if boot else bad.values())])
    preparation = _configfs.preparation(on.kernel, on.root)
    if preparation and not check:
        apply(preparation, explain, on.kernel.perform)
        actual = _configfs.gather(on.kernel, on.root)
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
            f"{'; '.join(one.words() for one in refused)}. Nothing was changed. Stop the use, or list the subsystem "
            "in allow_disruption"
        )
    return found


def _unknown(wanted: Tree, actual: Tree) -> list[str]:
    return [
        f"{label(path)}: this kernel's nvmet has no attribute {name}; leave it out"
        for path, found in wanted.objects.items()
        for name in sorted(actual.lacking.get(found.kind, set()) & set(found.attributes))
    ]


def _apply(on: Machine, desired: Tree, actual: Tree, found: _nvmet_plan.Plan, owned: list[str], prune: str) -> None:
    spare = spare_port(actual)
    # What is about to be made is ours from now on, also when this run is killed halfway.
    ours = {*owned, *found.created, spare}
    _state.own(SLICE, sorted(ours), on.owned_dir)
    ask_transports(found.operations, actual, f"{on.root}/{spare}", explain, on.kernel.perform)
    apply_all(found.operations, explain, on.kernel.perform)
    there = {*actual.objects, *actual.links, *found.created}.difference(found.removed)
    _state.own(SLICE, sorted(ours & there), on.owned_dir)
    left = _configfs.without_effect(on.kernel, on.root, found.operations, desired)
    if left:
        raise NotConverged(
            f"{len(left)} operation(s) had no effect, the first for {left[0].about}: `{left[0].line()}`. The kernel "
            "keeps another value than the one written, or another program changes nvmet."
        )


def _known(on: Machine) -> set[str]:
    """Devices that the last applied description served."""
    saved = _state.load(SLICE, on.config_dir) or {}
    subsystems = saved.get("target", {}).get("subsystems") or []
    served = [one for each in subsystems for one in [*(each.get("namespaces") or []), each.get("passthru") or {}]]
    return {one["device_path"] for one in served if one.get("device_path")}


def _expected(desired: Tree, actual: Tree, found: _nvmet_plan.Plan) -> Tree:
    """What nvmet will have once the plan is applied, as far as it can be known."""
    objects = {path: Object(have.kind, dict(have.attributes)) for path, have in actual.objects.items()}
    for path, want in desired.objects.items():
        have = objects.get(path)
        merged = {} if have is None else have.attributes
        for row, value in changes(desired, actual, path):
            merged[row.name] = value
        if have is not None or path in found.created or merged:
            objects[path] = Object(want.kind, merged)
    links = {**actual.links, **desired.links}
    gone = set(found.removed)
    gone |= {path for path in actual.objects if is_builtin(actual, path) and parent(path) in gone}
    return Tree(
        {path: kept for path, kept in objects.items() if path not in gone},
        {path: target for path, target in links.items() if path not in gone},
    )
