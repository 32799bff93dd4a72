# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What nvmet has, split into what a description can ask for and what it cannot, with the reason. Pure.

nvmet takes names and combinations that are refused in a description, because hosts or nvmet itself cannot use them.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, describe, key, label


def describable(tree: Tree) -> tuple[dict[str, Any], dict[str, str]]:
    """A description that parse() accepts, and label → reason of each object that is left out of it with all it holds.

    Raises Invalid when it cannot be told which object to leave out.
    """
    rest, reasons = Tree(dict(tree.objects), dict(tree.links)), {}
    for path, found in tree.objects.items():
        why = _misnamed(found.kind, key(path))
        if why and path in rest.objects:
            reasons[label(path)] = why
            _leave_out(rest, path)
    while True:
        config = describe(rest)
        try:
            parse(config)
        except Invalid as error:
            for path, why in _culprits(rest, error).items():
                reasons[label(path)] = why
                _leave_out(rest, path)
        else:
            return config, reasons


def _misnamed(kind_name: str, name: str) -> str | None:
    kind = KINDS[kind_name]
    if not kind.key:
        return None
    try:
        written = kind.sanitise(name)
    except ValueError as error:
        return f"{kind.key} {name!r} {error}"
    return None if written == name else f"{kind.key} {name!r} would be called {written!r}"


def _culprits(tree: Tree, error: Invalid) -> dict[str, str]:
    """Objects to leave out, with the reason. A problem names its object at its beginning or, else, somewhere."""
    labels = {label(path): path for path in tree.objects if path}
    own = {name: why for name, _, why in (one.partition(": ") for one in reversed(error.problems)) if name in labels}
    if own:
        # One that only collides with another culprit may be well without it: it waits for the next look.
        first = {name: why for name, why in own.items() if not any(other in why for other in own if other != name)}
        return {labels[name]: why for name, why in (first or dict([own.popitem()])).items()}
    for problem in error.problems:
        named = max((one for one in labels if one in problem), key=len, default=None)
        if named:
            return {labels[named]: problem}
    raise error


def _leave_out(tree: Tree, path: str) -> None:
    for name in [name for name in tree.objects if f"{name}/".startswith(f"{path}/")]:
        del tree.objects[name]
    tree.links = {
        link: target
        for link, target in tree.links.items()
        if target in tree.objects and not link.startswith(f"{path}/")
    }
