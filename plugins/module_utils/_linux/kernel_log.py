# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What the NVMe driver tells in the kernel's log, which is the only place where it says why."""

from __future__ import annotations

import os
import re
from typing import Iterator

#: What the kernel says of the timeouts that were asked for, whatever becomes of the connect.
_NOISE = re.compile(r"will reconnect forever|I/O fail on reconnect|larger than controller loss")


class KernelLog:
    """What the NVMe driver logs from now on; nothing where the log cannot be read."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._handle, 0, os.SEEK_END)
        except OSError:
            self._handle = -1

    @property
    def readable(self) -> bool:
        return self._handle >= 0

    def lines(self) -> list[str]:
        """What was logged since the last call, in order."""
        return list(self._read())

    def _read(self) -> Iterator[str]:
        while self._handle >= 0:
            try:
                record = os.read(self._handle, 8192)
            except BlockingIOError:
                break
            except BrokenPipeError:
                # Older records were overwritten meanwhile; the next read goes on with what is left.
                continue
            if not record:
                break
            message = record.decode(errors="replace").partition(";")[2].partition("\n")[0]
            # A key that the kernel finds malformed is in its log; it must not get into ours.
            if message.startswith(("nvme ", "nvme_")) and not _NOISE.search(message) and "DHHC-1" not in message:
                yield message.rstrip(".")

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
