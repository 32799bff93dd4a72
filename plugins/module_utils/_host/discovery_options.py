# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What a description says of discovery: its controllers, and the options of what their logs will name."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_allowed import allowed_errors
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget, limit_errors
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import (
    DISCOVERY_NQN,
    argument_spec,
    errors,
    normalise,
)

#: keep: what has gone from the logs stays connected; disconnect: it is disconnected once nothing uses it.
GONE = ("keep", "disconnect")
#: With a keep-alive timeout a discovery controller is persistent; it never ends, for nobody but us would ask again.
_PERSISTENT = {"keep_alive_tmo": 30, "ctrl_loss_tmo": -1}
#: Seconds; a socket waits no longer.
_LONGEST = 2147483
_TRANSPORTS = ("mptcp", "tcp", "rdma")
#: What a discovery controller does not take, which has one queue and no I/O.
_OF_IO = ("subsysnqn", "nr_io_queues", "nr_write_queues", "nr_poll_queues", "fast_io_fail_tmo", "disable_sqflow",
          "discovery", "duplicate_connect", "hostnqn", "hostid")  # fmt: skip
#: What a discovery log says of a connection, and what says who the host is.
_OF_LOG = ("transport", "traddr", "trsvcid", "subsysnqn", "host_traddr", "host_iface", "discovery", "duplicate_connect",
           "hostnqn", "hostid")  # fmt: skip


def controllers(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The declared discovery controllers as connections: persistent ones, which takes a keep-alive timeout."""
    return [{**_PERSISTENT, **normalise(one), "subsysnqn": DISCOVERY_NQN} for one in description.get("discovery") or []]


def discovered(description: Mapping[str, Any]) -> dict[str, Any]:
    """The options of connections that logs name. Saved they are a list of one, which has its secrets kept apart."""
    given = description.get("discovered") or {}
    return normalise(given if isinstance(given, dict) else {key: one[key] for one in given for key in one})


def option_errors(description: Mapping[str, Any]) -> list[str]:
    """What is wrong with the interval, and with the options of what logs will name for each transport there will be."""
    some = {"traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": DISCOVERY_NQN}
    transports = dict.fromkeys(one["transport"] for one in controllers(description) if "transport" in one)
    found = [
        one for transport in transports for one in errors({**some, "transport": transport, **discovered(description)})
    ]
    interval, wrong = description.get("discovery_interval") or 0, []
    if isinstance(interval, bool) or not isinstance(interval, int) or not 0 <= interval <= _LONGEST:
        shown = repr(interval) if len(repr(interval)) < 30 else "a number that is too large"
        wrong = [f"discovery_interval is {shown}; it must be from 0 to {_LONGEST}"]
    wrong += allowed_errors(description.get("discovery_networks") or [], description.get("discovery_nqns") or [])
    wrong += limit_errors(rules(description).get("discovery_limits", {}))
    return wrong + [f"discovered: {one}" for one in dict.fromkeys(found)]


def rules(description: Mapping[str, Any]) -> dict[str, Any]:
    """What is written of the places and the costs of what logs name."""
    given = {key: description.get(key) for key in ("discovery_networks", "discovery_nqns")}
    limits = {kind: most for kind, most in (description.get("discovery_limits") or {}).items() if most is not None}
    return {
        **{key: value for key, value in given.items() if value is not None},
        **({"discovery_limits": limits} if limits else {}),
    }


def budget(description: Mapping[str, Any]) -> Budget:
    """The budget of a round that begins now."""
    limits = rules(description).get("discovery_limits", {})
    return Budget({} if limit_errors(limits) else limits)


def discovery_spec() -> dict[str, dict[str, Any]]:
    """The suboptions of a discovery controller for an Ansible module."""
    spec = {name: one for name, one in argument_spec().items() if name not in _OF_IO}
    spec["transport"]["choices"] = list(_TRANSPORTS)
    for name, value in _PERSISTENT.items():
        spec[name]["default"] = value
    spec["traddr"]["required"] = spec["trsvcid"]["required"] = True
    return spec


def discovered_spec() -> dict[str, dict[str, Any]]:
    """The suboptions of the connections that logs name."""
    return {name: one for name, one in argument_spec().items() if name not in _OF_LOG}
