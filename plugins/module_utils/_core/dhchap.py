# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""DH-HMAC-CHAP secrets in the form DHHC-1:0<hash>:<base64 of key and CRC-32>: (NVM Express TP 8006, nvme-cli)."""

from __future__ import annotations

import base64
import binascii
import os
import re
import zlib

#: Hash that transforms a key → bytes of the key; 0 is used as it is.
KEY_BYTES = {0: 32, 1: 32, 2: 48, 3: 64}
_FORM = re.compile(r"DHHC-1:0[0-3]:([A-Za-z0-9+/]+={0,2}):\Z")


def alias(name: str) -> str:
    """The other end's name of an option: what a host calls C(dhchap_secret), a target calls C(dhchap_key).

    Whoever takes one for the other has written a key, which must not be shown as the value of an unknown option.
    """
    old, new = ("secret", "key") if name.endswith("secret") else ("key", "secret")
    return name[: -len(old)] + new


def malformed(secret: object) -> str:
    """Why the kernel would not take the secret, without a character of it; empty when it would.

    Source: nvme_auth_extract_key in drivers/nvme/common/auth.c.
    """
    remedy = "make one with the lookup nvmeof.mptcp.dhchap_secret or with `nvme gen-dhchap-key`"
    found = _FORM.match(secret) if isinstance(secret, str) else None
    if not found:
        return f"is not a secret in the form DHHC-1:0x:<base64>:; {remedy}"
    try:
        content = base64.b64decode(found.group(1), validate=True)
    except binascii.Error:
        return f"is a secret that is not base64; {remedy}"
    if len(content) - 4 not in KEY_BYTES.values():
        return f"is a secret of {max(0, len(content) - 4)} bytes; it must have 32, 48 or 64: {remedy}"
    if zlib.crc32(content[:-4]).to_bytes(4, "little") != content[-4:]:
        return f"is a secret whose checksum is wrong, so it was cut or mistyped; copy it again, or {remedy}"
    return ""


def generate(hmac: int = 1) -> str:
    """A new secret. hmac: 1, 2 or 3 for SHA-256, SHA-384 or SHA-512, 0 for a key that is used as it is."""
    return _written(hmac, os.urandom(KEY_BYTES[hmac]))


def no_secret(hmac: int) -> str:
    """What stands for a secret that only a real run makes: its form and, in words, that it is none."""
    return _written(hmac, b"check mode: this is no secret".ljust(KEY_BYTES[hmac], b"."))


def _written(hmac: int, key: bytes) -> str:
    content = base64.b64encode(key + zlib.crc32(key).to_bytes(4, "little")).decode()
    return f"DHHC-1:{hmac:02d}:{content}:"
