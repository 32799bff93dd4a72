# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The attribute table as Ansible arguments, and a module's parameters as a description."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.arguments import by_name
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import alias
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Kind


def arguments(kind: Kind = KINDS["nvmet"]) -> dict[str, dict[str, Any]]:
    """The argument_spec of one kind of object, with everything inside it."""
    spec: dict[str, dict[str, Any]] = {}
    if kind.key:
        spec[kind.key] = {"type": kind.key_type, "required": True}
    for row in kind.attributes:
        spec[row.name] = {"type": row.type}
        if row.secret:
            spec[row.name].update(no_log=True, aliases=[alias(row.name)])
    for name in kind.words:
        spec[name] = {"type": "bool"}
    for group, inner in kind.groups.items():
        spec[group] = {"type": "list", "elements": "dict", "options": arguments(KINDS[inner])}
    for group in kind.links:
        spec[group] = {"type": "list", "elements": "str"}
    for name in kind.fixed:
        spec[name] = {"type": "dict", "options": arguments(KINDS[name])}
    return spec


def description(params: Mapping[str, Any]) -> dict[str, Any]:
    """What of a module's parameters describes nvmet."""
    spec = arguments()
    return {name: value for name, value in by_name(params, spec).items() if value is not None}
