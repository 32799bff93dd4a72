# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What is written on a device that is part of something bigger, also while that is not running.

Sources: lib/format_text/layout.h of LVM2, include/uapi/linux/raid/md_p.h and btrfs_tree.h of Linux, vdev_impl.h of
OpenZFS.
"""

from __future__ import annotations

import os
import struct

_MD_MAGIC = struct.pack("<I", 0xA92B4EFC)
_ZFS_MAGIC = (struct.pack("<Q", 0x00BAB10C), struct.pack(">Q", 0x00BAB10C))
_KIB = 1024


def signature(path: str) -> str | None:
    """What the device is a member of by its own contents, or None. Raises OSError where it cannot be read."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        start = os.pread(handle, 256 * _KIB, 0)
        return _lvm(start) or _md(handle, size, start) or _pool(start)
    finally:
        os.close(handle)


def _lvm(start: bytes) -> str | None:
    for offset in range(0, 2048, 512):
        if start[offset : offset + 8] == b"LABELONE" and start[offset + 24 : offset + 32] == b"LVM2 001":
            return "an LVM physical volume"
    return None


def _md(handle: int, size: int, start: bytes) -> str | None:
    # Metadata 1.1 and 1.2 lie at the start, 1.0 and 0.90 at the end.
    near_end = [((size // 512 - 16) & ~7) * 512, (size // (64 * _KIB) - 1) * 64 * _KIB]
    found = [start[0:4], start[4096:4100], *(os.pread(handle, 4, offset) for offset in near_end if offset > 0)]
    return "the superblock of an md array" if _MD_MAGIC in found else None


def _pool(start: bytes) -> str | None:
    uberblocks = (start[offset : offset + 8] for offset in range(128 * _KIB, 256 * _KIB, _KIB))
    if any(block in _ZFS_MAGIC for block in uberblocks):
        return "a label of a ZFS pool"
    superblock = start[64 * _KIB : 68 * _KIB]
    # A btrfs of one device can be a host's own; of several it cannot.
    if superblock[0x40:0x48] == b"_BHRfS_M" and struct.unpack_from("<Q", superblock, 0x88)[0] > 1:
        return "a member of a btrfs of several devices"
    if start.startswith(b"bluestore block device"):
        return "a Ceph OSD"
    return None
