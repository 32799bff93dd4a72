# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Who uses a block device or a partition of it: mounts, swap, device-mapper, md and processes that have it open."""

from __future__ import annotations

import os
import re


def users(device: str, root: str = "/") -> list[str]:
    """Every user of a block device, in words a person can act on; empty when nobody does.

    device: the kernel's name, for example C(nvme0n1). root is where / is, for tests.
    """
    numbers = {}
    for name in _with_partitions(device, root):
        text = _text(os.path.join(root, "sys/class/block", name, "dev")).strip()
        if text:
            numbers[text] = name
    found = [f"held by {holder}" for name in numbers.values() for holder in _holders(name, root)]
    return found + _mounts(numbers, root) + _swaps(numbers, root) + _processes(numbers, root)


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


def _processes(numbers: dict[str, str], root: str) -> list[str]:
    found = []
    wanted = {tuple(int(part) for part in number.split(":")) for number in numbers}
    for pid in _list(os.path.join(root, "proc")):
        if not pid.isdigit():
            continue
        folder = os.path.join(root, "proc", pid, "fd")
        if any(_number(os.path.join(folder, handle)) in wanted for handle in _list(folder)):
            name = _text(os.path.join(root, "proc", pid, "comm")).strip()
            found.append(f"open by {name or 'a process'} (pid {pid})")
    return found


def _number(link: str) -> tuple[int, int] | None:
    try:
        # Only devices are looked at: a stat of an open file on a dead network file system would hang.
        if not os.readlink(link).startswith("/dev/"):
            return None
        device = os.stat(link).st_rdev
    except OSError:
        return None
    return os.major(device), os.minor(device)
