# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Other keys for one host of a target, everything else as it was saved."""

from __future__ import annotations

import os
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import HOST
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine, Result, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT, restored

_KEYS = tuple(row.name for row in HOST.attributes if row.secret)


class NotServed(Exception):
    """There is nothing saved that the keys could go into; the message says what to run first."""


def give(nqn: str, keys: Mapping[str, str], check: bool = False, machine: Machine | None = None) -> Result:
    """Converge the target to what was saved of it, with these keys of one host in place of those it had.

    keys: by the name of their attribute, C(dhchap_key) and C(dhchap_ctrl_key).
    Raises NotServed, and what converge raises; with check also Busy.
    """
    on = machine or Machine()
    if check and os.path.exists(os.path.join(on.locks, "target.lock")):
        # What cannot be done now is to be known before another target is changed. The file is there already.
        with lock.lock("target", folder=on.locks):
            pass
    saved = state.load(COMPONENT, on.config_dir)
    if saved is None:
        raise NotServed("this target was never set up: run targets.yml first")
    description, unreadable = restored(saved, on.config_dir)
    hosts = [dict(host) for host in description["hosts"]]
    if nqn not in {host["nqn"] for host in hosts}:
        raise NotServed(f"this target lets no host {nqn} in: name it in allowed_hosts and run targets.yml first")
    others = {other: why for other, why in unreadable.items() if other != nqn}
    if others:
        raise NotServed("; ".join(f"host {other}: {why}" for other, why in others.items()))
    description["hosts"] = [_with(host, keys) if host["nqn"] == nqn else host for host in hosts]
    return converge(description, check=check, prune=saved.get("prune", "owned"), machine=on)


def _with(host: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, Any]:
    return {**{name: value for name, value in host.items() if name not in _KEYS}, **keys}
