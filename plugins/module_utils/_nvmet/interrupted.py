# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What a plan takes down for a moment, noted ahead: a run that is killed or refused then leaves it to the next one.

A port is closed for a change together with the links that others made, and configfs does not tell that they were there.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Collection, Iterable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import plan as _nvmet_plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, join, label, parent

_NAMESPACE = "namespace"
_NOTED = _state.File(
    _state.of_shape(lambda: {"links": {...: str}, "namespaces": {...: {...: str}}}),
    "targets.yml",
    "what others had linked to our ports has to be linked again by them",
)


def noted(owned_dir: str) -> Tree:
    """The links and namespaces that an earlier run took down and perhaps did not bring back."""
    found = _state.read_or_mend(_file(owned_dir), _NOTED)
    if found is None:
        return Tree()
    return Tree({path: Object(_NAMESPACE, has) for path, has in found["namespaces"].items()}, found["links"])


def note(down: Tree, owned_dir: str) -> None:
    """Write down what will be down, or that nothing is any more."""
    if down.objects or down.links:
        namespaces = {path: found.attributes for path, found in down.objects.items()}
        content = json.dumps({"links": down.links, "namespaces": namespaces}, indent=2, sort_keys=True)
        _state.replace_file(_file(owned_dir), content + "\n")
    elif os.path.exists(_file(owned_dir)):
        os.unlink(_file(owned_dir))


def lost(before: Tree, actual: Tree) -> Tree:
    """What of that is not back, and can be: what it lies in and links to is there."""
    gone = {path: has for path, has in before.objects.items() if path not in actual.objects}
    return Tree(
        {path: has for path, has in gone.items() if parent(path) in actual.objects},
        {
            link: target
            for link, target in before.links.items()
            if link not in actual.links and parent(link) in actual.objects and target in actual.objects
        },
    )


def together(first: Tree, second: Tree) -> Tree:
    return dataclasses.replace(
        first, objects={**second.objects, **first.objects}, links={**second.links, **first.links}
    )


def taken_down(operations: Iterable[Operation], actual: Tree, root: str) -> Tree:
    """What the operations remove and make again. Pure."""
    down: set[str] = set()
    found = Tree()
    for operation in operations:
        path = operation.path[len(root) + 1 :]
        if operation.verb in ("unlink", "rmdir"):
            down.add(path)
        elif operation.verb == "symlink" and path in down and path in actual.links:
            found.links[path] = actual.links[path]
        elif operation.verb == "mkdir" and path in down and path in actual.objects:
            found.objects[path] = actual.objects[path]
    return found


def still_down(down: Tree, applied: Iterable[Operation], root: str) -> list[str]:
    """Labels of what the applied operations left down. Pure."""
    state = {operation.path[len(root) + 1 :]: operation.verb for operation in applied if operation.verb != "write"}
    return [label(path) for path in [*down.objects, *down.links] if state.get(path) in ("unlink", "rmdir")]


def plan(
    missing: Tree,
    desired: Tree,
    actual: Tree,
    owned: Collection[str],
    prune: str,
    root: str,
    same: Mapping[str, str],
) -> tuple[_nvmet_plan.Plan, Tree]:
    """The plan as if nothing were missing, which then makes what stays; and the desired tree with that. Pure.

    same: see devices.aliases().

    Raises ValueError for a namespace that cannot come back because another one has taken its identity or device.
    """
    back = Tree(
        {path: has for path, has in missing.objects.items() if path not in desired.objects},
        {link: target for link, target in missing.links.items() if link not in desired.links},
    )
    found = _nvmet_plan.plan(desired, together(actual, back), owned, prune, root, same)
    absent = {f"{root}/{path}" for path in [*back.objects, *back.links]}
    found.operations = [
        one for one in found.operations if one.verb not in ("unlink", "rmdir") or one.path not in absent
    ]
    made = {one.path for one in found.operations if one.verb in ("symlink", "mkdir")}
    stays = Tree(
        {path: has for path, has in back.objects.items() if path not in found.removed},
        {link: target for link, target in back.links.items() if link not in found.removed},
    )
    remaining = together(desired, actual).objects
    for path, has in stays.objects.items():
        _alone(path, has, {other: its for other, its in remaining.items() if other not in found.removed})
        found.operations += [] if f"{root}/{path}" in made else _made(path, has, root)
    for link, target in stays.links.items():
        if f"{root}/{link}" not in made:
            found.operations.append(Operation("symlink", f"{root}/{link}", f"{root}/{target}", about=label(link)))
    return found, together(desired, stays)


def _alone(path: str, found: Object, others: Mapping[str, Object]) -> None:
    for other, its in others.items():
        for name in ("device_path", "uuid", "nguid"):
            if its.kind == _NAMESPACE and found.attributes.get(name, "") == its.attributes.get(name):
                raise ValueError(
                    f"{label(path)} was removed by a run that did not finish, and {label(other)} now has its {name} "
                    f"{found.attributes[name]}; describe both namespaces, with one each, and run again"
                )


def _made(path: str, found: Object, root: str) -> list[Operation]:
    rows = [row for row in KINDS[_NAMESPACE].attributes if row.name in found.attributes]
    writes = [
        Operation("write", f"{root}/{join(path, row.file)}", found.attributes[row.name], about=label(path))
        for row in rows
    ]
    return [Operation("mkdir", f"{root}/{path}", about=label(path)), *writes]


def _file(owned_dir: str) -> str:
    return os.path.join(owned_dir, "target.interrupted.json")
