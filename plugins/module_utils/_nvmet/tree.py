# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The one shape of a target: what a description asks for and what the kernel has, both normalised, without I/O.

A path in the tree is the object's folder in nvmet's configfs, so it is a name that the kernel's documentation knows.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS

#: What a diff or a message shows instead of a secret.
HIDDEN = "********"


@dataclass(repr=False)
class Object:
    """A folder: its kind and those of its attributes that are known, by the names of the description."""

    kind: str
    attributes: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        # Not the fields: a secret must not get into a traceback or a log by way of them.
        secret = {row.name for row in KINDS[self.kind].attributes if row.secret}
        shown = {name: HIDDEN if name in secret else value for name, value in self.attributes.items()}
        return f"Object({self.kind!r}, {shown!r})"


@dataclass
class Tree:
    """Objects and links by path, for example C(subsystems/NQN/namespaces/1) and C(ports/1/subsystems/NQN).

    lacking: kind → attributes that this kernel does not have, as far as it has shown an object of the kind.
    exposed: files of secrets that everyone may read, as nvmet makes them.
    words: what a description accepts, for example C(ports/1/allow_unauthenticated_tls); the kernel has none of it.
    """

    objects: dict[str, Object] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, set[str]] = field(default_factory=dict)
    exposed: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)


def key(path: str) -> str:
    """The last part of a path: what the object is called."""
    return path.rpartition("/")[2]


def join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def parent(path: str) -> str:
    """The object that a path lies in: without its key and, but for a fixed object, its group."""
    if path in ("", *KINDS["nvmet"].groups):
        return ""
    up = path.rpartition("/")[0]
    return up if key(path) == "passthru" else up.rpartition("/")[0]


def is_builtin(tree: Tree, path: str) -> bool:
    """Whether nvmet made this object by itself, so that it can be neither made nor removed."""
    kind = KINDS[tree.objects[path].kind]
    return not kind.key or key(path) in kind.builtin


@functools.lru_cache(maxsize=65536)
def label(path: str) -> str:
    """An object in a person's words: C(subsystem nqn.… namespace 1)."""
    words, kind, rest = [], KINDS["nvmet"], path.split("/") if path else []
    while rest:
        group = rest.pop(0)
        if group in kind.fixed:
            kind = KINDS[group]
            words.append(group)
        elif group in kind.groups and rest:
            kind = KINDS[kind.groups[group]]
            words.append(f"{kind.name} {rest.pop(0)}")
        else:
            words.append(" ".join([group, *rest]))
            break
    return " ".join(words) or "nvmet"


def describe(tree: Tree) -> dict[str, Any]:
    """The tree as a description that nvmet_config accepts: parse() brings it back to the same tree without secrets."""
    return _describe(tree, _children(tree), "")


def _children(tree: Tree) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in [*tree.objects, *tree.links]:
        if path:
            found.setdefault(parent(path), []).append(path)
    return found


def _describe(tree: Tree, children: dict[str, list[str]], path: str) -> dict[str, Any]:
    found, kind = tree.objects.get(path, Object("nvmet")), KINDS[tree.objects[path].kind if path else "nvmet"]
    out: dict[str, Any] = {kind.key: native(kind.key_type, key(path))} if kind.key else {}
    for row in kind.attributes:
        if row.name in found.attributes and not row.secret:
            out[row.name] = native(row.type, found.attributes[row.name])
    out.update({name: True for name in kind.words if join(path, name) in tree.words})
    for group in [*kind.groups, *kind.links]:
        inside = [child for child in children.get(path, []) if child.startswith(join(path, group) + "/")]
        if group in kind.links:
            out[group] = sorted(key(child) for child in inside)
        else:
            out[group] = [_describe(tree, children, child) for child in sorted(inside, key=_natural)]
    for name in kind.fixed:
        inner = join(path, name)
        # A passthru that was never used has no path, and a description cannot ask for "none".
        if "device_path" in getattr(tree.objects.get(inner), "attributes", {}):
            out[name] = _describe(tree, children, inner)
    return out


def _natural(path: str) -> tuple[int, int, str]:
    last = key(path)
    return (0, int(last), "") if last.isdigit() else (1, 0, last)


def native(kind: str, value: str) -> Any:
    """A configfs value as the type that a person writes."""
    if kind == "bool":
        return value == "1"
    return int(value) if kind == "int" else value


def render(tree: Tree) -> str:
    """The tree as indented text, for a diff that a person reads; secrets are hidden."""
    children = _children(tree)
    return "".join(f"{line}\n" for line in _lines(tree, children, "", 0))


def _lines(tree: Tree, children: dict[str, list[str]], path: str, depth: int) -> Iterator[str]:
    found = tree.objects.get(path)
    if found is not None:
        for row in KINDS[found.kind].attributes:
            if row.name in found.attributes:
                shown = HIDDEN if row.secret else native(row.type, found.attributes[row.name])
                yield f"{'  ' * depth}{row.name}: {str(shown).lower() if row.type == 'bool' else shown}"
    for child in sorted(children.get(path, []), key=lambda name: (name.rpartition("/")[0], _natural(name))):
        title = label(child)[len(label(path)) + 1 if path else 0 :]
        yield f"{'  ' * depth}{title}"
        yield from _lines(tree, children, child, depth + 1)
