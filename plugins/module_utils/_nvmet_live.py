# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Who uses the target now: for each port, the hosts that are connected to it.

nvmet tells only in a debugfs that distributions leave out, so the port's established TCP connections are read instead.
A transport without such a sign counts as in use.
"""

from __future__ import annotations

import ipaddress
from typing import Collection, Iterator, NamedTuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_tree import Tree, key

#: Stands for hosts that cannot be told.
UNKNOWN = "unknown"
_ESTABLISHED = "01"


class Connection(NamedTuple):
    """An established TCP connection: our address and port, and the address of the other side."""

    address: str
    port: int
    peer: str


def connections(texts: list[str]) -> Iterator[Connection]:
    """The established connections of /proc/net/tcp and tcp6; subflows of MPTCP are among them."""
    for text in texts:
        for line in text.splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == _ESTABLISHED:
                here, port = fields[1].split(":")
                yield Connection(_address(here), int(port, 16), _address(fields[2].split(":")[0]))


def _address(text: str) -> str:
    # The kernel prints the address as 32-bit words of its own byte order, which is little on all it supports here.
    words = [bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8)]
    found = ipaddress.ip_address(b"".join(words))
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def users(tree: Tree, established: list[Connection], loops: Collection[str]) -> dict[str, list[str]]:
    """Path of each open port → addresses of the hosts connected to it, sorted; ports without any are left out.

    loops: NQNs that this machine itself is connected to by transport loop.
    """
    out: dict[str, list[str]] = {}
    for path, found in tree.objects.items():
        served = [key(link) for link in tree.links if link.startswith(f"{path}/subsystems/")]
        if found.kind == "port" and served:
            trtype = found.attributes.get("trtype")
            if trtype == "loop":
                peers = ["this machine"] if set(served) & set(loops) else []
            else:
                peers = _peers(found.attributes, established) if trtype in ("tcp", "mptcp") else [UNKNOWN]
            if peers:
                out[path] = peers
    return out


def _peers(port: dict[str, str], established: list[Connection]) -> list[str]:
    address, service = port.get("traddr", "").partition("%")[0], port.get("trsvcid")
    wildcard = address in ("0.0.0.0", "::")
    found = (one for one in established if str(one.port) == service and (wildcard or one.address == address))
    return sorted({one.peer for one in found})
