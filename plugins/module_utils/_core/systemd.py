# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What the node program tells systemd and asks it."""

from __future__ import annotations

import os
import socket
import subprocess


def ready() -> None:
    """Tell systemd that units which come after this one can start (sd_notify(3)); nothing when it does not ask."""
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect("\0" + path[1:] if path.startswith("@") else path)
            channel.sendall(b"READY=1")


def is_shutting_down() -> bool:
    """Whether systemd has begun to stop the machine, and not just one unit."""
    # It asks PID 1 itself, so it answers while D-Bus is being stopped. Its status is not 0 while it says "stopping".
    result = subprocess.run(
        ["systemctl", "is-system-running"], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return result.stdout.strip() == "stopping"
