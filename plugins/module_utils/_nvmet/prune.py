# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which objects and links go: never one that holds, or is linked by, something that stays."""

from __future__ import annotations

from typing import Collection

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, is_builtin, parent

#: What may be removed: what an earlier description of ours made, nothing, whatever is not described.
CHOICES = ("owned", "none", "all")


def removals(desired: Tree, actual: Tree, owned: Collection[str], prune: str) -> tuple[set[str], list[str]]:
    """The paths to remove, and those that were ours to remove but are in use by what is not."""
    going = {
        path
        for path in [*actual.objects, *actual.links]
        if path not in desired.objects
        and path not in desired.links
        and (path in actual.links or not is_builtin(actual, path))
        and (prune == "all" or (prune == "owned" and path in owned))
    }
    needed = _needs(actual)
    kept = []
    # The deepest first, so that whatever keeps a child keeps its parents too.
    for path in sorted(going & set(actual.objects), key=lambda name: -name.count("/")):
        if any(user not in going for user in needed.get(path, ())):
            going.discard(path)
            kept.append(path)
    return going, sorted(kept)


def _needs(actual: Tree) -> dict[str, list[str]]:
    """Object → what lies in it or links to it, without what nvmet made by itself."""
    needed: dict[str, list[str]] = {}
    for path in actual.objects:
        if path and not is_builtin(actual, path):
            needed.setdefault(parent(path), []).append(path)
    for link, target in actual.links.items():
        needed.setdefault(parent(link), []).append(link)
        needed.setdefault(target, []).append(link)
    return needed
