# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The kernel's own events about NVMe controllers, over netlink (NETLINK_KOBJECT_UEVENT, lib/kobject_uevent.c)."""

from __future__ import annotations

import errno
import re
import socket

_NETLINK_KOBJECT_UEVENT = 15
# Group 1 is the kernel; group 2 is what udev made of it.
_KERNEL = 1


class Uevents:
    """Listens from the moment it is made, so that nothing is missed between a look at sysfs and a wait."""

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, _NETLINK_KOBJECT_UEVENT)
        self._socket.bind((0, _KERNEL))

    def wait_removed(self) -> str:
        """Wait until a controller is removed and return its name; empty when the kernel had to drop events."""
        while True:
            try:
                name = removed(self._socket.recv(65536))
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                return ""
            if name:
                return name


def removed(message: bytes) -> str:
    """The controller whose removal an event tells, or an empty text.

    An event is C(remove@path), then KEY=value, each ended by a NUL.
    """
    head, *words = message.decode(errors="replace").split("\0")
    found = re.fullmatch(r"remove@.*/(nvme\d+)", head)
    return found.group(1) if found and "SUBSYSTEM=nvme" in words else ""
