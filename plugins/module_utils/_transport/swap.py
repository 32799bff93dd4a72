# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Replace loaded nvme modules by the builds on disk, only while nothing uses them.

rmmod of nvme-tcp disconnects its controllers without asking, so the uses are looked up here first.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.modules import MODULES, Module
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.probe import NVMET

CONTROLLERS = "/sys/class/nvme"

_FABRICS_TRANSPORTS = ("tcp", "mptcp", "rdma", "fc", "loop")

# Which of our modules must go before another of them can.
_USED_BY = {"nvme-fabrics": ("nvme-tcp",), "nvmet": ("nvmet-tcp",)}


def controllers(root: str = CONTROLLERS) -> list[str]:
    """The controllers that would be disconnected."""
    found = []
    for name in sorted(os.listdir(root)) if os.path.isdir(root) else []:
        transport = _read(os.path.join(root, name, "transport"))
        if transport in _FABRICS_TRANSPORTS:
            found.append(f"controller {name} ({transport}, {_read(os.path.join(root, name, 'subsysnqn'))})")
    return found


def target_objects(root: str = NVMET) -> list[str]:
    """The ports, subsystems and hosts of nvmet, each of which holds the module."""
    found = []
    for folder, noun in (("ports", "port"), ("subsystems", "subsystem"), ("hosts", "nvmet host")):
        path = os.path.join(root, folder)
        found += [f"{noun} {name}" for name in (sorted(os.listdir(path)) if os.path.isdir(path) else [])]
    return found


def holders(modules: t.Iterable[Module], users: t.Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Per loaded module what uses it: controllers, configured target objects, and modules that are not ours to swap."""
    found = {}
    for module in modules:
        if module.loaded:
            uses = controllers() if module.name in ("nvme-fabrics", "nvme-tcp") else target_objects()
            found[module.name] = uses + [f"module {name}" for name in users(module.name) if name not in MODULES]
    return found


def plan(modules: t.Sequence[Module]) -> list[Operation]:
    """Unload the builds that are not those on disk, with what stands on them, and load those on disk."""
    leaving = {module.name for module in modules if module.stale}
    for name in tuple(leaving):
        leaving.update(_USED_BY.get(name, ()))
    loaded = {module.name for module in modules if module.loaded}
    operations = [
        Operation("run", argv=("rmmod", name), about=f"module {name}")
        for name in reversed(MODULES)
        if name in leaving and name in loaded
    ]
    absent = [name for name in MODULES if name in leaving or name not in loaded]
    if absent:
        operations.append(Operation("run", argv=("modprobe", "--all", *absent), about="the mptcp transport"))
    return operations


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError:
        # A PCIe controller has no such attribute, and a controller may go while we look.
        return ""
