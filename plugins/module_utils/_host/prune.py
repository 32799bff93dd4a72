# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which controllers go, and which must not: a namespace that is used never loses its last live path. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import Desired
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller, Nvme


@dataclass
class Verdict:
    """Names of the connections to take down now, later (when those of now are made anew), and why others stay.

    after: those to take down once another controller of their subsystem, which is being connected, has its paths.
    """

    now: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


def undeclared(want: Desired, found: Mapping[str, Controller], owned: Collection[str]) -> list[str]:
    """The connections to remove by the policy."""
    if want.failed:
        return []
    return [name for name in found if name not in want.connections and _prunable(name, found[name], want, owned)]


def _prunable(name: str, controller: Controller, want: Desired, owned: Collection[str]) -> bool:
    if want.prune == "owned":
        return name in owned
    discovers = controller.cntrltype == "discovery" or controller.subsysnqn == DISCOVERY_NQN
    return want.prune == "all" and controller.hostnqn == want.hostnqn and not discovers


def judge(
    removed: Sequence[str],
    renewed: Sequence[str],
    want: Desired,
    nvme: Nvme,
    found: Mapping[str, Controller],
    users: Callable[[str], list[str]],
) -> Verdict:
    """Take down what leaves every used namespace a live path; of those to be made anew only as many at a time.

    users: who uses a namespace, by its device name.
    """
    out = Verdict()
    leaving = {found[name].name for name in removed}
    coming = {one["subsysnqn"] for name, one in want.connections.items() if name not in found}
    for name in removed:
        blocked = _blocked(found[name], leaving, want, nvme, users)
        if blocked and found[name].subsysnqn in coming:
            out.after.append(name)
        elif blocked:
            out.refusals.append(_refusal(name, found[name], blocked, "it is no longer declared"))
        else:
            out.now.append(name)
    going = set(leaving)
    for name in renewed:
        controller = found[name]
        if not _blocked(controller, {*going, controller.name}, want, nvme, users):
            out.now.append(name)
            going.add(controller.name)
            continue
        blocked = _blocked(controller, {*leaving, controller.name}, want, nvme, users)
        if blocked:
            why = "its options change, which takes a new connection"
            out.refusals.append(_refusal(name, controller, blocked, why))
        else:
            out.later.append(name)
    return out


def _blocked(
    controller: Controller, going: Collection[str], want: Desired, nvme: Nvme, users: Callable[[str], list[str]]
) -> list[str]:
    """The used namespaces that only controllers which are going reach, with their users."""
    if controller.subsysnqn in want.allow_disruption:
        return []
    others = [one for one in nvme.controllers if one.name not in going]
    blocked = []
    for path in controller.paths:
        used = [] if any(one.reaches(path.namespace) for one in others) else users(path.namespace)
        if used:
            blocked.append(f"/dev/{path.namespace} is {', '.join(used)}")
    return blocked


def _refusal(name: str, controller: Controller, blocked: Sequence[str], why: str) -> str:
    return (
        f"{name} ({controller.name}) would be disconnected, for {why}, but it is the last live path: "
        f"{'; '.join(blocked)}. Stop using it, or list {controller.subsysnqn} in allow_disruption"
    )
