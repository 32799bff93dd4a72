# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What no two namespaces may have in common, and which have to be made anew to give it up. Pure."""

from __future__ import annotations

import dataclasses
from typing import Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, key

# No two namespaces may have the same: hosts tell them apart by the first two, the third would be corrupted.
_UNIQUE = ("uuid", "nguid", "device_path")


def remade(desired: Tree, actual: Tree, same: Mapping[str, str]) -> set[str]:
    """Namespaces that stay but lose their identity or device to another: nvmet can only forget those with them."""
    takers = {
        mark: path
        for path, wanted in desired.objects.items()
        if wanted.kind == "namespace"
        for mark in marks(wanted, same)
    }
    return {
        path
        for path, found in actual.objects.items()
        if found.kind == "namespace" and path in desired.objects
        if any(takers.get(mark, path) != path for mark in marks(found, same))
    }


def marks(found: Object, same: Mapping[str, str]) -> list[tuple[str, str]]:
    """What no other namespace may have; a device by one name alone, and only where it is opened."""
    names = _UNIQUE if found.attributes.get("enable") == "1" else _UNIQUE[:-1]
    has = [(name, found.attributes[name]) for name in names if name in found.attributes]
    return [(name, same.get(value, value)) for name, value in has]


def whole(desired: Tree, actual: Tree, paths: Collection[str]) -> Tree:
    """The desired tree with what the remade namespaces have beyond it and nobody described."""
    objects = dict(desired.objects)
    for path in paths:
        have = actual.objects[path].attributes
        rows = [row for row in KINDS["namespace"].attributes if row.name in have and row.name not in _UNIQUE]
        kept = {row.name: have[row.name] for row in rows if row.default(key(path), have) is None}
        objects[path] = Object("namespace", {**kept, **desired.objects[path].attributes})
    return Tree(objects, desired.links)


def less(actual: Tree, paths: Collection[str]) -> Tree:
    return dataclasses.replace(
        actual, objects={path: found for path, found in actual.objects.items() if path not in paths}
    )
