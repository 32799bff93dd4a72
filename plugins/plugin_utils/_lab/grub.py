# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""GRUB on a disk, for a BIOS: where its two parts lie, and the sector numbers by which each finds the next. Pure.

The BIOS runs boot.img from the first sector, which loads one sector: the first of core.img, which is diskboot.img; that
one loads the rest of core.img (grub-core/boot/i386/pc/{boot,diskboot}.S, include/grub/i386/pc/boot.h).
"""

from __future__ import annotations

import struct

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

SECTOR = 512

# GRUB_BOOT_MACHINE_KERNEL_SECTOR: 64 bits, little endian.
_KERNEL_SECTOR = 0x5C
# From here on the first sector is the partition table's (GRUB_BOOT_MACHINE_WINDOWS_NT_MAGIC).
_TABLE = 0x1B8
# The last entry of the sector is the first of diskboot.img's block list: start, number of sectors, segment.
_BLOCK = struct.Struct("<QHH")
_BLOCK_AT = SECTOR - _BLOCK.size


def boot_sector(boot_img: bytes, sector: bytes, core_at: int) -> bytes:
    """The disk's first sector: boot.img, which finds core.img at sector `core_at`, and the table that `sector` has."""
    if len(boot_img) != SECTOR:
        raise LabError(f"GRUB's boot.img has {len(boot_img)} bytes; one sector ({SECTOR}) is expected")
    code = bytearray(boot_img[:_TABLE])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, core_at)
    return bytes(code) + sector[_TABLE:SECTOR]


def core_image(core_img: bytes, core_at: int, sectors: int) -> bytes:
    """core.img for the partition that begins at sector `core_at` and has `sectors`; whole sectors."""
    padded = core_img + bytes(-len(core_img) % SECTOR)
    needed = len(padded) // SECTOR
    if needed > sectors:
        raise LabError(f"GRUB's core image needs {needed} sectors; its partition has {sectors}")
    _, length, segment = _BLOCK.unpack_from(padded, _BLOCK_AT)
    # grub-mkimage knows everything but where the image will lie.
    if length != needed - 1:
        raise LabError(f"GRUB's core image of {needed} sectors is to load {length} after its first: another format")
    return padded[:_BLOCK_AT] + _BLOCK.pack(core_at + 1, length, segment) + padded[SECTOR:]
