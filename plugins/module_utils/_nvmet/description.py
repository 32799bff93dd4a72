# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Description → tree: every value sanitised, every mistake named with its place, its value and its remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping  # the check of typing's takes ten times as long
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Attribute, Kind
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.consistency import inconsistencies
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import HIDDEN, Object, Tree, join
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.values import Sanitiser


class Invalid(ValueError):
    """The description cannot be what was meant; problems holds one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def parse(description: Any) -> Tree:
    """The tree a description asks for. Raises Invalid with everything that is wrong with it.

    A value of None counts as not written, as in a module's parameters.
    """
    reader = _Reader()
    reader.object(description, "nvmet", "", "")
    reader.imply_hosts()
    problems = reader.problems or inconsistencies(reader.tree)
    if problems:
        raise Invalid(problems)
    return reader.tree


class _Reader:
    def __init__(self) -> None:
        self.tree = Tree()
        self.problems: list[str] = []

    def object(self, written: Any, kind_name: str, path: str, where: str) -> None:
        """Read one object that lies at path; where is its place in the description, for messages."""
        kind = KINDS[kind_name]
        if not isinstance(written, Mapping):
            self._wrong(where or "the description", written, f"must be a dictionary of {', '.join(_options(kind))}")
            return
        self.tree.objects[path] = Object(kind_name, self._attributes(written, kind, where))
        self.tree.words |= {join(path, name) for name in kind.words if self._says(written, name, where)}
        for group, inner in kind.groups.items():
            for index, item in self._items(written, group, where):
                self._member(item, KINDS[inner], join(path, group), f"{_under(where, group)}[{index}]")
            for name in KINDS[inner].builtin:
                self.tree.objects.setdefault(join(path, group, name), Object(inner))
        for group, target in kind.links.items():
            for index, item in self._items(written, group, where):
                self._link(item, join(path, group), target, f"{_under(where, group)}[{index}]")
        for name in kind.fixed:
            if written.get(name) is not None:
                self.object(written[name], name, join(path, name), _under(where, name))
            else:
                self.tree.objects[join(path, name)] = Object(name)

    def imply_hosts(self) -> None:
        """A host that is allowed somewhere exists, also without an entry of its own."""
        for target in self.tree.links.values():
            if target.startswith("hosts/"):
                self.tree.objects.setdefault(target, Object("host"))

    def _attributes(self, written: Mapping[str, Any], kind: Kind, where: str) -> dict[str, str]:
        known = _options(kind)
        for name in written:
            if name not in known:
                self.problems.append(
                    f"{_under(where, _named(name))}: there is no such option; {kind.name} has {', '.join(known)}"
                )
        found = {}
        for row in kind.attributes:
            value = written.get(row.name)
            if value is not None:
                sanitised = self._sanitise(row, value, _under(where, row.name))
                if sanitised is not None:
                    found[row.name] = sanitised
        if kind.row("enable"):
            # nvmet creates everything disabled; whoever describes an object wants it to work.
            found.setdefault("enable", "1")
        return found

    def _says(self, written: Mapping[str, Any], word: str, where: str) -> bool:
        value = written.get(word)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._wrong(_under(where, word), value, "must be true or false")
        return False

    def _sanitise(self, row: Attribute, value: Any, where: str) -> str | None:
        try:
            return _sanitised(row.sanitise, value)
        except ValueError as error:
            self._wrong(where, HIDDEN if row.secret else value, str(error))
            return None

    def _items(self, written: Mapping[str, Any], group: str, where: str) -> list[tuple[int, Any]]:
        items = written.get(group)
        if items is None:
            return []
        if not isinstance(items, (list, tuple)):
            self._wrong(_under(where, group), items, "must be a list")
            return []
        return list(enumerate(items))

    def _member(self, item: Any, kind: Kind, group: str, where: str) -> None:
        if not isinstance(item, Mapping):
            self._wrong(where, item, f"must be a dictionary of {', '.join(_options(kind))}")
            return
        if item.get(kind.key) is None:
            self.problems.append(f"{where}: {kind.key} is missing; write it, every {kind.name} needs one")
            return
        try:
            found = _sanitised(kind.sanitise, item[kind.key])
        except ValueError as error:
            self._wrong(_under(where, kind.key), item[kind.key], str(error))
            return
        path, named = join(group, found), f"{where} ({kind.key} {found})"
        if path in self.tree.objects:
            self._wrong(_under(where, kind.key), item[kind.key], f"is written twice; write every {kind.name} once")
            return
        self.object(item, kind.name, path, named)

    def _link(self, item: Any, group: str, target: str, where: str) -> None:
        try:
            found = _sanitised(KINDS[KINDS["nvmet"].groups[target]].sanitise, item)
        except ValueError as error:
            self._wrong(where, item, str(error))
            return
        if join(group, found) in self.tree.links:
            self._wrong(where, item, "is written twice; write it once")
        self.tree.links[join(group, found)] = join(target, found)

    def _wrong(self, where: str, value: Any, message: str) -> None:
        self.problems.append(f"{where}: {_shown(value)} {message}")


def _sanitised(sanitise: Sanitiser, value: Any) -> str:
    """What sanitise makes of one value; a ValueError that nothing but a sanitiser words is raised for all else."""
    if not isinstance(value, (str, int, float)):
        raise ValueError("must be a single text, number or boolean")
    if isinstance(value, int) and value.bit_length() > 64:
        raise ValueError("must be a number of at most 64 bits")
    if isinstance(value, str) and not value.strip().isprintable():
        raise ValueError("must be printable characters")
    return sanitise(value)


def _shown(value: Any) -> str:
    """A value as it is written in Python, within limits. A key in the wrong place is still a key."""
    try:
        found = re.sub(r"DHHC-1:[^'\"\s]*", HIDDEN, repr(value))
    except (ValueError, RecursionError):
        # A number of thousands of digits, lists in lists without end.
        found = f"a value of type {type(value).__name__}"
    return found if len(found) < 100 else found[:96] + " …"


def _named(option: Any) -> str:
    return option if isinstance(option, str) and option.isidentifier() and len(option) < 64 else _shown(option)


def _options(kind: Kind) -> list[str]:
    names = [kind.key] if kind.key else []
    return [*names, *(row.name for row in kind.attributes), *kind.words, *kind.groups, *kind.links, *kind.fixed]


def _under(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
