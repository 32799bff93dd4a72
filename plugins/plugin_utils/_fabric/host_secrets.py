# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The DH-HMAC-CHAP secrets of hosts: written once in the inventory, needed at both ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import malformed
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import variable
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import hostnqn

#: Option of a connection → variable of the host.
VARIABLES = {"dhchap_secret": "fabric_dhchap_secret", "dhchap_ctrl_secret": "fabric_dhchap_ctrl_secret"}


class BadSecret(ValueError):
    """A secret that cannot be used; the message never holds it."""


def secrets(host: str, hostvars: Mapping[str, Any]) -> dict[str, str]:
    """The secrets of a host by the option of its connections; empty for a host that authenticates by nothing."""
    found = {option: variable(hostvars, host, name) for option, name in VARIABLES.items()}
    for option, value in found.items():
        if value and malformed(str(value)):
            raise BadSecret(f"{VARIABLES[option]} of {host} {malformed(str(value))}")
    if found["dhchap_ctrl_secret"] and not found["dhchap_secret"]:
        raise BadSecret(
            f"{VARIABLES['dhchap_ctrl_secret']} of {host} is set without {VARIABLES['dhchap_secret']}: a target is "
            "authenticated after the host; set both, or the latter alone"
        )
    return {option: str(value) for option, value in found.items() if value}


def host_keys(
    subsystems: Sequence[Mapping[str, Any]], hosts: Iterable[str], hostvars: Mapping[str, Any]
) -> list[dict[str, str]]:
    """The hosts that have secrets and are let in, with their keys as a target takes them.

    subsystems: those of one target, their allowed_hosts NQNs. hosts: inventory names of all hosts.
    Raises BadSecret, and UnknownHost for a host with a secret and without a known NQN.
    """
    allowed = {nqn for subsystem in subsystems for nqn in subsystem.get("allowed_hosts") or []}
    out = []
    for host in hosts:
        found = secrets(host, hostvars)
        nqn = hostnqn(host, hostvars) if found else ""
        if nqn in allowed:
            out.append({"nqn": nqn, **{option.replace("secret", "key"): value for option, value in found.items()}})
    return out
