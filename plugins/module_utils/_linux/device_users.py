# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Who uses a block device or a partition of it.

Mounts, swap, device-mapper, md, loop devices, nvmet, processes that have it open, and whatever else holds the kernel's
claim: a mount in another mount namespace, a pool of ZFS, bcache, DRBD.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import threading
from typing import Collection

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.signatures import signature

#: Seconds for a device whose path is live to answer a read.
PATIENCE = 2.0


def users(device: str, root: str = "/", claims: bool = True) -> list[str]:
    """Every user of a block device, in words a person can act on; empty when nobody does.

    device: the kernel's name, for example C(nvme0n1). root is where / is, for tests. claims: ask for the kernel's claim
    too, which another program could want at that very moment.
    """
    numbers = {}
    for name in _with_partitions(device, root):
        text = _text(os.path.join(root, "sys/class/block", name, "dev")).strip()
        if text:
            numbers[text] = name
    found = [f"held by {holder}" for name in numbers.values() for holder in _holders(name, root)]
    found += _mounts(numbers, root) + _swaps(numbers, root) + _kernel(numbers, root) + _processes(numbers, root)
    # Asked last, for a device whose paths are all away is better not opened.
    return found or (_claimed(device, root) if claims else [])


def members(device: str, root: str = "/", patience: float = PATIENCE) -> list[str]:
    """What a block device or a partition of it is a part of by its contents, running or not, in words as users().

    For a device with a path that is live: reading from another would not end. patience: seconds for one that dies now.
    """
    found: list[str] = []

    def read() -> None:
        for name in _with_partitions(device, root):
            # What cannot be read, like one that another host has reserved, is nobody's here.
            with contextlib.suppress(OSError):
                what = signature(os.path.join(root, "dev", name))
                found.extend([f"carrying {what} ({name})"] if what else [])

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    reading.join(patience)
    return list(found) or (["not answering, so that nobody knows what is on it"] if reading.is_alive() else [])


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _list(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []


def _with_partitions(device: str, root: str) -> list[str]:
    children = _list(os.path.join(root, "sys/class/block", device))
    return [device, *(name for name in children if re.fullmatch(re.escape(device) + r"p\d+", name))]


def _holders(name: str, root: str) -> list[str]:
    found = []
    for holder in _list(os.path.join(root, "sys/class/block", name, "holders")):
        mapped = _text(os.path.join(root, "sys/class/block", holder, "dm", "name")).strip()
        found.append(f"{mapped} ({holder})" if mapped else holder)
    return found


def _mounts(numbers: dict[str, str], root: str) -> list[str]:
    found = []
    for line in _text(os.path.join(root, "proc/self/mountinfo")).splitlines():
        words = line.split(" ")
        # proc_pid_mountinfo(5): major:minor, root, mount point, options, optional fields, "-", type, source.
        # A file system of several devices (btrfs) has a number of its own; its source still names one.
        source = words[words.index("-") + 2] if "-" in words else ""
        if words[2] in numbers or os.path.basename(source) in numbers.values():
            point = re.sub(r"\\(\d{3})", lambda match: chr(int(match.group(1), 8)), words[4])
            found.append(f"mounted on {point}")
    return found


def _swaps(numbers: dict[str, str], root: str) -> list[str]:
    lines = _text(os.path.join(root, "proc/swaps")).splitlines()[1:]
    paths = [line.split()[0] for line in lines if line.split()]
    return [f"swap on {path}" for path in paths if os.path.basename(path) in numbers.values()]


def _kernel(numbers: dict[str, str], root: str) -> list[str]:
    """Who has it open inside the kernel, where no process shows it."""
    loops = glob.glob(os.path.join(root, "sys/block/loop*/loop/backing_file"))
    served = glob.glob(os.path.join(root, "sys/kernel/config/nvmet/subsystems/*/namespaces/*/device_path"))
    found = []
    for paths, what in ((loops, "behind a loop device"), (served, "served by nvmet")):
        names = {os.path.basename(os.path.realpath(_text(path).strip())) for path in paths}
        found += [f"{what} ({name})" for name in numbers.values() if name in names]
    return found


def _claimed(device: str, root: str) -> list[str]:
    # O_EXCL on a block device asks for the claim that mounts, arrays and pools hold on it or on a partition.
    try:
        flags = os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC
        os.close(os.open(os.path.join(root, "dev", device), flags))
    except OSError as error:
        if error.errno == errno.EBUSY:
            return ["claimed by something in the kernel, like a pool or a mount of a container"]
    return []


def _processes(numbers: dict[str, str], root: str) -> list[str]:
    found = []
    wanted = {tuple(int(part) for part in number.split(":")) for number in numbers}
    for pid in _list(os.path.join(root, "proc")):
        if not pid.isdigit():
            continue
        folder = os.path.join(root, "proc", pid, "fd")
        if any(_number(os.path.join(folder, handle), numbers.values()) in wanted for handle in _list(folder)):
            name = _text(os.path.join(root, "proc", pid, "comm")).strip()
            found.append(f"open by {name or 'a process'} (pid {pid})")
    return found


def _number(link: str, names: Collection[str]) -> tuple[int, int] | None:
    try:
        # Only devices are looked at: a stat of an open file on a dead network file system would hang. A container has
        # a /dev of its own, whose path is another one here.
        path = os.readlink(link)
        if not path.startswith("/dev/") and os.path.basename(path) not in names:
            return None
        device = os.stat(link).st_rdev
    except OSError:
        return None
    return os.major(device), os.minor(device)
