# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Admin commands to a controller through its character device (ioctl, include/uapi/linux/nvme_ioctl.h)."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import struct

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import Ask

# struct nvme_passthru_cmd: opcode, flags, reserved, nsid, cdw2, cdw3, metadata, addr, metadata_len, data_len, cdw10 to
# cdw15, timeout_ms, result.
_COMMAND = struct.Struct("=BBHIIIQQ10I")
# _IOWR('N', 0x41, struct nvme_passthru_cmd)
_ADMIN = (3 << 30) | (_COMMAND.size << 16) | (ord("N") << 8) | 0x41
_GET_LOG_PAGE, _DISCOVERY = 0x02, 0x70
#: A controller that is silent for so long is reset by the kernel, which is what finds a dead target, in milliseconds.
_TIMEOUT = 5000


def discovery_log(name: str) -> Ask:
    """How to ask a controller, for example C(nvme0), for parts of its discovery log; see discovery_log.read.

    Asking raises OSError; EIO when the controller answered with an error status.
    """

    def ask(offset: int, length: int, retain: bool) -> bytes:
        # An array rather than ctypes: its memory does not move, and ctypes needs memory that can be written and run.
        data = array.array("B", bytes(length))
        command = bytearray(_log_page(data.buffer_info()[0], offset, length, retain))
        handle = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = fcntl.ioctl(handle, _ADMIN, command, True)
        finally:
            os.close(handle)
        if status:
            raise OSError(errno.EIO, f"{name} answered the discovery log with status {status:#x}")
        return data.tobytes()

    return ask


def _log_page(address: int, offset: int, length: int, retain: bool) -> bytes:
    """Get Log Page (NVM Express Base Specification 2.1, section 5.1.12)."""
    dwords = length // 4 - 1
    first = _DISCOVERY | (retain << 15) | ((dwords & 0xFFFF) << 16)
    rest = (first, dwords >> 16, offset & 0xFFFFFFFF, offset >> 32, 0, 0, _TIMEOUT, 0)
    return _COMMAND.pack(_GET_LOG_PAGE, 0, 0, 0, 0, 0, 0, address, 0, length, *rest)
