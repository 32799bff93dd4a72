# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boot is followed through the sectors as the BIOS, boot.img and diskboot.img do it."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.grub import SECTOR, boot_sector, core_image
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError
from hypothesis import given
from hypothesis import strategies as st

BOOT_IMG = bytes([0xEB]) * SECTOR
TABLE = bytes(range(256)) * 2


def core(length: int, blocks: int | None = None) -> bytes:
    """A core image as grub-mkimage leaves it: it counts its sectors, and takes itself to lie behind boot.img."""
    rest = -(-length // SECTOR) - 1 if blocks is None else blocks
    first = bytes([1]) * (SECTOR - 12) + struct.pack("<QHH", 2, rest, 0x820)
    return first + bytes([2]) * (length - SECTOR)


@given(st.integers(SECTOR + 1, 100 * SECTOR), st.integers(1, 1 << 40))
def test_each_part_finds_the_next(length: int, at: int) -> None:
    sector = boot_sector(BOOT_IMG, TABLE, at)
    # boot.S: kernel_sector is 64 bits at 0x5c.
    assert int.from_bytes(sector[0x5C:0x64], "little") == at
    image = core_image(core(length), at, 2048)
    # diskboot.S: firstlist is the last 12 bytes of its sector.
    start, blocks, segment = struct.unpack("<QHH", image[SECTOR - 12 : SECTOR])
    assert (start, segment) == (at + 1, 0x820)
    assert (1 + blocks) * SECTOR == len(image)
    assert image[SECTOR : SECTOR + length - SECTOR] == core(length)[SECTOR:]


def test_the_partition_table_s_part_of_the_first_sector_stays() -> None:
    sector = boot_sector(BOOT_IMG, TABLE, 2048)
    assert len(sector) == SECTOR
    assert sector[0x1B8:] == TABLE[0x1B8:]
    assert sector[:0x5C] + sector[0x64:0x1B8] == BOOT_IMG[: 0x1B8 - 8]


def test_what_does_not_fit_or_is_not_grub_s_is_refused() -> None:
    with pytest.raises(LabError, match="needs 3 sectors; its partition has 2"):
        core_image(core(2 * SECTOR + 1), 2048, 2)
    with pytest.raises(LabError, match="3 sectors is to load 7 after its first"):
        core_image(core(3 * SECTOR, blocks=7), 2048, 2048)
    with pytest.raises(LabError, match="440 bytes"):
        boot_sector(bytes(440), TABLE, 2048)
