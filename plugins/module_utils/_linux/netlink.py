# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Netlink messages in the standard library: what the tools print for people, read as data.

Source of the layouts: include/uapi/linux/netlink.h, genetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Dict, Iterator

NETLINK_SOCK_DIAG = 4
NETLINK_GENERIC = 16

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_GENL = struct.Struct("=BBH")

_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_CTRL_ATTR_MCAST_GROUPS = 7
_CTRL_ATTR_MCAST_GRP_NAME = 1
_CTRL_ATTR_MCAST_GRP_ID = 2

Attributes = Dict[int, bytes]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes of a payload, in order, as (type, value)."""
    while len(payload) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(payload)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NLA_TYPE_MASK, payload[_ATTRIBUTE.size : length]
        payload = payload[(length + 3) & ~3 :]


def split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The messages of one datagram as (type, payload)."""
    while len(data) >= _HEADER.size:
        length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def received(channel: socket.socket, size: int = 1 << 16) -> bytes:
    """One datagram of the kernel, empty for one of a process, which is nobody to us; raises OSError as recv() does.

    The kernel writes the sender's port into each message, and only its own is 0 (netlink(7)).
    """
    data, sender = channel.recvfrom(size)
    return data if sender[0] == 0 else b""


def request(protocol: int, kind: int, payload: bytes, dump: bool = False) -> list[bytes]:
    """Send one request and return the payloads of its answers; raises OSError with the kernel's errno."""
    flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else NLM_F_ACK)
    answers: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as channel:
        channel.settimeout(10)
        channel.bind((0, 0))
        channel.send(_HEADER.pack(_HEADER.size + len(payload), kind, flags, 1, 0) + payload)
        while True:
            for answer, body in split(received(channel, 1 << 20)):
                if answer in (_NLMSG_DONE, _NLMSG_ERROR):
                    _raise(body)
                    return answers
                answers.append(body)


def _raise(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if code:
        raise OSError(code, os.strerror(code))


def _family(name: str) -> Attributes:
    query = attribute(_CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
    found = request(NETLINK_GENERIC, _GENL_ID_CTRL, _GENL.pack(_CTRL_CMD_GETFAMILY, 1, 0) + query)
    return dict(attributes(found[0][_GENL.size :]))


def generic(family: str, command: int, version: int = 1, payload: bytes = b"", dump: bool = False) -> list[Attributes]:
    """One command of a generic netlink family; raises OSError, ENOENT when the kernel has no such family."""
    number = struct.unpack("=H", _family(family)[_CTRL_ATTR_FAMILY_ID])[0]
    answers = request(NETLINK_GENERIC, number, _GENL.pack(command, version, 0) + payload, dump)
    return [dict(attributes(answer[_GENL.size :])) for answer in answers]


def command(payload: bytes) -> tuple[int, Attributes]:
    """A generic netlink message as (command, attributes)."""
    return payload[0], dict(attributes(payload[_GENL.size :]))


def multicast_group(family: str, group: str) -> int:
    """The number of a multicast group of a generic netlink family; raises OSError, ENOENT when there is none."""
    for _index, nested in attributes(_family(family).get(_CTRL_ATTR_MCAST_GROUPS, b"")):
        found = dict(attributes(nested))
        if found[_CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0").decode() == group:
            return int(struct.unpack("=I", found[_CTRL_ATTR_MCAST_GRP_ID])[0])
    raise OSError(errno.ENOENT, f"generic netlink family {family} has no group {group}")
