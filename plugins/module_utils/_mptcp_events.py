# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What happens to NICs, addresses, neighbours and MPTCP subflows, as the kernel tells it; nothing is asked for.

Source: rtnetlink(7), include/uapi/linux/{neighbour,mptcp_pm}.h, Documentation/netlink/specs/mptcp_pm.yaml.
"""

from __future__ import annotations

import array
import errno
import os
import select
import socket
import struct
import time
from dataclasses import dataclass, field

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _mptcp_pm, _netlink

#: Events come in bursts: this long without one ends a burst, and no burst lasts longer than the second, in seconds.
QUIET, LONGEST = 0.5, 3.0
_RTMGRP_LINK, _RTMGRP_NEIGH, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x4, 0x10, 0x100
_RTM_NEWNEIGH = 28
_NUD_FAILED = 0x20
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _SO_ATTACH_FILTER = 270, 1, 26
_SF_CLOSED = 11
_ATTR_SADDR4, _ATTR_SADDR6, _ATTR_ERROR = 5, 6, 12


@dataclass
class Seen:
    """One burst.

    network: a NIC or an address changed. neighbours: one does not answer any more. subflows: one came or went.
    closed: why a subflow ended, by its local address.
    """

    network: bool = False
    neighbours: bool = False
    subflows: bool = False
    closed: dict[str, str] = field(default_factory=dict)


class Events:
    """Listens from the moment it is made, so that nothing is missed; takes CAP_NET_ADMIN."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._network = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        _only_failed_neighbours(self._network)
        self._network.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR | _RTMGRP_NEIGH))
        subflows = socket.socket(socket.AF_NETLINK, kind, _netlink.NETLINK_GENERIC)
        subflows.bind((0, 0))
        group = _netlink.multicast_group(_mptcp_pm.FAMILY, "mptcp_pm_events")
        subflows.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        self._sockets = [self._network, subflows]

    def wait(self, longest: float | None = None) -> Seen:
        """The next burst of events, or nothing when none began within so many seconds."""
        seen = Seen()
        if self._receive(longest, seen):
            ends = time.monotonic() + LONGEST
            while time.monotonic() < ends and self._receive(QUIET, seen):
                pass
        return seen

    def _receive(self, timeout: float | None, seen: Seen) -> bool:
        ready = select.select(self._sockets, [], [], timeout)[0]
        for channel in ready:
            try:
                data = channel.recv(1 << 16)
            except OSError as error:
                # The kernel had to drop events: something happened.
                if error.errno != errno.ENOBUFS:
                    raise
                data = b""
            if channel is self._network:
                failed = [kind == _RTM_NEWNEIGH for kind, _payload in _netlink.split(data)]
                seen.neighbours |= any(failed)
                seen.network |= not all(failed) or not failed
            else:
                seen.subflows = True
                seen.closed.update(closed(data))
        return bool(ready)


def closed(data: bytes) -> dict[str, str]:
    """Local address to the reason of each subflow whose end a datagram of the path manager tells."""
    found = {}
    for _kind, payload in _netlink.split(data):
        event, attributes = _netlink.command(payload)
        if event == _SF_CLOSED:
            family, raw = socket.AF_INET, attributes.get(_ATTR_SADDR4)
            if raw is None:
                family, raw = socket.AF_INET6, attributes.get(_ATTR_SADDR6, b"\0" * 16)
            code = attributes.get(_ATTR_ERROR, b"\0")[0]
            found[socket.inet_ntop(family, raw)] = os.strerror(code) if code else "closed"
    return found


def _only_failed_neighbours(channel: socket.socket) -> None:
    """Of the messages about neighbours, let the kernel deliver only those that one does not answer any more.

    A neighbour in use changes between reachable and stale all the time. The loads of a filter are big-endian and the
    messages are not: nlmsg_type is at 4, ndm_state at 24. Source: Documentation/networking/filter.rst.
    """
    load_half, jump_equal, give = 0x28, 0x15, 0x06
    program = [
        (load_half, 0, 0, 4),
        (jump_equal, 0, 2, socket.htons(_RTM_NEWNEIGH)),
        (load_half, 0, 0, 24),
        (jump_equal, 0, 1, socket.htons(_NUD_FAILED)),
        (give, 0, 0, 0xFFFFFFFF),
        (give, 0, 0, 0),
    ]
    # A message that is not about a neighbour goes from the first comparison to the delivery.
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    # An array rather than ctypes: its memory does not move, and ctypes needs memory that can be written and run.
    buffer = array.array("B", code)
    channel.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), buffer.buffer_info()[0]))
