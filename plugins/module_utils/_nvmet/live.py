# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Who uses the target now: for each port, the hosts that are connected to it.

nvmet tells only in its debugfs, which kernels may leave out; then the port's established TCP connections are read
instead, and a transport without such a sign counts as in use.
"""

from __future__ import annotations

import ipaddress
from typing import Collection, Iterator, NamedTuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import Kernel
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree

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


def users(tree: Tree, kernel: Kernel) -> dict[tuple[str, str], list[str]]:
    """(path of a port, NQN of a subsystem) → the hosts that use it there, sorted; what nobody uses is left out.

    Hosts are NQNs where nvmet tells them, else addresses; a connection then counts for every subsystem of its port.
    """
    told = kernel.controllers()
    if told is not None:
        hosts: dict[tuple[str, str], set[str]] = {}
        for nqn, port, host in told:
            hosts.setdefault((f"ports/{port}", nqn), set()).add(host)
        return {served: sorted(found) for served, found in hosts.items()}
    established, loops = list(connections(kernel.sockets())), kernel.loops()
    begun = kernel.mptcp() if any(one.attributes.get("trtype") == "mptcp" for one in tree.objects.values()) else []
    out = {}
    for link in tree.links:
        port, _, nqn = link.partition("/subsystems/")
        if port in tree.objects and tree.objects[port].kind == "port":
            peers = _hosts(tree.objects[port].attributes, nqn, established, begun, loops)
            out.update({(port, nqn): peers} if peers else {})
    return out


def _hosts(
    port: dict[str, str],
    nqn: str,
    established: list[Connection],
    begun: list[tuple[str, int, str]] | None,
    loops: Collection[str],
) -> list[str]:
    if port.get("trtype") == "loop":
        return ["this machine"] if nqn in loops else []
    if port.get("trtype") not in ("tcp", "mptcp"):
        return [UNKNOWN]
    if port.get("trtype") == "tcp":
        return _peers(port, established)
    # Subflows join on whatever address this machine has announced, and the first one may be gone: only the connection
    # knows its port. Where the kernel does not tell, every subflow to this number counts.
    both = [*established, *(Connection(*one) for one in begun or ())]
    return _peers(port, both, anywhere=begun is None)


def _peers(port: dict[str, str], found: list[Connection], anywhere: bool = False) -> list[str]:
    address, service = port.get("traddr", "").partition("%")[0], port.get("trsvcid")
    anywhere = anywhere or address in ("0.0.0.0", "::")
    return sorted({one.peer for one in found if str(one.port) == service and (anywhere or one.address == address)})
