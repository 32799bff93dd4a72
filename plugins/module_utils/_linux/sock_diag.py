# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""MPTCP connections and their subflows as the kernel reports them over sock_diag(7) netlink.

Source of numbers and layouts: Linux include/uapi/linux/{sock_diag,inet_diag,mptcp,tcp}.h, all append-only.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink

_SOCK_DIAG_BY_FAMILY = 20
_IPPROTO_MPTCP = 262
_REQ_PROTOCOL = 3
_INFO, _ULP_INFO = 2, 19
_ULP_MPTCP = 3
_TOKEN_LOC, _FLAGS, _ID_REM, _ID_LOC = 2, 8, 9, 10
_FLAG_BACKUP = (1 << 4) | (1 << 5)
_FLAG_FALLBACK = 1
_ESTABLISHED = 1
# LISTEN (10), SYN_RECV (3), TIME_WAIT (6) and CLOSE (7) carry no data.
_STATES = 0xFFF & ~(1 << 10 | 1 << 3 | 1 << 6 | 1 << 7)


@dataclass
class Subflow:
    """One TCP flow of a connection. Counts are since it was established.

    backoffs: how often TCP has doubled its retransmission timeout without an answer; 0 when nothing waits for one.
    retry_in_ms: when TCP sends again what was not answered, -1 when nothing waits.
    rate: bytes per second that were delivered when the subflow was last busy.
    """

    local: str
    local_port: int
    remote: str
    remote_port: int
    established: bool
    backup: bool
    address_id: int
    rtt_us: int
    bytes_sent: int
    bytes_received: int
    retransmissions: int
    backoffs: int = 0
    retry_in_ms: int = -1
    rate: int = 0
    token: int = field(repr=False, default=0)

    @property
    def stale(self) -> bool:
        """Whether TCP has waited in vain twice: the far end is silent, and the kernel passes the subflow over."""
        return self.established and self.backoffs >= 2

    @property
    def state(self) -> str:
        """C(opening), C(stale), C(backup) or C(active)."""
        if not self.established:
            return "opening"
        return "stale" if self.stale else "backup" if self.backup else "active"


@dataclass
class Connection:
    """One MPTCP connection; token is the kernel's name for it. A fallback is a single plain TCP flow.

    bytes_acked, bytes_received: since it was made, over all its subflows, also those that are gone.
    """

    token: int
    local: str
    local_port: int
    remote: str
    remote_port: int
    established: bool
    fallback: bool
    bytes_acked: int = 0
    bytes_received: int = 0
    subflows: list[Subflow] = field(default_factory=list)


def _attributes(data: bytes) -> dict[int, bytes]:
    return dict(netlink.attributes(data))


def _dump(family: int, protocol: int) -> list[bytes]:
    """Every inet_diag_msg of one family and protocol; raises OSError when the kernel cannot dump it."""
    query = struct.pack("=BBBBI48x", family, min(protocol, 255), 1 << (_INFO - 1), 0, _STATES)
    if protocol > 255:
        query += netlink.attribute(_REQ_PROTOCOL, struct.pack("=I", protocol))
    try:
        return netlink.request(netlink.NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, query, dump=True)
    except OSError as error:
        raise _error(error.errno or 0, protocol) from error


def _error(code: int, protocol: int) -> OSError:
    name = "mptcp_diag" if protocol == _IPPROTO_MPTCP else "tcp_diag"
    hint = f"; the kernel module {name} is missing" if code in (errno.ENOENT, errno.EPROTONOSUPPORT) else ""
    return OSError(code, f"sock_diag refused to list sockets: {os.strerror(code)}{hint}")


def _text(raw: bytes, family: int) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[:4])
    text = socket.inet_ntop(family, raw)
    # A v4-mapped address is the IPv4 address that the user wrote.
    return text[len("::ffff:") :] if text.startswith("::ffff:") and "." in text else text


def _common(message: bytes) -> dict[str, Any]:
    family, state = message[0], message[1]
    local_port, remote_port = struct.unpack_from(">HH", message, 4)
    return {
        "local": _text(message[8:24], family),
        "local_port": local_port,
        "remote": _text(message[24:40], family),
        "remote_port": remote_port,
        "established": state == _ESTABLISHED,
    }


def _connection(message: bytes) -> Connection | None:
    info = _attributes(message[72:]).get(_INFO)
    if info is None or len(info) < 16:
        return None
    flags, token = struct.unpack_from("=II", info, 8)
    received, acked = struct.unpack_from("=QQ", info.ljust(80, b"\0"), 64)
    fallback = bool(flags & _FLAG_FALLBACK)
    return Connection(token=token, fallback=fallback, bytes_acked=acked, bytes_received=received, **_common(message))


def _subflow(message: bytes) -> Subflow | None:
    attributes = _attributes(message[72:])
    mptcp = _attributes(_attributes(attributes.get(_ULP_INFO, b"")).get(_ULP_MPTCP, b""))
    if _TOKEN_LOC not in mptcp:
        return None
    info = attributes.get(_INFO, b"").ljust(232, b"\0")
    flags = struct.unpack("=I", mptcp[_FLAGS][:4])[0] if _FLAGS in mptcp else 0
    return Subflow(
        backup=bool(flags & _FLAG_BACKUP),
        address_id=mptcp[_ID_LOC][0] if _ID_LOC in mptcp else 0,
        rtt_us=struct.unpack_from("=I", info, 68)[0],
        retransmissions=struct.unpack_from("=I", info, 100)[0],
        backoffs=info[4],
        # idiag_timer 1 is the retransmission timer.
        retry_in_ms=struct.unpack_from("=I", message, 52)[0] if message[2] == 1 and info[4] else -1,
        rate=struct.unpack_from("=Q", info, 160)[0],
        bytes_received=struct.unpack_from("=Q", info, 128)[0],
        bytes_sent=struct.unpack_from("=Q", info, 200)[0],
        token=struct.unpack("=I", mptcp[_TOKEN_LOC][:4])[0],
        **_common(message),
    )


def connections() -> list[Connection]:
    """Every MPTCP connection of this network namespace with its subflows, in a stable order."""
    families = (socket.AF_INET, socket.AF_INET6)
    found = [made for family in families for made in map(_connection, _dump(family, _IPPROTO_MPTCP)) if made]
    by_token = {connection.token: connection for connection in found}
    for family in families:
        for message in _dump(family, socket.IPPROTO_TCP):
            subflow = _subflow(message)
            if subflow and subflow.token in by_token:
                by_token[subflow.token].subflows.append(subflow)
    for connection in found:
        connection.subflows.sort(key=lambda flow: (flow.local, flow.local_port))
    return sorted(found, key=lambda one: (one.remote, one.remote_port, one.local, one.local_port))
