# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Nobody but root sees controllers while one is made that has a secret.

The kernel lets everyone read the secrets of a controller in sysfs (drivers/nvme/host/sysfs.c: 0644) from before it asks
the target until it gives up, so a target that is dead or slow shows them for seconds at every try, and only the kernel
knows the controller's name by then. So the folder that all of them are in is closed meanwhile. It is open again for the
rest of the time: whoever watches states and models there is mostly no root.
"""

from __future__ import annotations

import contextlib
import glob
import os
import stat
from typing import Iterator

#: Where the kernel makes every fabrics controller; /sys/class/nvme has links into it.
FOLDER = "/sys/class/nvme-fabrics/ctl"
#: The sticky bit does nothing to a folder of sysfs. It tells one that a killed run of ours left closed, which opens
#: after the next connect, from one that an administrator closed, which stays.
_CLOSED = 0o1700
_OPEN = 0o755


@contextlib.contextmanager
def unseen(folder: str = FOLDER) -> Iterator[None]:
    """Close the folder, and open it once every secret in it is root's alone; one process at a time.

    Raises OSError before the first step when it cannot be closed. Where hiding a secret fails it stays closed.
    """
    before = stat.S_IMODE(os.stat(folder).st_mode)
    os.chmod(folder, _CLOSED)
    try:
        yield
    finally:
        for path in glob.glob(f"{folder}/nvme*/dhchap*_secret"):
            _hide(path)
        os.chmod(folder, _OPEN if before == _CLOSED else before)


def _hide(path: str) -> None:
    # A controller that went takes its files along.
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_mode & 0o077:
            os.chmod(path, 0o600)
