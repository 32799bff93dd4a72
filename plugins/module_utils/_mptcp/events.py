# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What happens to NICs, addresses, neighbours, our routes and MPTCP subflows, as the kernel tells it; nothing is asked.

Source: rtnetlink(7), include/uapi/linux/{neighbour,fib_rules,filter,mptcp_pm}.h,
Documentation/netlink/specs/mptcp_pm.yaml.
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

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import pm
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.actual import PROTOCOL

#: Events come in bursts: this long without one ends a burst, and no burst lasts longer than the second, in seconds.
QUIET, LONGEST = 0.5, 3.0
_RTMGRP_LINK, _RTMGRP_NEIGH, _RTMGRP_IPV4_IFADDR, _RTMGRP_IPV6_IFADDR = 0x1, 0x4, 0x10, 0x100
_RTMGRP_IPV4_ROUTE, _RTMGRP_IPV4_RULE, _RTMGRP_IPV6_ROUTE = 0x40, 0x80, 0x400
# RTNLGRP_IPV6_RULE is 19; it has no constant of the older kind.
_IPV6_RULE = 1 << (19 - 1)
_NICS, _ROUTES = _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV6_IFADDR, _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE
_GROUPS = _NICS | _ROUTES | _RTMGRP_IPV4_RULE | _IPV6_RULE | _RTMGRP_NEIGH
_RTM_NEWROUTE, _RTM_DELROUTE, _RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_NEWRULE, _RTM_DELRULE = 24, 25, 28, 29, 32, 33
_DELETED = (_RTM_DELROUTE, _RTM_DELRULE)
_NUD_FAILED = 0x20
_FRA_PROTOCOL = 21
_LOAD_HALF, _LOAD_BYTE, _LOAD_BYTE_AT_INDEX, _LOAD_NUMBER, _LOAD_INDEX = 0x28, 0x30, 0x50, 0x00, 0x01
_TO_INDEX, _JUMP_EQUAL, _GIVE = 0x07, 0x15, 0x06
# SKF_AD_OFF + SKF_AD_NLATTR: where the attribute is whose type is in the index register; 0 if there is none.
_FIND_ATTRIBUTE = 0xFFFFF000 + 12
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _SO_ATTACH_FILTER = 270, 1, 26
_SF_CLOSED = 11
_ATTR_SADDR4, _ATTR_SADDR6, _ATTR_ERROR = 5, 6, 12


@dataclass
class Seen:
    """One burst.

    network: a NIC or an address changed. deleted: somebody deleted a route or rule of ours. neighbours: one does
    not answer any more. subflows: one came or went. closed: why a subflow ended, by its local address.
    """

    network: bool = False
    deleted: bool = False
    neighbours: bool = False
    subflows: bool = False
    closed: dict[str, str] = field(default_factory=dict)


