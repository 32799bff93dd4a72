# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other programs that hold locks of a machine; each is a process of its own and can be killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from typing import Iterator

_LOCK = "ansible_collections.nvmeof.mptcp.plugins.module_utils._core.lock"
_OURS = f"import sys; from {_LOCK} import lock\nwith lock(*sys.argv[2:], folder=sys.argv[1], timeout=0): "
#: What programs of earlier releases do around every change.
_EARLIER = (
    "import fcntl, os, sys; handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)\n"
    "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)\nif True: "
)
_HOLD = "print('held', flush=True); sys.stdin.read()"


@contextlib.contextmanager
def another_holds(folder: str, *parts: str) -> Iterator[subprocess.Popen]:
    """Another run holds parts; it fails at once when they are not free."""
    with _running(_OURS + _HOLD, folder, *parts) as process:
        yield process


def until_somebody_waits(folder: str, part: str) -> None:
    """Return when another one stands in the line for a part, which somebody has."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        handle = os.open(os.path.join(folder, f"{part}.next"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        finally:
            os.close(handle)
        time.sleep(0.01)
    raise AssertionError(f"nobody waits for {part}")


@contextlib.contextmanager
def an_earlier_one_runs(path: str) -> Iterator[subprocess.Popen]:
    """A program of an earlier release is at work; it fails at once when its lock is not free."""
    with _running(_EARLIER + _HOLD, path) as process:
        yield process


@contextlib.contextmanager
def _running(program: str, *arguments: str) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", program, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, env={"PYTHONPATH": "collections"}, **pipes) as process:
        try:
            if process.stdout.readline() != "held\n":
                raise BlockingIOError(process.stderr.read())
            yield process
        finally:
            process.kill()
