# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What discovery logs named when they could be read last, for a boot that finds a discovery address dead. Pure.

The names are all that is kept of it: a name has everything that makes a connection what it is, and its options are
those of the description.
"""

from __future__ import annotations

import re
from typing import Any, Iterable, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, errors, normalise

_NAME = re.compile(
    r"(?P<transport>mptcp|tcp|rdma) (\[(?P<ipv6>[^\s\]]+)\]|(?P<ipv4>[^\s:]+)):(?P<trsvcid>\d+) (?P<subsysnqn>\S+)"
    r"( host_traddr=(?P<host_traddr>\S+))?( host_iface=(?P<host_iface>\S+))?"
)
_LOCAL = ("host_traddr", "host_iface")


def parsed(name: str) -> dict[str, str]:
    """The connection that name_of() called so, without options; nothing for one that no log can name."""
    found = _NAME.fullmatch(name)
    given = {key: text for key, text in found.groupdict().items() if text} if found else {}
    address = given.pop("ipv6", "") or given.pop("ipv4", "")
    return {**given, "traddr": address} if given else {}


def addresses_of(names: Iterable[str]) -> list[str]:
    """The addresses in the names, but those of what no log can name."""
    return [who["traddr"] for who in map(parsed, names) if who]


def remembered(
    names: Iterable[str], roots: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Connections by name, with the options that they would have if a log named them now.

    roots: the declared discovery controllers, whose transports alone are used and whose options their referrals have.
    options: those of all other connections.
    """
    out = {}
    for name in names:
        who = parsed(name)
        root = next((one for one in roots if one["transport"] == who.get("transport")), None)
        if root is None:
            continue
        refers = who["subsysnqn"] == DISCOVERY_NQN
        connection = {**({key: root[key] for key in root if key not in _LOCAL} if refers else options), **who}
        if not errors(connection):
            out[name] = normalise(connection)
    return out
