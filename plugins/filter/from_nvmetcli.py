# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What C(nvmetcli save) wrote → a description for M(nvmeof.mptcp.nvmet_config)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_attributes import KINDS, Attribute, Kind
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_tree import native

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


def _object(saved: Mapping[str, Any], kind: Kind, where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    # nvmetcli keeps the attribute addr_trtype as trtype in a dictionary addr.
    flat = {f"{group}_{name}": value for group, inner in saved.items() if isinstance(inner, Mapping)
            and group not in kind.fixed for name, value in inner.items()}  # fmt: skip
    flat |= {name: value for name, value in saved.items() if not isinstance(value, (Mapping, list))}
    if kind.key:
        out[kind.key] = flat.pop(kind.key, None)
    for row in kind.attributes:
        value = _value(row, flat.pop(row.file, None), where)
        if value is not None:
            out[row.name] = value
    for name, inner in {**kind.groups, **kind.links}.items():
        items = saved.get(name) or []
        out[name] = [
            _object(item, KINDS[inner], f"{where}.{name}[{index}]") if name in kind.groups else item
            for index, item in enumerate(items)
        ]
    for name in kind.fixed:
        # nvmetcli saves a list of the one there can be.
        entries = saved.get(name) or [{}]
        if len(entries) > 1:
            raise AnsibleFilterError(
                f"{where}.{name} has {len(entries)} entries, and a {kind.name} one; remove the others"
            )
        found = _object(entries[0], KINDS[name], f"{where}.{name}")
        if found.get("device_path"):
            out[name] = found
    unknown = set(flat) | {name for name, value in saved.items() if isinstance(value, list)} - {*out, *kind.fixed}
    if unknown:
        raise AnsibleFilterError(f"{where}: {', '.join(sorted(unknown))} is not known of a {kind.name}; remove it")
    return out


def _value(row: Attribute, value: Any, where: str) -> Any:
    if value is None:
        return None
    try:
        return native(row.type, row.sanitise(value))
    except ValueError as error:
        # How nvmet shows what was never set.
        if str(value).strip() in ("", "(null)", "-1") or set(str(value)) <= set("0-"):
            return None
        shown = "********" if row.secret else repr(value)
        raise AnsibleFilterError(f"{where}: {row.file} {shown} {error}") from error


class FilterModule:
    """Tells Ansible the filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"from_nvmetcli": from_nvmetcli}
