# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What the kernel counts: MPTcpExt counters with their meaning, and the bytes of each NIC."""

from __future__ import annotations

import os
from typing import Any

#: Counters that say why a connection has fewer subflows than planned, and what each of them means.
MEANINGS = {
    "MPCapableFallbackACK": "a peer asked for plain TCP: no MPTCP in its kernel, or its option was dropped on the way",
    "MPCapableFallbackSYNACK": "the peer answered a request for MPTCP with plain TCP",
    "MPCapableSYNTXDrop": "the first packet got no answer with the MPTCP option and was repeated without it",
    "MPCapableSYNTXDisabled": "MPTCP was not tried: a blackhole was suspected earlier (net.mptcp.blackhole_timeout)",
    "Blackhole": "MPTCP was switched off for a while because packets with its options got no answer",
    "DssFallback": "an established connection fell back to plain TCP: something on the way changes the stream",
    "MPFailTx": "a checksum did not match, so a subflow was given up",
    "MPFailRx": "the peer saw a checksum that did not match, so a subflow was given up",
    "MPJoinRejected": "a subflow was refused: the limit of subflows is reached or the connection does not take it",
    "MPJoinSynTxConnectErr": "a subflow could not be opened: no route to the peer from that address",
    "MPJoinSynTxBindErr": "a subflow could not be opened: its address or NIC is gone",
    "MPJoinSynTxCreatSkErr": "a subflow could not be opened: no socket",
    "MPJoinSynAckHMacFailure": "a subflow's authentication failed",
    "MPJoinAckHMacFailure": "a subflow's authentication failed",
    "MPJoinNoTokenFound": "a subflow arrived for a connection that does not exist here",
    "SubflowStale": "a subflow made no progress and is passed over until it does",
}
#: Those of them after which data no longer uses every planned path.
FALLBACKS = (
    "MPCapableFallbackACK",
    "MPCapableFallbackSYNACK",
    "MPCapableSYNTXDrop",
    "MPCapableSYNTXDisabled",
    "Blackhole",
    "DssFallback",
)
JOIN_FAILURES = tuple(name for name in MEANINGS if name.startswith("MPJoin"))


def parse_netstat(text: str) -> dict[str, int]:
    """MPTcpExt counters of /proc/net/netstat, whose lines come in pairs: names, then values."""
    lines = [line.split() for line in text.splitlines()]
    for names, values in zip(lines, lines[1:]):
        if names[:1] == ["MPTcpExt:"] == values[:1]:
            return {name: int(value) for name, value in zip(names[1:], values[1:])}
    return {}


def counters(root: str = "/") -> dict[str, int]:
    """The MPTCP counters of this network namespace since boot; empty when the kernel has no MPTCP."""
    with open(os.path.join(root, "proc/net/netstat"), encoding="ascii") as stream:
        return parse_netstat(stream.read())


def interfaces(root: str = "/") -> dict[str, dict[str, Any]]:
    """Bytes and link state of every NIC but the loopback."""
    base = os.path.join(root, "sys/class/net")
    found = {}
    for name in sorted(os.listdir(base)):
        if name == "lo" or not os.path.isdir(os.path.join(base, name, "statistics")):
            continue
        found[name] = {
            "rx_bytes": int(_read(base, name, "statistics/rx_bytes") or 0),
            "tx_bytes": int(_read(base, name, "statistics/tx_bytes") or 0),
            "operstate": _read(base, name, "operstate"),
            # Reading carrier of an interface that is administratively down is EINVAL.
            "carrier": _read(base, name, "carrier") == "1",
        }
    return found


def _read(*parts: str) -> str:
    try:
        with open(os.path.join(*parts), encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return ""
