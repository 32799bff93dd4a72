# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What must hold between a description and what stays beside it without being described."""

from __future__ import annotations

from typing import Collection, Hashable, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_devices import opened
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_tree import Object, Tree, label, parent


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
