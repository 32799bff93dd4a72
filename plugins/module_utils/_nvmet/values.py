# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Sanitisers: what a person may write and what nvmet prints, brought to the one form that is compared and written.

A sanitiser is idempotent and raises ValueError with what the value must be.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from typing import Any, Callable

Sanitiser = Callable[[Any], str]

#: The well-known NQN of discovery (NVM Express Base Specification 2.1, section 4.7); nvmet keeps it for itself.
DISCOVERY_NQN = "nqn.2014-08.org.nvmexpress.discovery"
#: nvmet counts the terminating NUL in its limit of 223 bytes.
NQN_MAX = 222
_NONE = "00000000-0000-0000-0000-000000000000"
_PRINTED = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONTROL = re.compile(r"[\x00-\x1f]")
_NQN = re.compile(r"nqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[^\s/.:][^\s/:]*(:[^\s/]+)?")
_UUID_NQN = re.compile(r"nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def text(low: int, high: int, what: str = "printable ASCII characters") -> Sanitiser:
    """Between low and high printable ASCII characters; blanks around them are NVMe's padding and are dropped."""

    def sanitise(value: Any) -> str:
        found = str(value).strip()
        if isinstance(value, (bool, float)) or not low <= len(found) <= high or not _printable(found):
            raise ValueError(f"must be {low} to {high} {what}")
        return found

    return sanitise


def _printable(found: str) -> bool:
    return found.isascii() and found.isprintable()


def whole(low: int, high: int, form: str = "{}") -> Sanitiser:
    """An integer, also as nvmet prints it (0x1af4)."""

    def sanitise(value: Any) -> str:
        message = f"must be a whole number from {low} to {high}"
        if isinstance(value, (bool, float)):
            raise ValueError(message)
        found = str(value).strip().lower()
        if not re.fullmatch(r"-?(0x[0-9a-f]{1,16}|[0-9]{1,20})", found):
            raise ValueError(message)
        number = int(found, 16 if "0x" in found else 10)
        if not low <= number <= high:
            raise ValueError(message)
        return form.format(number)

    return sanitise


def switch(value: Any) -> str:
    """A boolean as configfs has it: C(1) or C(0)."""
    found = str(value).strip().lower()
    if found in ("1", "true", "yes", "on", "y"):
        return "1"
    if found in ("0", "false", "no", "off", "n"):
        return "0"
    raise ValueError("must be true or false")


def one_of(*choices: str) -> Sanitiser:
    """One of nvmet's own words."""

    def sanitise(value: Any) -> str:
        found = str(value).strip()
        if found not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return found

    return sanitise


def nqn(value: Any) -> str:
    """An NVMe Qualified Name (NVM Express Base Specification 2.1, section 4.7) that can be a configfs folder."""
    found = value.strip() if isinstance(value, str) else ""
    if not (_NQN.fullmatch(found) or _UUID_NQN.fullmatch(found)):
        raise ValueError("must be an NVMe Qualified Name like nqn.2026-11.org.example:name, without blanks and slashes")
    if len(found.encode()) > NQN_MAX:
        raise ValueError(f"must be at most {NQN_MAX} bytes long and is {len(found.encode())}; shorten it")
    return found


def subsystem_nqn(value: Any) -> str:
    """The NQN of a subsystem: not the discovery subsystem's."""
    found = nqn(value)
    if found == DISCOVERY_NQN:
        raise ValueError("is the NQN of the discovery subsystem, which nvmet keeps for itself; choose another")
    return found


def identifier(value: Any) -> str:
    """A UUID or NGUID in the form nvmet prints; dashes, colons and case do not matter."""
    printed = str(value).strip()
    # nvmet's own form, which thousands of namespaces are read in.
    if not _PRINTED.fullmatch(printed):
        found = re.sub(r"[-:\s]", "", printed).lower()
        if not re.fullmatch(r"[0-9a-f]{32}", found):
            raise ValueError("must be 32 hexadecimal digits, with or without dashes; quote it in YAML")
        printed = str(uuid.UUID(found))
    if printed == _NONE:
        raise ValueError("must not be all zeros, which means none; leave it out")
    return printed


def name(value: Any) -> str:
    """The name of a folder that nvmet leaves to us."""
    found = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}", found):
        raise ValueError("must be 1 to 64 letters, digits, '_', '.', ':' or '-'")
    return found


def path(value: Any) -> str:
    """An absolute path."""
    found = value.strip() if isinstance(value, str) else ""
    if not found.startswith("/") or len(found.encode()) > 4000 or _CONTROL.search(found):
        raise ValueError("must be an absolute path like /dev/disk/by-id/…")
    return found


def address(value: Any) -> str:
    """A transport address: an IP address in its canonical form (with its %interface), else what the fabric uses."""
    found = value.strip() if isinstance(value, str) else ""
    if not found or len(found.encode()) > 255 or not _printable(found) or " " in found:
        raise ValueError("must be an address of 1 to 255 characters without blanks")
    bare, _, scope = found.partition("%")
    try:
        canonical = str(ipaddress.ip_address(bare))
    except ValueError:
        return found
    return f"{canonical}%{scope}" if scope else canonical


def version(value: Any) -> str:
    """An NVMe version like 2.1 or 1.4.1; a last part of 0 is dropped, as nvmet does."""
    found = re.fullmatch(r"([1-9])\.([0-9]{1,3})(?:\.([0-9]{1,3}))?", str(value).strip())
    if isinstance(value, float) or not found or any(int(part or 0) > 255 for part in found.groups()):
        raise ValueError("must be an NVMe version like '2.1', in quotes")
    major, minor, third = (int(part or 0) for part in found.groups())
    return f"{major}.{minor}.{third}" if third else f"{major}.{minor}"


def secret(value: Any) -> str:
    """A DH-HMAC-CHAP key as nvme gen-dhchap-key prints it; the message never repeats the value."""
    found = value.strip() if isinstance(value, str) else ""
    if not re.fullmatch(r"DHHC-1:0[0-3]:[A-Za-z0-9+/]{40,100}={0,2}:", found):
        raise ValueError("must be a key as `nvme gen-dhchap-key` prints it (DHHC-1:00:…:)")
    return found
