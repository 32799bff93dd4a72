# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The discovery log page: what a discovery controller says is served where, read in pieces and checked for changes.

Source: NVM Express Base Specification 2.1, section 5.1.12.3.1 (Discovery Log Page) and nvme.h of Linux (struct
nvmf_disc_rsp_page_hdr and its entry). 4, MPTCP, is the number of the posted kernel series.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Callable, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import line
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget

#: Transport type (TRTYPE) to the name that /dev/nvme-fabrics takes.
TRANSPORTS = {1: "rdma", 2: "fc", 3: "tcp", 4: "mptcp", 254: "loop"}
#: Subsystem types (SUBTYPE).
REFERRAL, NVM_SUBSYSTEM, CURRENT = 1, 2, 3
#: Address families (ADRFAM) of IP to their versions.
FAMILIES = {1: 4, 2: 6}

_HEADER = struct.Struct("<QQH")
# TRTYPE, ADRFAM, SUBTYPE, TREQ, PORTID, CNTLID, ASQSZ, EFLAGS, TRSVCID, SUBNQN, TRADDR; the rest is TSAS.
_ENTRY = struct.Struct("<BBBBHHHH20x32s192x256s256s256x")
ENTRY = 1024
#: One request of a piece is never more than the smallest transfer that every controller takes.
PIECE = 4096
#: The log may change while it is read; one that changes on every try is not worth waiting for.
TRIES = 8

#: Gives a part of the log: offset and length in bytes, and whether the event that the log changed stays masked.
Ask = Callable[[int, int, bool], bytes]


class BadLog(ValueError):
    """What came is no discovery log, or it never held still."""


@dataclass(frozen=True)
class Entry:
    """One entry. trtype, subtype and adrfam are the log's own numbers; transport is empty for one that we do not know.

    Of its texts nothing is known: what is not ASCII in them is there as surrogates (PEP 383).
    """

    trtype: int
    subtype: int
    portid: int
    traddr: str
    trsvcid: str
    subnqn: str
    adrfam: int = 1

    @property
    def transport(self) -> str:
        return TRANSPORTS.get(self.trtype, "")

    def __str__(self) -> str:
        return line(f"{self.transport or f'transport {self.trtype}'} {self.traddr}:{self.trsvcid} {self.subnqn}")


def read(ask: Ask, budget: Budget) -> list[Entry]:
    """The whole log as it was at one moment. Raises BadLog, Spent, and OSError as ask does."""

    def part(offset: int, length: int, retain: bool) -> bytes:
        budget.take("commands")
        return ask(offset, length, retain)

    for _try in range(TRIES):
        generation, count = _header(part(0, ENTRY, True))
        budget.take("entries", count)
        end = ENTRY * (count + 1)
        found: list[Entry] = []
        for offset in range(ENTRY, end, PIECE):
            found += entries(part(offset, min(PIECE, end - offset), True))
        # The last read, which is the proof that nothing moved meanwhile, lets the next change send its event.
        if _header(part(0, ENTRY, False)) == (generation, count):
            return found
    raise BadLog(f"the discovery log changed during each of {TRIES} readings")


def _header(data: bytes) -> tuple[int, int]:
    if len(data) < _HEADER.size:
        raise BadLog(f"the discovery log ends after {len(data)} bytes")
    generation, count, form = _HEADER.unpack_from(data)
    if form != 0:
        raise BadLog(f"the discovery log has record format {form}; this knows format 0")
    return generation, count


def entries(data: bytes) -> list[Entry]:
    """The entries in the log without its header. Raises BadLog when it ends within one."""
    if len(data) % ENTRY:
        raise BadLog(f"the discovery log ends within its entry {len(data) // ENTRY + 1}")
    return [_entry(data[start : start + ENTRY]) for start in range(0, len(data), ENTRY)]


def _entry(data: bytes) -> Entry:
    trtype, family, subtype, _treq, portid, _cntlid, _size, _flags, service, nqn, address = _ENTRY.unpack(data)
    return Entry(trtype, subtype, portid, _text(address), _text(service), _text(nqn), family)


def _text(raw: bytes) -> str:
    """A field of text: it ends with its first NUL, and what is shorter may be filled up with spaces."""
    return raw.partition(b"\0")[0].decode("ascii", "surrogateescape").rstrip(" ")


def pack(generation: int, found: Sequence[Entry]) -> bytes:
    """The log as a controller would send it."""
    body = b"".join(
        _ENTRY.pack(
            one.trtype, one.adrfam, one.subtype, 0, one.portid, 0xFFFF, 32, 0,
            *(text.encode("ascii", "surrogateescape") for text in (one.trsvcid, one.subnqn, one.traddr)),
        )
        for one in found
    )  # fmt: skip
    return _HEADER.pack(generation, len(found), 0).ljust(ENTRY, b"\0") + body
