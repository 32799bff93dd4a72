# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One wrong value at a time for every option there is, collected from the specifications, with keys beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import alias

ROOT = Path(__file__).resolve().parents[2]
#: Options whose values are keys, by their names: the test that each is no_log is in test_documentation.py.
SECRET = re.compile(r"dhchap_(ctrl_)?(key|secret)$")
#: No value of any type but str, and no choice of any option.
_WRONG: dict[str, Any] = {
    "int": "soon",
    "float": "soon",
    "bool": "perhaps",
    "dict": "soon",
    "list": {"soon": 1},
}


def roles() -> dict[str, dict[str, dict[str, Any]]]:
    """Role -> entry point -> its options, as argument_specs.yml says them."""
    return {
        path.parents[1].name: {
            name: entry.get("options") or {}
            for name, entry in yaml.safe_load(path.read_text())["argument_specs"].items()
        }
        for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml"))
    }


def mistakes(options: dict[str, dict[str, Any]], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """For every option, and those inside, arguments of which one is wrong; every key option in them has the key.

    The name of the wrong one comes first. What is str without choices has no value of a wrong type and is left out.
    """
    for name, option in options.items():
        for where, value in _wrong(option, key):
            yield f"{name}{where}", {name: value}


def _wrong(option: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    kind = option.get("type", "str")
    if option.get("choices"):
        yield "", "soon"
    elif kind in _WRONG:
        yield "", _WRONG[kind]
    inner = option.get("options") or option.get("suboptions")
    if kind == "list" and not inner and option.get("elements") in _WRONG:
        yield "[]", [_WRONG[option["elements"]]]
    if not inner:
        return
    right = {
        name: key if SECRET.search(name) else _right(one)
        for name, one in inner.items()
        if one.get("required") or SECRET.search(name)
    }
    found = {".no_such_option": {**right, "no_such_option": "soon"}}
    for name in filter(SECRET.search, right):
        # Under the name that the other end has for it, and as a list; alone, for Ansible hides one that it knows
        # wherever it comes again.
        rest = {other: value for other, value in right.items() if not SECRET.search(other)}
        found[f".{alias(name)}"] = {**rest, alias(name): key, "no_such_option": "soon"}
        found[f".{name}"] = {**rest, name: [key], "no_such_option": "soon"}
    for where, value in found.items():
        yield where, [value] if kind == "list" else value
    for name, one in inner.items():
        for where, value in _wrong(one, key):
            whole = {**right, name: value}
            yield f".{name}{where}", [whole] if kind == "list" else whole


def _right(option: dict[str, Any]) -> Any:
    if option.get("choices"):
        return option["choices"][0]
    kinds = {"int": 1, "float": 1, "bool": True, "list": [], "dict": {}}
    return kinds.get(option.get("type", "str"), "x")
