# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Variables of the EFI firmware, and whether it would start a kernel."""

from __future__ import annotations

import os
import struct

#: Vendors of variables: the UEFI specification's own, and that of boot loaders (systemd.io/BOOT_LOADER_INTERFACE).
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

#: How much of a kernel's file is_signed() needs.
HEADER = 4096


def content(name: str, vendor: str, root: str = "/") -> bytes:
    """Content of a variable; empty when there is none, or the machine did not start by EFI."""
    try:
        with open(os.path.join(root, f"sys/firmware/efi/efivars/{name}-{vendor}"), "rb") as stream:
            # Its attributes come first.
            return stream.read()[4:]
    except OSError:
        return b""


def text(name: str, vendor: str, root: str = "/") -> str:
    """A variable that is a string."""
    return content(name, vendor, root).decode("utf-16-le", errors="replace").rstrip("\0")


def enforces_signatures(root: str = "/") -> bool:
    """Whether Secure Boot is on: the firmware then starts signed kernels only."""
    return content("SecureBoot", GLOBAL, root) == b"\1"


def is_signed(image: bytes) -> bool:
    """Whether a kernel's first HEADER bytes say that a signature follows; not whose it is.

    The PE format: the offset of the PE header at 0x3c, 24 bytes further the optional header, and in that the table of
    which the fifth row has address and size of the certificates.
    """
    if image[:2] != b"MZ" or len(image) < 0x40:
        return False
    [pe] = struct.unpack_from("<I", image, 0x3C)
    if image[pe : pe + 4] != b"PE\0\0" or len(image) < pe + 24 + 2:
        return False
    [magic] = struct.unpack_from("<H", image, pe + 24)
    row = pe + 24 + (112 if magic == 0x20B else 96) + 4 * 8
    return len(image) >= row + 8 and bool(struct.unpack_from("<II", image, row)[1])
