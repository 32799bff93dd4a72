# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What a kernel on trial left behind when the machine came back with the old one: journal, pstore, the guard's word."""

from __future__ import annotations

import glob
import json
import os
import re
import subprocess
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.ledger import Trial, boot_id

# systemd-pstore(8) moves them out of the firmware's memory.
PSTORE = ("sys/fs/pstore", "var/lib/systemd/pstore")
_LINES = 12
_PANIC = re.compile(r"Kernel panic|BUG:|Oops|Unable to|watchdog|Attempted to kill|not syncing")


def tell(trial: Trial) -> list[str]:
    """Lines for a person, the most telling ones first."""
    said = [trial["guard"]] if trial["guard"] else []
    stored = from_pstore(trial["since"])
    logged = _journal(trial["boot"])
    if stored:
        said += ["pstore:", *stored]
    if logged:
        said += ["the journal of that boot:", *logged]
    if not stored and not logged:
        said.append(
            "that boot left nothing in the journal and nothing in pstore: it panicked, or hung and was reset, before "
            "they were there, or its kernel was never started; the machine's console has the rest"
        )
    return said


def from_pstore(since: float, root: str = "/") -> list[str]:
    """The last lines that the kernel stored when it died, since a time."""
    files = [
        path
        for folder in PSTORE
        for path in glob.glob(os.path.join(root, folder, "**", "dmesg*"), recursive=True)
        if os.path.isfile(path) and os.path.getmtime(path) >= since
    ]
    if not files:
        return []
    with open(max(files, key=os.path.getmtime), encoding="utf-8", errors="replace") as stream:
        lines = stream.read().splitlines()
    return [line for line in lines if _PANIC.search(line)][-_LINES:] or lines[-_LINES:]


def between(boots: t.Iterable[t.Mapping[str, t.Any]], armed: str, now: str) -> list[str]:
    """The boots after the one that armed a trial and before this one, of all that the journal has, in order."""
    found = [str(boot["boot_id"]) for boot in sorted(boots, key=lambda boot: boot["first_entry"])]
    first, last = armed.replace("-", ""), now.replace("-", "")
    if first not in found or last not in found:
        return []
    return found[found.index(first) + 1 : found.index(last)]


def _journal(armed: str) -> list[str]:
    boots = json.loads(_journalctl("--list-boots", "--output=json") or "[]")
    for boot in between(boots, armed, boot_id()):
        select = (f"--boot={boot}", f"--lines={_LINES}", "--output=short-monotonic", "--no-hostname")
        # Where nothing went wrong by its own account, what it did last.
        return (_journalctl("--priority=err", *select) or _journalctl(*select)).splitlines()
    return []


def _journalctl(*arguments: str) -> str:
    # Reason for a command: the journal's files have no other reader in the distribution's Python.
    command = ["journalctl", "--quiet", "--no-pager", *arguments]
    try:
        return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    except FileNotFoundError:
        return ""
