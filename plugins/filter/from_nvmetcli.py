# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(nvmetcli save) wrote → a description for M(nvmeof.mptcp.nvmet_config)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import shown
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Attribute, Kind
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import native
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import entrance

DOCUMENTATION = r"""
name: from_nvmetcli
short_description: What nvmetcli saved, as a description
description:
  - Takes the JSON that C(nvmetcli save) writes, parsed, and returns what M(nvmeof.mptcp.nvmet_config) accepts.
  - What nvmetcli saved as not set (an empty text, C((null\)), C(-1)) is left out. Anything unknown is an error.
options:
  _input:
    description: The parsed JSON.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Take over a target that nvmetcli set up
  nvmeof.mptcp.nvmet_config:
    hosts: "{{ saved.hosts }}"
    subsystems: "{{ saved.subsystems }}"
    ports: "{{ saved.ports }}"
  vars:
    saved: "{{ lookup('ansible.builtin.file', 'config.json') | from_json | nvmeof.mptcp.from_nvmetcli }}"
"""

RETURN = r"""
_value:
  description: The description.
  type: dict
"""


def from_nvmetcli(saved: Any) -> dict[str, Any]:
    """The description. Raises AnsibleFilterError with the place of what is not understood."""
    if not isinstance(saved, Mapping):
        raise AnsibleFilterError("nvmetcli: the input must be the dictionary that nvmetcli saved; use from_json first")
    return _object(saved, KINDS["nvmet"], "nvmetcli")


def _object(saved: Any, kind: Kind, where: str) -> dict[str, Any]:
    if not isinstance(saved, Mapping):
        raise AnsibleFilterError(f"{where}: {_shown(saved)} must be the dictionary of a {kind.name}; correct it")
    inside = {*kind.groups, *kind.links, *kind.fixed}
    out = _attributes(_flat({name: value for name, value in saved.items() if name not in inside}), kind, where)
    for name, inner in kind.groups.items():
        out[name] = [_object(item, KINDS[inner], place) for item, place in _items(saved, name, where)]
    for name in kind.links:
        out[name] = [_name(item, place) for item, place in _items(saved, name, where)]
    for name in kind.fixed:
        found = _one(saved, name, kind, where)
        if found.get("device_path"):
            out[name] = found
    return out


def _attributes(flat: dict[Any, Any], kind: Kind, where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if kind.key:
        out[kind.key] = flat.pop(kind.key, None)
        if not isinstance(out[kind.key], (str, int)):
            raise AnsibleFilterError(f"{where}: {kind.key} is missing or no text; every {kind.name} has one")
    for row in kind.attributes:
        value = _value(row, flat.pop(row.file, None), where)
        if value is not None:
            out[row.name] = value
    if flat:
        names = ", ".join(sorted(map(str, flat)))
        raise AnsibleFilterError(f"{where}: {names} is not known of a {kind.name}; remove it")
    return out


def _flat(saved: Mapping[Any, Any]) -> dict[Any, Any]:
    """Attributes by their files: nvmetcli keeps the attribute addr_trtype as trtype in a dictionary addr."""
    out = {name: value for name, value in saved.items() if not isinstance(value, Mapping)}
    for group, inner in saved.items():
        if isinstance(inner, Mapping):
            out.update({f"{group}_{name}": value for name, value in inner.items()})
    return out


def _items(saved: Mapping[str, Any], name: str, where: str) -> list[tuple[Any, str]]:
    """What a list of nvmetcli's holds, each with its place."""
    items = saved.get(name, [])
    if not isinstance(items, list):
        raise AnsibleFilterError(f"{where}.{name}: {_shown(items)} must be a list; correct it")
    return [(item, f"{where}.{name}[{index}]") for index, item in enumerate(items)]


def _name(item: Any, where: str) -> str:
    if not isinstance(item, str):
        raise AnsibleFilterError(f"{where}: {_shown(item)} must be an NQN; correct it")
    return item


def _one(saved: Mapping[str, Any], name: str, kind: Kind, where: str) -> dict[str, Any]:
    """nvmetcli saves a list of the one there can be."""
    items = _items(saved, name, where)
    if len(items) > 1:
        raise AnsibleFilterError(f"{where}.{name} has {len(items)} entries, and a {kind.name} one; remove the others")
    return _object(items[0][0], KINDS[name], items[0][1]) if items else {}


def _shown(value: Any) -> str:
    """A value that may be of any size, or hold a key."""
    return f"a value of type {type(value).__name__}" if isinstance(value, (Mapping, list)) else shown(value)


def _value(row: Attribute, value: Any, where: str) -> Any:
    if value is None:
        return None
    if isinstance(value, (Mapping, list)):
        raise AnsibleFilterError(f"{where}: {row.file} must be a single value and is {_shown(value)}; correct it")
    try:
        return native(row.type, row.sanitise(value))
    except ValueError as error:
        # How nvmet shows what was never set.
        if str(value).strip() in ("", "(null)", "-1") or set(str(value)) <= set("0-"):
            return None
        told = "********" if row.secret else shown(value)
        raise AnsibleFilterError(f"{where}: {row.file} {told} {error}") from error


class FilterModule:
    """Tells Ansible the filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"from_nvmetcli": entrance(from_nvmetcli)}
