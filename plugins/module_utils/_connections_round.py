# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What is to be there besides what is: the description, what the discovery logs add to it, and the plan between."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import replace
from typing import Any, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _discovery, _discovery_options, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import (
    Desired,
    Invalid,
    Plan,
    desired,
    index,
    plan,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._device_users import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery import Followed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery_log import Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import DISCOVERY_NQN, name_of, normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Controller, Nvme

SLICE = "host"
#: Names of the connections that a discovery log gave, in the file of what is ours beside that of the slice.
NAMED = "host.discovered"


def declared_by(description: Mapping[str, Any], hostnqn: str, hostid: str) -> Desired:
    """The checked description; its discovery controllers are connections too. Raises Invalid."""
    found = _discovery_options.option_errors(description)
    parts: list[Desired] = []
    for name, connections in (
        ("connections", description["connections"]),
        ("discovery", _discovery_options.controllers(description)),
    ):
        try:
            parts.append(
                desired(
                    connections,
                    hostnqn,
                    hostid,
                    iopolicy=description.get("iopolicy", ""),
                    prune=description.get("prune", "owned"),
                    allow_disruption=tuple(description.get("allow_disruption", ())),
                )
            )
        except Invalid as error:
            found += [re.sub(r"^connections\[", f"{name}[", one) for one in error.errors]
    if found:
        raise Invalid(found)
    return replace(parts[0], connections={**parts[0].connections, **parts[1].connections})


class Round:
    """What is to be there, looked at again whenever something was connected: its logs may name more."""

    def __init__(self, description: Mapping[str, Any], declared: Desired, last: Collection[str]) -> None:
        self.description = description
        self.declared = declared
        self.want = declared
        self.followed = Followed()
        #: Connections that this run made, by name, with all their options.
        self.made: dict[str, Mapping[str, Any]] = {}
        self._last = last
        # One reading of a log serves the whole run; a change after it is an event, and the next run.
        self._logs: dict[str, Sequence[Entry]] = {}

    def plan(self, nvme: Nvme) -> Plan:
        """Follow the logs and plan; want and followed are as of this reading."""
        before = self.followed.gone
        self.followed = _discovery.follow(
            self.description,
            self.declared.connections,
            index(nvme, self.declared.hostnqn),
            _state.owned(NAMED),
            self._read,
            users,
        )
        # What this run has disconnected is in no reading any more, and still to be told.
        self.followed.gone = {
            **{name: what for name, what in before.items() if name not in self.followed.named},
            **self.followed.gone,
        }
        wanted = {**self.declared.connections, **self.followed.connections}
        order = sorted(wanted, key=lambda name: name in self._last)
        self.want = replace(self.declared, connections={name: wanted[name] for name in order})
        return _plan(self.want, nvme, {**self._previous(), **self.made})

    def unread(self, nvme: Nvme) -> list[str]:
        """Discovery controllers that are live and yet gave no log."""
        live = {name for name, one in index(nvme, self.want.hostnqn).items() if one.state == "live"}
        return sorted(live & set(self.followed.unread))

    def own(self, ahead: bool) -> None:
        """Write down what is ours: ahead of a change all that was and will be, after it what is."""
        for kept, names in ((SLICE, set(self.want.connections)), (NAMED, self.followed.named)):
            _state.own(kept, sorted({*_state.owned(kept), *names} if ahead else names))

    def _read(self, controller: Controller) -> Sequence[Entry]:
        if controller.name not in self._logs:
            self._logs[controller.name] = _discovery.kernel_log(controller)
        return self._logs[controller.name]

    def _previous(self) -> dict[str, Mapping[str, Any]]:
        """The connections last applied, by name. Those that logs gave got the options that were saved for all."""
        saved = _state.load(SLICE) or {"connections": []}
        known = map(normalise, [*saved["connections"], *_discovery_options.controllers(saved)])
        previous: dict[str, Mapping[str, Any]] = {name_of(one): one for one in known}
        for name in (set(_state.owned(NAMED)) & self.followed.named) - self.followed.kept:
            one = self.want.connections[name]
            if one["subsysnqn"] != DISCOVERY_NQN:
                who = {key: one[key] for key in _discovery.WHO if key in one}
                previous.setdefault(name, normalise({**(saved.get("discovered") or {}), **who}))
        return previous


def _plan(want: Desired, nvme: Nvme, previous: Mapping[str, Mapping[str, Any]]) -> Plan:
    steps = plan(want, nvme, _state.owned(SLICE), previous, functools.lru_cache(maxsize=None)(users), _loaded)
    # A discovery controller has no namespaces to spread I/O over.
    steps.operations = [one for one in steps.operations if one.about != DISCOVERY_NQN]
    return steps


def _loaded(module: str) -> bool:
    return os.path.isdir(f"/sys/module/{module}")