class Events:
    """Listens from the moment it is made, so that nothing is missed; takes CAP_NET_ADMIN."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._network = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        _only_what_matters(self._network)
        self._network.bind((0, _GROUPS))
        subflows = socket.socket(socket.AF_NETLINK, kind, netlink.NETLINK_GENERIC)
        subflows.bind((0, 0))
        group = netlink.multicast_group(pm.FAMILY, "mptcp_pm_events")
        subflows.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
        self._sockets = [self._network, subflows]
        self._deleted_at = -LONGEST

    def wait(self, longest: float | None = None) -> Seen:
        """The next burst of events, or nothing when none began within so many seconds."""
        seen = Seen()
        if self._receive(longest, seen):
            ends = time.monotonic() + LONGEST
            while time.monotonic() < ends and self._receive(self._quiet(seen), seen):
                pass
            self._deleted_at = time.monotonic() if seen.deleted else self._deleted_at
        return seen

    def _quiet(self, seen: Seen) -> float:
        # A program that deletes what we add each time is answered once in LONGEST; nothing else waits for it.
        alone = seen == Seen(deleted=True)
        return max(QUIET, self._deleted_at + LONGEST - time.monotonic()) if alone else QUIET

    def _receive(self, timeout: float | None, seen: Seen) -> bool:
        heard = False
        for channel in select.select(self._sockets, [], [], timeout)[0]:
            try:
                data = netlink.received(channel)
                if not data:
                    continue
            except OSError as error:
                # The kernel had to drop events: something happened.
                if error.errno != errno.ENOBUFS:
                    raise
                data = b""
            heard = True
            if channel is self._network:
                kinds = {kind for kind, _payload in netlink.split(data)}
                seen.neighbours |= _RTM_NEWNEIGH in kinds
                seen.deleted |= not kinds.isdisjoint(_DELETED)
                seen.network |= not kinds or not kinds <= {_RTM_NEWNEIGH, *_DELETED}
            else:
                seen.subflows = True
                seen.closed.update(closed(data))
        return heard


def closed(data: bytes) -> dict[str, str]:
    """Local address to the reason of each subflow whose end a datagram of the path manager tells."""
    found = {}
    for _kind, payload in netlink.split(data):
        event, attributes = netlink.command(payload)
        if event == _SF_CLOSED:
            family, raw = socket.AF_INET, attributes.get(_ATTR_SADDR4)
            if raw is None:
                family, raw = socket.AF_INET6, attributes.get(_ATTR_SADDR6, b"\0" * 16)
            code = attributes.get(_ATTR_ERROR, b"\0")[0]
            found[socket.inet_ntop(family, raw)] = os.strerror(code) if code else "closed"
    return found


def _only_what_matters(channel: socket.socket) -> None:
    """Let the kernel deliver only what nobody but us can set right, and not what happens all the time.

    Of neighbours, which are reachable and stale by turns: those that do not answer any more. Of routes and rules: the
    deletion of one with our protocol number, by whomever; what is added, and so what we add, wakes nobody.
    The loads of a filter are big-endian and the messages are not: nlmsg_type is at 4, ndm_state at 24, rtm_protocol
    at 21, and the attributes of a rule begin at 28. Source: Documentation/networking/filter.rst.
    """
    ours = int(PROTOCOL)
    program = [
        (_LOAD_HALF, 0, 0, 4),
        (_JUMP_EQUAL, 17, 0, socket.htons(_RTM_NEWROUTE)),
        (_JUMP_EQUAL, 16, 0, socket.htons(_RTM_NEWRULE)),
        (_JUMP_EQUAL, 15, 0, socket.htons(_RTM_DELNEIGH)),
        (_JUMP_EQUAL, 2, 0, socket.htons(_RTM_NEWNEIGH)),
        (_JUMP_EQUAL, 3, 0, socket.htons(_RTM_DELROUTE)),
        (_JUMP_EQUAL, 4, 11, socket.htons(_RTM_DELRULE)),
        (_LOAD_HALF, 0, 0, 24),
        (_JUMP_EQUAL, 9, 10, socket.htons(_NUD_FAILED)),
        (_LOAD_BYTE, 0, 0, 21),
        (_JUMP_EQUAL, 7, 8, ours),
        (_LOAD_NUMBER, 0, 0, 28),
        (_LOAD_INDEX, 0, 0, _FRA_PROTOCOL),
        (_LOAD_BYTE, 0, 0, _FIND_ATTRIBUTE),
        (_JUMP_EQUAL, 4, 0, 0),
        (_TO_INDEX, 0, 0, 0),
        (_LOAD_BYTE_AT_INDEX, 0, 0, 4),
        (_JUMP_EQUAL, 0, 1, ours),
        (_GIVE, 0, 0, 0xFFFFFFFF),
        (_GIVE, 0, 0, 0),
    ]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    # An array rather than ctypes: its memory does not move, and ctypes needs memory that can be written and run.
    buffer = array.array("B", code)
    channel.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), buffer.buffer_info()[0]))
