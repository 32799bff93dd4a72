# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Bring the network to a description; the one code path of the module, of boot and of events."""

from __future__ import annotations

import contextlib
from typing import Any, Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual as _mptcp_actual
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import description as _mptcp_description
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import feasible, saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import plan as _mptcp_plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.locate import locate
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.rails import without
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.saved import COMPONENT


class NotConverged(Exception):
    """Everything was applied and yet something differs: the kernel ignored a value, or another program works on it."""


#: What converge() raises.
ERRORS = (
    OSError,
    ValueError,
    Refused,
    lock.Busy,
    NotConverged,
    feasible.TooManyRails,
    feasible.TooManyEndpoints,
)

_REMEDIES = (
    ("limit greater than maximum", "the running kernel allows fewer subflows; use fewer rails or a newer kernel."),
    ("too many addresses or duplicate", "the endpoint table is full, or another program added this address just now."),
    ("Nexthop has invalid gateway", "its NIC has no address in the network of that next hop."),
    ("Network is unreachable", "its NIC is down or has no address in that network."),
    ("Operation not permitted", "run it as root (become: true)."),
)


def explain(operation: Operation, error: OSError) -> str | None:
    """What a refusal means, or None for the system's own words."""
    said = error.strerror or ""
    for words, remedy in _REMEDIES:
        if words in said:
            return f"{said} - {remedy}"
    if "File exists" in said and "route" in operation.argv[1:3]:
        return f"{said} - a route that is not ours has this destination and metric: remove it, or change its metric."
    return None


def converge(
    wanted: dict[str, Any] | None, check: bool = False, silent: Iterable[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Make the network as described, or with check say what that would take.

    wanted: what the filter P(nvmeof.mptcp.mptcp_plan#filter) returns; None for what was saved, read under the lock, so
    that an event never brings back what a playbook is just replacing.
    silent: (service address, rail) where a multipath route has no next hop, so that no connection begins there.
    Returns the result of M(nvmeof.mptcp.mptcp_endpoints). A rail without a usable NIC holds up no other; it is named in
    C(missing). Raises ERRORS; all but OSError, Refused and NotConverged before the first change.
    """
    # The file of the lock is created by taking it, and a check writes nothing.
    with contextlib.nullcontext() if check else lock.lock("network"):
        description = wanted or saved.load()
        if description is None:
            raise FileNotFoundError(f"nothing was saved as {state.description_file(COMPONENT)}: run the role mptcp")
        if wanted:
            _mptcp_description.check(wanted)
        owned = state.owned(COMPONENT)
        actual, plan = _plan(description, owned, silent)
        feasible.has_sysctls(plan.operations)
        foreign = _mptcp_plan.foreign(description, actual, owned)
        if wanted:
            # Not at boot, which has nobody to ask for less: the kernel's refusal tells the same there.
            feasible.takes_limit(description, plan.operations)
            feasible.takes_endpoints(plan.operations, len(actual["endpoints"]), foreign)
        saves = wanted is not None and (
            state.would_save(COMPONENT, description) or sorted(owned) != sorted(_mptcp_plan.names(description))
        )
        if not check:
            _apply(description, plan, owned, silent, save=wanted is not None)
    found, problems = locate(description["rails"], actual["interfaces"])
    return {
        "changed": bool(plan.operations) or saves,
        "plan": [operation.line() for operation in plan.operations],
        "interfaces": found,
        "missing": [f"{rail}: {problem}" for rail, problem in problems.items()],
        "foreign_endpoints": foreign,
        "resets": plan.resets,
        "diff": {"before": _text(plan.before), "after": _text(plan.after)},
    }


def _plan(
    description: dict[str, Any], owned: list[str], silent: Iterable[tuple[str, str]]
) -> tuple[dict[str, Any], _mptcp_plan.Plan]:
    actual = _mptcp_actual.read()
    found, _problems = locate(description["rails"], actual["interfaces"])
    values = {path: _mptcp_actual.read_sysctl(path) for path in _mptcp_plan.sysctls(description, found)}
    return actual, _mptcp_plan.make(without(description, silent), actual, values, owned)


def _apply(
    description: dict[str, Any],
    plan: _mptcp_plan.Plan,
    owned: list[str],
    silent: Iterable[tuple[str, str]],
    save: bool,
) -> None:
    names = _mptcp_plan.names(description)
    state.own(COMPONENT, sorted({*owned, *names}))
    apply(plan.operations, explain)
    if plan.operations:
        left = _plan(description, owned, silent)[1].operations
        if left:
            lines = "; ".join(operation.line() for operation in left)
            raise NotConverged(f"the kernel accepted the whole plan, but these are still needed: {lines}")
    state.own(COMPONENT, names)
    if save:
        state.save(COMPONENT, description)


def _text(lines: dict[str, str]) -> str:
    return "".join(f"{line}\n" for _key, line in sorted(lines.items()))
