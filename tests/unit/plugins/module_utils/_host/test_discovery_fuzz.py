# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery logs as no target sends them: whatever is in one, it connects what is allowed, and the rest is in words."""

from __future__ import annotations

import ipaddress
import random
import re
import struct
import time

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_allowed import Allowed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget, Spent
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_entry import Reading, judged
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import (
    CURRENT,
    ENTRY,
    Ask,
    BadLog,
    pack,
    read,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, render
from emulated_fabrics import CONNECTION, entry, referral
from fuzzing import cases, exception_in

WHOLE = 50_000
#: What a case may take, by far, of the processor's time in seconds, and of commands.
SECONDS, COMMANDS = 1.0, 8
NETWORK = ipaddress.ip_network("192.0.2.0/24")
ALLOWED = Allowed([str(NETWORK)], ["nqn.2026-1*"])
DISCOVERY = {**CONNECTION, "subsysnqn": DISCOVERY_NQN, "keep_alive_tmo": 30}
OPTIONS = {"ctrl_loss_tmo": -1}
#: Offset and length of the texts of an entry: service, NQN, address.
TEXTS = ((32, 32), (256, 256), (512, 256))
WORDS = (
    b"", b"\0", b"4420", b"0", b"65536", b"-1", b"99999999999999999999", b" 4420", b"4420\n", b"\xff\xfe", b"\xc3\xa4",
    b"127.0.0.1", b"::1", b"::ffff:127.0.0.1", b"::ffff:192.0.2.9", b"192.0.2.9", b"192.0.2.255", b"192.0.2.010",
    b"fe80::1%rail0", b"192.0.2.9%rail0", b"0x7f000001", b"2130706433", b"255.255.255.255", b"224.0.0.1", b"../../etc",
    b"nqn.2026-11.org.example:a", b"nqn.2026-11.org.example:a,hostnqn=b", b"nqn.2026-11.org.example:a\nhost: forged",
    b"nqn.2026-11.org.example:\x1b[2K", b"nqn.2026-13.org.example:a", b"nqn.2026-11." + b"x" * 244,
    DISCOVERY_NQN.encode(),     b"-oProxyCommand=x", b"$(id)", b"%s%n", b"\xe2\x80\xae",
)  # fmt: skip

FILL = (b"\0", b" ", b"x")


def damaged(rng: random.Random) -> tuple[bytes, int]:
    """A log with some damage, and how many of its entries count."""
    found = [rng.choice([entry, referral])(address=f"192.0.2.{number + 1}") for number in range(rng.randint(1, 5))]
    log = bytearray(pack(rng.randint(0, 2**64 - 1), found))
    for _ in range(rng.randint(1, 6)):
        start = ENTRY * rng.randint(1, len(found))
        kind = rng.randrange(4)
        if kind == 0:
            offset, length = rng.choice(TEXTS)
            log[start + offset : start + offset + length] = rng.choice(WORDS)[:length].ljust(length, rng.choice(FILL))
        elif kind == 1:
            log[start + rng.randrange(ENTRY)] = rng.randrange(256)
        elif kind == 2:
            log[start + rng.choice((0, 1, 2))] = rng.randrange(256)
        else:
            begin = start + rng.randrange(ENTRY - 64)
            log[begin : begin + 64] = rng.randbytes(64)
    return bytes(log), len(found)


def test_any_entry_is_a_connection_that_is_allowed_or_refused_in_words() -> None:
    for seed, rng in cases(WHOLE):
        log, count = damaged(rng)
        began = time.process_time()
        found = read(lambda start, length, _retain, log=log: log[start : start + length], Budget().share())
        reading = judged(found, DISCOVERY, OPTIONS, ALLOWED)
        assert time.process_time() - began < SECONDS, seed
        check(reading, seed)
        refused = sum(number for number, _example in reading.refused.by_reason.values())
        counted = count - sum(one.subtype == CURRENT for one in found)
        assert len(reading.named) <= counted - refused, seed
        assert bool(reading.named) == (refused < counted), seed


def check(reading: Reading, seed: str) -> None:
    for one in reading.named.values():
        assert ipaddress.ip_address(one["traddr"]) in NETWORK, seed
        assert 0 < int(one["trsvcid"]) < 65536, seed
        assert re.match("nqn.2026-1[0-2][.]", one["subsysnqn"]) or one["subsysnqn"] == DISCOVERY_NQN, seed
        options = OPTIONS if one["subsysnqn"] != DISCOVERY_NQN else {"keep_alive_tmo": 30}
        keys = [word.partition("=")[0] for word in render(one, "h", "i").split(",")]
        assert sorted(keys) == sorted(["transport", "traddr", "trsvcid", "nqn", *options, "hostnqn", "hostid"]), seed
    said = reading.refused.text()
    assert said.isprintable(), seed
    assert exception_in(said) == "", seed
    assert len(said) < 4000, seed


def outcome(ask: Ask, seed: str) -> str:
    """Why pages are no log, or an empty text for one that is."""
    try:
        found = read(ask, Budget({"commands": 4 * COMMANDS}).share())
    except (BadLog, Spent) as error:
        return str(error)
    check(judged(found, DISCOVERY, OPTIONS, ALLOWED), seed)
    return ""


def test_any_page_is_a_log_or_an_error_in_words() -> None:
    """Pages that have nothing to do with one another: another header each time, short ones, and errors of none."""
    for seed, rng in cases(WHOLE):
        asked = 0

        def ask(_start: int, length: int, _retain: bool, rng: random.Random = rng) -> bytes:
            nonlocal asked
            asked += 1
            log, _count = damaged(rng)
            counts = (rng.randrange(8), rng.randrange(2**16), rng.randrange(2**64))
            head = struct.pack("<QQH", rng.randrange(3), rng.choice(counts), rng.choice((0, 0, 0, 1, 7)))
            page = (head.ljust(ENTRY, b"\0") if rng.random() < 0.8 else b"") + log
            return page[:length] if rng.random() < 0.9 else page[: rng.randrange(length)]

        began = time.process_time()
        said = outcome(ask, seed)
        assert said.isprintable(), seed
        assert exception_in(said) == "", seed
        assert not said or " log " in f" {said} " or "discovery_limits" in said, seed
        assert time.process_time() - began < SECONDS, seed
        assert asked <= COMMANDS, seed


@pytest.mark.parametrize("text", ["KeyError: 'a'", "Traceback (most", "a struct.error or UnicodeDecodeError"])
def test_a_python_error_is_told_from_words(text: str) -> None:
    assert exception_in(text)
    assert not exception_in("the discovery log ends after 17 bytes")
