# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Descriptions as data: what is saved for the next boot, and the two sides of a diff, without secrets."""

from __future__ import annotations

import json
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _discovery_options
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Desired, Plan, index
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import BY_NAME, DISCOVERY_NQN, normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Nvme
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import HIDDEN


def saved_description(description: Mapping[str, Any], want: Desired) -> dict[str, Any]:
    """What boot converges to: the identity is the one in use, and a disruption is allowed once only."""
    connections = [dict(one) for one in want.connections.values()]
    return {
        "connections": [one for one in connections if one["subsysnqn"] != DISCOVERY_NQN],
        "discovery": [one for one in connections if one["subsysnqn"] == DISCOVERY_NQN],
        "discovered": normalise(description.get("discovered") or {}),
        "gone": description.get("gone") or _discovery_options.GONE[0],
        "discovery_interval": description.get("discovery_interval", 0),
        "hostnqn": want.hostnqn,
        "hostid": want.hostid,
        "iopolicy": want.iopolicy,
        "prune": want.prune,
    }


def shape(nvme: Nvme, hostnqn: str, want: Desired) -> dict[str, Any]:
    connections = {}
    for name, one in index(nvme, hostnqn or want.hostnqn).items():
        known = want.connections.get(name, {})
        hidden = {key: HIDDEN if BY_NAME[key].secret else value for key, value in known.items()}
        shown = {**hidden, **{key: value for key, value in one.options.items() if key in known}}
        policy = nvme.subsystem(one.subsysnqn)
        connections[name] = {**shown, **({"iopolicy": policy.iopolicy} if policy and want.iopolicy else {})}
    return {"hostnqn": hostnqn, "connections": connections}


def planned_shape(want: Desired, before: Mapping[str, Any], steps: Plan) -> dict[str, Any]:
    connections = {
        name: {
            **{key: HIDDEN if BY_NAME[key].secret else value for key, value in one.items()},
            **({"iopolicy": want.iopolicy} if want.iopolicy else {}),
        }
        for name, one in want.connections.items()
    }
    kept = {name: one for name, one in before["connections"].items() if name not in steps.disconnects}
    return {"hostnqn": want.hostnqn, "connections": {**kept, **connections}}


def dump(value: Mapping[str, Any]) -> str:
    """A shape as the text of a diff."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"
