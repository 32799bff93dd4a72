# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a discovery log: any log comes through whole, any nonsense is refused by name, a change is noticed."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import admin
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget, Spent
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import (
    ENTRY,
    PIECE,
    TRIES,
    BadLog,
    Entry,
    entries,
    pack,
    read,
)
from hypothesis import given
from hypothesis import strategies as st

words = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
logs = st.lists(
    st.builds(
        Entry,
        trtype=st.integers(0, 255),
        subtype=st.integers(0, 255),
        portid=st.integers(0, 65535),
        traddr=words,
        trsvcid=words,
        subnqn=words,
    ),
    max_size=12,
)


class Discovery:
    """A discovery controller whose log can change between two requests."""

    def __init__(self, *versions: bytes) -> None:
        self.versions, self.asked = list(versions), []

    def ask(self, offset: int, length: int, retain: bool) -> bytes:
        assert offset % 4 == length % 4 == 0
        assert length <= PIECE
        self.asked.append((offset, length, retain))
        log = self.versions.pop(0) if len(self.versions) > 1 else self.versions[0]
        return log[offset : offset + length].ljust(length, b"\0")


@given(logs)
def test_any_log_comes_through_whole(found: list[Entry]) -> None:
    controller = Discovery(pack(7, found))
    assert read(controller.ask, Budget()) == found
    assert [retain for *_rest, retain in controller.asked] == [True] * (len(controller.asked) - 1) + [False]


@given(st.binary(max_size=3 * ENTRY))
def test_nonsense_is_refused_and_nothing_else_happens(data: bytes) -> None:
    controller = Discovery(data)
    try:
        found = read(controller.ask, Budget())
    except (BadLog, Spent):
        return
    assert all(isinstance(one, Entry) for one in found)


@given(st.binary(min_size=ENTRY, max_size=ENTRY))
def test_any_entry_can_be_read(data: bytes) -> None:
    (one,) = entries(data)
    assert str(one)


def test_fields_end_with_a_nul_or_are_filled_with_spaces() -> None:
    data = bytearray(ENTRY)
    data[0], data[2] = 4, 2
    data[32:64] = b"4420".ljust(32)
    data[256:512] = b"nqn.2026-11.org.example:a\0left over".ljust(256, b"x")
    data[512:768] = b"2001:db8::1".ljust(256)
    assert entries(bytes(data)) == [Entry(4, 2, 0, "2001:db8::1", "4420", "nqn.2026-11.org.example:a", 0)]
    assert entries(bytes(data))[0].transport == "mptcp"


def test_a_log_that_changes_while_it_is_read_is_read_again() -> None:
    old, new = (pack(generation, [Entry(4, 2, 1, "192.0.2.1", "4420", "x")] * generation) for generation in (1, 2))
    # Its header comes from the old log and everything after it from the new one.
    assert len(read(Discovery(old, new).ask, Budget())) == 2


def test_a_log_that_never_holds_still_is_given_up() -> None:
    versions = [pack(number, []) for number in range(2 * TRIES + 2)]
    with pytest.raises(BadLog, match=f"during each of {TRIES} readings"):
        read(Discovery(*versions).ask, Budget())


@pytest.mark.parametrize(
    ("header", "why"),
    [(struct.pack("<QQH", 1, 1, 9), "record format 9")],
)
def test_a_header_that_cannot_be_is_told(header: bytes, why: str) -> None:
    with pytest.raises(BadLog, match=why):
        read(Discovery(header).ask, Budget())


def test_the_command_is_get_log_page() -> None:
    """Opcode, log identifier, retain, number of dwords - 1 and both halves of the offset, where the kernel has them."""
    command = admin._log_page(0xABCDEF, 0x100000400, 4096, True)
    assert len(command) == 72
    assert command[0] == 0x02
    assert struct.unpack_from("=QII", command, 24) == (0xABCDEF, 0, 4096)
    assert struct.unpack_from("=IIII", command, 40) == (0x70 | 1 << 15 | 1023 << 16, 0, 0x400, 1)
    assert admin._ADMIN == 0xC0484E41


def test_a_device_that_is_no_controller_refuses_with_the_kernel_s_errno(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        admin.discovery_log("null")(0, 1024, True)
