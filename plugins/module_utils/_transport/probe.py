# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Ask the running kernel itself whether it offers the mptcp transport; no version tells.

Nothing is connected, listened to or left behind by asking.
"""

from __future__ import annotations

import errno
import os
import subprocess

TRANSPORT = "mptcp"
NVMET = "/sys/kernel/config/nvmet"
FABRICS = "/dev/nvme-fabrics"

# An interface that cannot exist: one character longer than names may be.
_NO_INTERFACE = "no-such-interface"


class ProbeError(Exception):
    """The kernel gave an answer that says neither yes nor no; the text has it and what to do."""


def load(modules: tuple[str, ...]) -> list[str]:
    """Load what would offer the transport; the answer is what was missing, in modprobe's words."""
    missing = []
    for module in modules:
        # Reason for a command: only kmod resolves dependencies and aliases.
        result = subprocess.run(["modprobe", module], capture_output=True, text=True)
        if result.returncode != 0:
            missing.append(" ".join(result.stderr.split()) or f"modprobe {module} ended with {result.returncode}")
    return missing


def offered_by_target(root: str = NVMET) -> bool:
    """Whether a port takes addr_trtype mptcp: tried on a port of our own, which listens to nothing."""
    ports = os.path.join(root, "ports")
    if not os.path.isdir(ports):
        return False
    port = os.path.join(ports, _free_id(ports))
    os.mkdir(port)
    try:
        handle = os.open(os.path.join(port, "addr_trtype"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(handle, TRANSPORT.encode())
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise ProbeError(f"writing {TRANSPORT} to {port}/addr_trtype: {error.strerror}") from None
        return False
    finally:
        os.rmdir(port)
    return True


def offered_by_host(device: str = FABRICS) -> bool:
    """Whether nvme-fabrics knows the transport.

    The request names an interface that cannot exist. An unknown transport is refused before anybody looks at it
    (EINVAL); a known one looks for it before it makes a connection (ENODEV).
    """
    request = f"transport={TRANSPORT},traddr=127.0.0.1,host_iface={_NO_INTERFACE},nqn=nqn.2014-08.org.nvmexpress:probe"
    if not os.path.exists(device):
        return False
    handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(handle, request.encode())
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.EINVAL):
            return error.errno == errno.ENODEV
        raise ProbeError(f"asking {device} for {TRANSPORT} over {_NO_INTERFACE}: {error.strerror}") from None
    finally:
        os.close(handle)
    raise ProbeError(f"{device} made a controller over the interface {_NO_INTERFACE}, which cannot exist")


def _free_id(ports: str) -> str:
    """The highest free port id; users count from 1."""
    taken = set(os.listdir(ports))
    return next(str(number) for number in range(65535, 0, -1) if str(number) not in taken)
