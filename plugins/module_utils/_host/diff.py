# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The connections of a host before and after a run, to compare; without secrets. Pure."""

from __future__ import annotations

import json
from typing import Any, Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import HIDDEN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import Desired
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import BY_NAME
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.plan import index
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Nvme


def shape(nvme: Nvme, hostnqn: str, want: Desired) -> dict[str, Any]:
    """What the host has, in the form of a description."""
    connections, own = {}, hostnqn or want.hostnqn
    for name, one in index(nvme, own).items():
        if one.hostnqn != own and name not in want.connections:
            continue
        known = want.connections.get(name, {})
        hidden = {key: HIDDEN if BY_NAME[key].secret else value for key, value in known.items()}
        shown = {**hidden, **{key: value for key, value in one.options.items() if key in known}}
        policy = nvme.subsystem(one.subsysnqn)
        connections[name] = {**shown, **({"iopolicy": policy.iopolicy} if policy and want.iopolicy else {})}
    return {"hostnqn": hostnqn, "connections": connections}


def shape_after(want: Desired, before: Mapping[str, Any], disconnects: Collection[str]) -> dict[str, Any]:
    """What the host is going to have."""
    connections = {
        name: {
            **{key: HIDDEN if BY_NAME[key].secret else value for key, value in one.items()},
            **({"iopolicy": want.iopolicy} if want.iopolicy else {}),
        }
        for name, one in want.connections.items()
    }
    kept = {name: one for name, one in before["connections"].items() if name not in disconnects}
    return {"hostnqn": want.hostnqn, "connections": {**kept, **connections}}


def dump(value: Mapping[str, Any]) -> str:
    """A shape as the text of a diff."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
