# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which namespaces hosts can use over which ports, by their ANA states, now and after a plan. Pure.

Source: struct nvmet_port.ana_state and nvmet_ana_group_release() of Linux 7.2. A port knows every group: 1 is
optimized unless written otherwise, all others are inaccessible until and after somebody makes them.
"""

from __future__ import annotations

from typing import Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree

#: ANA states in which a host sends commands (NVM Express Base Specification 2.1, section 8.1.1).
_ACCESSIBLE = ("optimized", "non-optimized")
_KINDS = {"namespaces": "namespace", "ana_groups": "ana_group"}


def accessible(tree: Tree) -> dict[tuple[str, str], None]:
    """(port, namespace) of every enabled namespace in an accessible state on a port that serves it, in order."""
    enabled: dict[str, list[tuple[str, str]]] = {}
    for path, found in tree.objects.items():
        if found.kind == "namespace" and found.attributes.get("enable") == "1":
            group = found.attributes.get("ana_grpid", "1")
            enabled.setdefault("/".join(path.split("/")[:2]), []).append((path, group))
    return {
        (port, namespace): None
        for link, target in tree.links.items()
        if link.startswith("ports/")
        for port in ["/".join(link.split("/")[:2])]
        for namespace, group in enabled.get(target, [])
        if _state(tree, port, group) in _ACCESSIBLE
    }


def _state(tree: Tree, port: str, group: str) -> str:
    found = tree.objects.get(f"{port}/ana_groups/{group}", Object("ana_group"))
    return found.attributes.get("ana_state", "optimized" if group == "1" else "inaccessible")


def afterwards(actual: Tree, operations: Iterable[Operation], root: str) -> Tree:
    """The tree once a plan is applied, as far as accessible() looks at it."""
    tree = Tree(dict(actual.objects), dict(actual.links))
    for operation in operations:
        path = operation.path[len(root) + 1 :]
        if operation.verb == "rmdir":
            tree.objects.pop(path, None)
        elif operation.verb == "unlink":
            tree.links.pop(path, None)
        elif operation.verb == "symlink":
            tree.links[path] = operation.value[len(root) + 1 :]
        elif operation.verb == "write" and len(path.split("/")) == 5:
            kind = _KINDS.get(path.split("/")[2])
            folder, _, name = path.rpartition("/")
            if kind:
                have = tree.objects.get(folder, Object(kind)).attributes
                tree.objects[folder] = Object(kind, {**have, name: operation.value})
    return tree
