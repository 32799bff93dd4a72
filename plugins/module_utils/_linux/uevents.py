# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The kernel's own events about NVMe controllers, over netlink (NETLINK_KOBJECT_UEVENT, lib/kobject_uevent.c)."""

from __future__ import annotations

import errno
import re
import socket
import time
from typing import Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink

_NETLINK_KOBJECT_UEVENT = 15
# Group 1 is the kernel; group 2 is what udev made of it.
_KERNEL = 1
_REMOVED = " was removed"
#: Asynchronous event: a notice (2) that the discovery log page (70h) has changed (f0h).
_LOG_CHANGED = "NVME_AEN=0x70f002"
#: What is said when the kernel had to drop events: anything may have happened.
LOST = "events were lost"


class Uevents:
    """Listens from the moment it is made, so that nothing is missed between a look at sysfs and a wait."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_KOBJECT_UEVENT)
        self._socket.bind((0, _KERNEL))

    def wait(self, timeout: float | None) -> list[str]:
        """Wait for something that matters and return it with all that came with it, a line each.

        timeout: seconds, None for ever; when they pass without an event the list is empty.
        """
        ends = None if timeout is None else time.monotonic() + timeout
        found: list[str] = []
        while True:
            left = None if ends is None else max(ends - time.monotonic(), 0.0)
            # With something found, only what is there already is read.
            line = self._receive(0.0 if found else left)
            if line is None and (found or ends is None or time.monotonic() >= ends):
                return found
            if line and line not in found:
                found.append(line)

    def _receive(self, timeout: float | None) -> str | None:
        """What the next message says; None when there was none in time."""
        self._socket.settimeout(timeout)
        try:
            return described(netlink.received(self._socket))
        except (BlockingIOError, socket.timeout):
            return None
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return LOST


def described(message: bytes) -> str:
    """What an event says in one line, empty for one that changes nothing for connections.

    An event is C(action@path), then KEY=value, each ended by a NUL.
    """
    head, *words = message.decode(errors="replace").split("\0")
    found = re.fullmatch(r"(remove|change)@.*/(nvme\d+)", head)
    if not found or "SUBSYSTEM=nvme" not in words:
        return ""
    action, name = found.groups()
    if action == "remove":
        return f"{name}{_REMOVED}"
    if _LOG_CHANGED in words:
        return f"{name} says that its discovery log has changed"
    # A discovery controller that was reconnected: what happened meanwhile sent no event.
    return f"{name} is back and may have another discovery log" if "NVME_EVENT=rediscover" in words else ""


def is_removal(happened: Sequence[str]) -> bool:
    """Whether a controller went among the events that wait() returned, or may have gone."""
    return any(line.endswith(_REMOVED) or line == LOST for line in happened)
