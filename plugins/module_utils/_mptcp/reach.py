# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Whether a service address answers over each rail, by ICMP echo (RFC 792, RFC 4443).

The kernel leaves a next hop out of a multipath route when its link is down, and with IPv4 when its neighbour is silent.
It cannot know of a far end behind a router, and IPv6 takes a neighbour that it still looks for as alive.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from typing import Dict, Set, Tuple

#: How long each try waits for its answers, in seconds; a rail that answers at once costs none of it.
TRIES = (0.2, 0.4, 0.8)
#: How many are asked at once: each takes a descriptor, of which select(2) knows 1024.
AT_ONCE = 256
_SO_BINDTODEVICE = 25
# Type of a request and of its answer.
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}

#: (service address, rail) to (local address, NIC).
Ways = Dict[Tuple[str, str], Tuple[str, str]]
Silent = Set[Tuple[str, str]]


def silent(ways: Ways) -> Silent:
    """The ways over which nothing answers although another way to the same service does.

    A service that answers nowhere is down, or echo is filtered: that tells nothing about a rail.
    """
    left = dict(ways)
    for timeout in TRIES:
        asked = list(left.items())
        for begin in range(0, len(asked), AT_ONCE):
            for way in _answered(dict(asked[begin : begin + AT_ONCE]), timeout):
                del left[way]
        if not left:
            break
    alive = {service for service, _rail in set(ways) - set(left)}
    return {way for way in left if way[0] in alive}


def _answered(ways: Ways, timeout: float) -> Silent:
    waiting: dict[socket.socket, tuple[str, str]] = {}
    number = os.getpid() & 0xFFFF
    try:
        for way, (local, device) in ways.items():
            channel = _open(way[0], local, device)
            waiting[channel] = way
            _send(channel, way[0], number)
        return _collect(waiting, number, time.monotonic() + timeout)
    finally:
        for channel in waiting:
            channel.close()


def _open(service: str, local: str, device: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in service else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    channel = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    try:
        channel.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, device.encode() + b"\0")
        channel.bind((local, 0))
        # Only what comes from the service: the kernel compares.
        channel.connect((service, 0))
    except OSError:
        # No address or no route just now: that is no answer either.
        pass
    return channel


def _send(channel: socket.socket, service: str, number: int) -> None:
    message = struct.pack(">BBHHH", _ECHO[channel.family][0], 0, 0, number, 1)
    if channel.family == socket.AF_INET:
        # IPv6 fills in its checksum by itself.
        message = message[:2] + struct.pack(">H", _checksum(message)) + message[4:]
    with contextlib.suppress(OSError):
        channel.send(message)


def _checksum(message: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(message) // 2}H", message))
    return ~(total + (total >> 16)) & 0xFFFF


def _collect(waiting: dict[socket.socket, tuple[str, str]], number: int, ends: float) -> Silent:
    found: Silent = set()
    while len(found) < len(waiting):
        left = [channel for channel, way in waiting.items() if way not in found]
        ready = select.select(left, [], [], max(ends - time.monotonic(), 0))[0]
        if not ready:
            break
        for channel in ready:
            if _is_answer(channel, number):
                found.add(waiting[channel])
    return found


def _is_answer(channel: socket.socket, number: int) -> bool:
    try:
        data = channel.recv(2048)
    except OSError:
        return False
    if channel.family == socket.AF_INET:
        # A raw IPv4 socket gets the header too.
        data = data[(data[0] & 0xF) * 4 :]
    return len(data) >= 8 and data[0] == _ECHO[channel.family][1] and struct.unpack_from(">H", data, 4)[0] == number
