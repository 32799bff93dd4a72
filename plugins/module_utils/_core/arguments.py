# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Parameters of an Ansible module as what is done with them knows them: by the names of its argument_spec alone."""

from __future__ import annotations

from typing import Any, Mapping


def by_name(params: Mapping[str, Any], spec: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Checked parameters without the aliases, which Ansible leaves beside the names that it copies them to.

    All the way down; nothing else can be there, for Ansible has refused what the argument_spec does not name.
    """
    return {name: _value(params[name], option.get("options")) for name, option in spec.items() if name in params}


def _value(value: Any, spec: Mapping[str, Mapping[str, Any]] | None) -> Any:
    if spec and isinstance(value, list):
        return [by_name(one, spec) for one in value]
    return by_name(value, spec) if spec and isinstance(value, dict) else value
