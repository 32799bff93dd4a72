# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Cache entries named by the hash of what made them: complete or absent, built by one process at a time.

An entry is built in a folder beside its final name and renamed at the end, so an interrupted build leaves nothing that
looks like an entry. The lock is flock(2) on that very folder: it ends with its process and leaves no file behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import typing as t


def content_hash(data: t.Any) -> str:
    """16 hexadecimal digits for plain data; equal data in another order of keys gives the same."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ensure(entry: pathlib.Path, build: t.Callable[[pathlib.Path], None], waiting: t.Callable[[], None]) -> bool:
    """Make `entry` unless it exists; the answer is whether it was made.

    build: fills the empty folder it is given. waiting: called once when another process is building the entry.
    """
    if entry.is_dir():
        return False
    work = entry.with_name(entry.name + ".building")
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_folder(work, waiting):
        if entry.is_dir():
            work.rmdir()
            return False
        empty(work)
        try:
            build(work)
            os.rename(work, entry)
        except BaseException:
            shutil.rmtree(work)
            raise
    return True


@contextlib.contextmanager
def locked_folder(folder: pathlib.Path, waiting: t.Callable[[], None]) -> t.Iterator[None]:
    """Hold the lock of `folder`, which is created if needed (0700). waiting: called once if another process has it."""
    while True:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, FileExistsError):
            # It went between two looks: also mkdir() takes two, and says that what went was no folder.
            if folder.is_file():
                raise
            continue
        try:
            _lock(descriptor, waiting)
            # The one before us may have renamed or removed the folder that we have just locked.
            if _is_same(folder, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def empty(folder: pathlib.Path) -> None:
    """Remove what a folder holds, but not the folder, which may be locked."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _lock(descriptor: int, waiting: t.Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_same(folder: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False
