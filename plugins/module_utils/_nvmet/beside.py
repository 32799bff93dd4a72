# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What must hold between a description and what stays beside it without being described."""

from __future__ import annotations

from typing import Collection, Hashable, Iterable, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.changes import changes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.consistency import NAMESPACES_MAX
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.devices import opened
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import (
    Object,
    Tree,
    is_builtin,
    key,
    label,
    parent,
)

_STAYS = "is not described and stays; remove it, or use prune: all"


def conflicts(desired: Tree, actual: Tree, going: Collection[str]) -> list[str]:
    """One sentence for each thing that nvmet would refuse for what stays."""
    described = {*desired.objects, *desired.links}
    stays: dict[str, list[str]] = {}
    for path in [*actual.objects, *actual.links]:
        if path not in described and path not in going and (path in actual.links or not is_builtin(actual, path)):
            stays.setdefault(path.rpartition("/")[0], []).append(path)
    subsystems = [path for path, wanted in desired.objects.items() if wanted.kind == "subsystem"] if stays else []
    found = [problem for path in subsystems for problem in _subsystem(desired, path, stays)]
    return [*_discovery(desired, actual, stays.get("subsystems", [])), *found]


def _discovery(desired: Tree, actual: Tree, subsystems: Iterable[str]) -> Iterator[str]:
    for row, value in changes(desired, actual, "") if subsystems else ():
        for path in subsystems:
            if row.name == "discovery_nqn" and key(path).startswith(value):
                yield f"discovery_nqn {value!r} is how the NQN of {label(path)} begins, which {_STAYS}"


def _subsystem(desired: Tree, path: str, stays: dict[str, list[str]]) -> Iterator[str]:
    namespaces, hosts = stays.get(f"{path}/namespaces", []), stays.get(f"{path}/allowed_hosts", [])
    described = sum(1 for name in desired.objects if name.startswith(f"{path}/namespaces/")) if namespaces else 0
    total = described + len(namespaces)
    if described and total > NAMESPACES_MAX:
        yield (
            f"{label(path)}: {total} namespaces, with {len(namespaces)} that are not described and stay, are more than "
            f"nvmet's {NAMESPACES_MAX}; remove some, or use two subsystems"
        )
    if desired.objects[path].attributes.get("allow_any_host") == "1" and hosts:
        yield f"{label(path)}: allow_any_host is true, and the allowed host {key(hosts[0])} {_STAYS}"
    passthru = f"{path}/passthru"
    if desired.objects[passthru].attributes.get("enable") == "1" and namespaces:
        yield f"{label(passthru)}: nvmet serves either a controller or namespaces, and {label(namespaces[0])} {_STAYS}"


def shared(desired: Tree, actual: Tree, going: Collection[str], devices: Devices) -> dict[str, str]:
    """Path of each object that would have its device or identity in common with one that stays → a sentence."""
    taken: dict[tuple[str, Hashable], str] = {}
    for path, have in actual.objects.items():
        stays = path not in going and (have.kind == "namespace" or parent(path) not in going)
        if stays and path not in desired.objects:
            taken.update(((name, mark), path) for name, mark in _marks(have, devices))
    found = {}
    for path, wanted in desired.objects.items() if taken else ():
        for name, mark in _marks(wanted, devices):
            if (name, mark) in taken:
                found[path] = (
                    f"{label(path)}: {name} {wanted.attributes[name]!r} is also that of {label(taken[name, mark])}, "
                    "which is not described and stays; remove that, or describe it"
                )
    return found


def _marks(found: Object, devices: Devices) -> Iterator[tuple[str, Hashable]]:
    """What no two enabled objects may have in common: the option and its value, of a device what it really is."""
    if found.kind not in ("namespace", "passthru") or found.attributes.get("enable") != "1":
        return
    for name in ("uuid", "nguid"):
        if name in found.attributes:
            yield name, found.attributes[name]
    if "device_path" in found.attributes:
        for one in opened(found.kind, found.attributes["device_path"], devices):
            yield "device_path", one
