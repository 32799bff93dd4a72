# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The attribute writes of one object, in the order that nvmet accepts. Pure."""

from __future__ import annotations

from typing import Collection

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Attribute, Kind
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, is_builtin, key, parent


def changes(desired: Tree, actual: Tree, path: str) -> list[tuple[Attribute, str]]:
    """What to write at path; a gate that is C(enable) is closed and opened around what needs it."""
    want, have = desired.objects[path], actual.objects.get(path)
    kind = KINDS[want.kind]
    writes = _ordered(kind, have, _values(kind, want, have, key(path)))
    gate = kind.row("enable")
    if gate is None:
        return writes
    is_open = have is not None and have.attributes.get("enable") == "1"
    to_open = want.attributes.get("enable", "0") == "1"
    through = any(row.gate for row, _value in writes)
    before = [(gate, "0")] if is_open and (through or not to_open) else []
    after = [(gate, "1")] if to_open and (through or not is_open) else []
    return [*before, *writes, *after]


def _values(kind: Kind, want: Object, have: Object | None, name: str) -> dict[str, str]:
    """The value to write of each attribute that differs, or that nvmet resets when another one is written."""
    there = have.attributes if have else {}
    will, found, reset = {**there, **want.attributes}, {}, set()
    for row in kind.attributes:
        value = want.attributes.get(row.name)
        # A new object has its defaults already; a kernel without the attribute needs no default.
        if value is None and row.name in there:
            value = row.default(name, will)
        if row.name == "enable" or value is None or (there.get(row.name) == value and row.name not in reset):
            continue
        will[row.name] = found[row.name] = value
        for other in row.resets:
            reset.add(other)
            if other not in want.attributes:
                will.pop(other, None)
    return found


def _ordered(kind: Kind, have: Object | None, values: dict[str, str]) -> list[tuple[Attribute, str]]:
    rows = [row for row in kind.attributes if row.name in values]
    if {"cntlid_min", "cntlid_max"} <= set(values):
        old = have.attributes.get("cntlid_max") if have else None
        # nvmet refuses each write that would leave min above max.
        if int(values["cntlid_min"]) > int(old or 0xFFEF):
            rows.sort(key=lambda row: row.name != "cntlid_max")
    return [(row, values[row.name]) for row in rows]


def expected(desired: Tree, actual: Tree, created: Collection[str], removed: Collection[str]) -> Tree:
    """What nvmet will have once the plan is applied, as far as it can be known."""
    objects = {path: Object(have.kind, dict(have.attributes)) for path, have in actual.objects.items()}
    for path, want in desired.objects.items():
        have = objects.get(path)
        merged = {} if have is None else have.attributes
        for row, value in changes(desired, actual, path):
            merged[row.name] = value
        if have is not None or path in created or merged:
            objects[path] = Object(want.kind, merged)
    links = {**actual.links, **desired.links}
    gone = set(removed)
    gone |= {path for path in actual.objects if is_builtin(actual, path) and parent(path) in gone}
    return Tree(
        {path: kept for path, kept in objects.items() if path not in gone},
        {path: target for path, target in links.items() if path not in gone},
    )
