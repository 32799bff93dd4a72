# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The locks that Ansible, boot and events share: one for each part of a machine, so that no part waits for another.

The kernel drops a lock when its holder dies. Who needs several parts takes them in the order of PARTS.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import Iterator

#: The parts in the order of taking them, each with what its holder alone changes.
PARTS = {
    "kernel": "kernels, modules, their packages and trials",
    "network": "MPTCP endpoints, limits and routes",
    "target": "what nvmet serves",
    "intent": "what the host's connections are to be",
    "host": "the host's connections",
}
#: The files of the locks. The one lock of earlier releases, which was for all parts, is the file beside it.
FOLDER = "/run/nvmeof-mptcp"
_EVERYTHING = "everything, of a program of an earlier release"
#: Seconds to wait where another run may be at a connect. A peer that accepts and then says nothing takes the kernel's
#: time for an admin command, which is 60 s, and it may answer the first one.
ONE_CONNECT = 180.0
#: Seconds between two looks whether a lock is free.
_POLL = 0.1
_mine = threading.local()


class Busy(Exception):
    """Another run held the lock for longer than we were willing to wait."""


class WrongOrder(RuntimeError):
    """A part was asked for by who has a later one, or that one: two runs could wait for each other for ever."""


@contextlib.contextmanager
def lock(*parts: str, folder: str = "", timeout: float = 60.0) -> Iterator[None]:
    """Have parts for oneself.

    parts: names in PARTS. folder: that of the lock files, FOLDER if empty. timeout: seconds to wait for all of them.
    Raises Busy, and WrongOrder before it waits.
    """
    held = _mine.__dict__.setdefault("held", [])
    _insist_on_order([*held, *parts])
    within, deadline = folder or FOLDER, time.monotonic() + timeout
    os.makedirs(within, mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as taken:
        # A program of an earlier release has it alone for whatever it does; ours share it, and wait only for such.
        earlier = f"{within}.lock"
        if not taken.enter_context(_flock(earlier, fcntl.LOCK_SH, deadline)):
            raise Busy(_busy(_EVERYTHING, timeout, earlier))
        for part in parts:
            path, line = (os.path.join(within, f"{part}.{kind}") for kind in ("lock", "next"))
            # Waiting is done in a line: who gives a part up and wants it again at once comes after whoever waits.
            with _flock(line, fcntl.LOCK_EX, deadline) as first:
                if not (first and taken.enter_context(_flock(path, fcntl.LOCK_EX, deadline))):
                    raise Busy(_busy(f"{part} ({PARTS[part]})", timeout, path, line))
        held += parts
        try:
            yield
        finally:
            del held[len(held) - len(parts) :]


def _insist_on_order(parts: list[str]) -> None:
    order = [list(PARTS).index(part) for part in parts]
    if sorted(set(order)) != order:
        raise WrongOrder(f"{' then '.join(parts)}: locks are taken once and in the order {', '.join(PARTS)}")


@contextlib.contextmanager
def _flock(path: str, kind: int, deadline: float) -> Iterator[bool]:
    """The flock(2) lock of a file; whether it was free before the deadline."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _waited(handle, kind, deadline)
    finally:
        os.close(handle)


def _waited(handle: int, kind: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL)


def _busy(what: str, timeout: float, path: str, line: str = "") -> str:
    pid = _holder(path) or (_holder(line) if line else None)
    who, see = (f"process {pid}", f" (`ps -fp {pid}` shows it)") if pid else ("another process", "")
    return (
        f"{path}: {who}, a run of this collection or one of its units, has the lock of {what}, which was not free "
        f"within {timeout:g} s. Wait until it ends{see} and run again"
    )


def _holder(path: str) -> int | None:
    """The process that has the flock(2) lock of a file, where the kernel tells; one of another namespace has no ID."""
    try:
        file = os.stat(path)
        with open("/proc/locks", encoding="ascii") as stream:
            rows = [line.split() for line in stream]
    except OSError:
        return None
    number = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    # 1: FLOCK ADVISORY WRITE 1234 fe:00:2146755 0 EOF
    return next((int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == number and int(row[4]) > 0), None)
