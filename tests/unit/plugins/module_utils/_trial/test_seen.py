# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a boot that failed."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger, seen

BOOTS = [{"boot_id": name * 32, "first_entry": number} for number, name in enumerate("abcd")]


def uuid(letter: str) -> str:
    return "-".join([letter * 8, letter * 4, letter * 4, letter * 4, letter * 12])


def test_the_boots_between_the_one_that_armed_it_and_this_one() -> None:
    assert seen.between(reversed(BOOTS), uuid("b"), uuid("d")) == ["c" * 32]
    assert seen.between(BOOTS, uuid("c"), uuid("d")) == []


def test_a_journal_that_forgets_tells_nothing_of_another_boot() -> None:
    assert seen.between(BOOTS, uuid("9"), uuid("d")) == []
    assert seen.between(BOOTS[-1:], uuid("b"), uuid("d")) == []


def test_pstore_tells_of_the_panic_and_not_of_an_older_one(tmp_path: Path) -> None:
    for folder, name, text, time in [
        ("sys/fs/pstore", "dmesg-efi-1", "Panic#1\n<0>Kernel panic - not syncing: VFS: no root\nCall Trace:\n", 200),
        ("var/lib/systemd/pstore/17", "dmesg.txt", "BUG: of last year\n", 50),
    ]:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(text)
        os.utime(tmp_path / folder / name, (time, time))
    assert seen.from_pstore(100, str(tmp_path)) == ["<0>Kernel panic - not syncing: VFS: no root"]
    assert seen.from_pstore(300, str(tmp_path)) == []


def test_a_boot_that_left_nothing_is_called_that(monkeypatch: object, tmp_path: Path) -> None:
    trial = {**ledger.new_trial("7.9-never-booted", "7.2", 600), "boot": "no-such-boot", "since": 1 << 40}
    [said] = seen.tell(trial)
    assert "left nothing in the journal and nothing in pstore" in said
    assert seen.tell({**trial, "guard": "not kept in time"})[0] == "not kept in time"
