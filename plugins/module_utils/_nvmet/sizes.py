# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which enabled namespaces have a device of another size than nvmet holds.

nvmet looks at a device's size when the namespace is enabled and when revalidate_size is written, and configfs does not
tell what it saw. So the size is noted that the device had just before nvmet last looked: a device that grows in
that very moment is then looked at once more than needed, and never once less.
"""

from __future__ import annotations

import json
import os
from typing import Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.changes import changes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, label

#: Path of a namespace → bytes.
Sizes = Mapping[str, int]
_NOTED = state.File(state.of_shape(lambda: {...: int}), "targets.yml")


def measure(desired: Tree, devices: Devices) -> dict[str, int]:
    """The sizes of the devices to be served, as they are now; a device that is not there has none."""
    sizes = {path: devices.size(desired.objects[path].attributes["device_path"]) for path in _enabled(desired)}
    return {path: size for path, size in sizes.items() if size is not None}


def seen(owned_dir: str) -> dict[str, int]:
    """What note() wrote last; nothing when that is damaged, for then nvmet is made to look again and no more."""
    try:
        return state.read(_file(owned_dir), _NOTED) or {}
    except state.Damaged:
        return {}


def unchanged(wanted: Tree, owned: Collection[str], devices: Devices, owned_dir: str) -> set[str]:
    """Paths of the wanted devices whose namespaces we made, with a device of this very size."""
    before = seen(owned_dir)
    return {
        wanted.objects[path].attributes["device_path"]
        for path, size in measure(wanted, devices).items()
        if path in owned and before.get(path) == size
    }


def note(desired: Tree, before: Sizes, now: Sizes, owned_dir: str) -> None:
    """Write down what nvmet has seen, after a run in which it looked at every device that is not as before."""
    # A device that is gone while nvmet has it open tells no size; when it comes back it is compared with the old one.
    sizes = {**{path: before[path] for path in _enabled(desired) if path in before}, **now}
    if sizes != before:
        state.replace_file(_file(owned_dir), json.dumps(sizes, indent=2, sort_keys=True) + "\n")


def plan(desired: Tree, actual: Tree, before: Sizes, now: Sizes, root: str) -> list[Operation]:
    """Make nvmet look again where it saw another size, or where nobody noted what it saw.

    A namespace that the other operations open, or close and open, is looked at by that. Pure.
    """
    stays_open = set(_enabled(actual)).intersection(_enabled(desired))
    return [
        Operation("write", f"{root}/{path}/revalidate_size", "1", about=label(path))
        for path, size in now.items()
        if before.get(path) != size
        and path in stays_open
        and not any(row.gate for row, _value in changes(desired, actual, path))
    ]


def _enabled(tree: Tree) -> list[str]:
    namespaces = ((path, found.attributes) for path, found in tree.objects.items() if found.kind == "namespace")
    return [path for path, has in namespaces if has.get("enable") == "1" and "device_path" in has]


def _file(owned_dir: str) -> str:
    return os.path.join(owned_dir, "target.sizes.json")
