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
import stat
import typing as t


class Untrusted(OSError):
    """A folder that others can fill; the text names it and says what to do."""


def check_owner(cache: pathlib.Path) -> None:
    """Raises Untrusted unless nobody but root and this account decides what is in the cache, and by which path."""
    ours = {0, os.geteuid()}
    given, real = pathlib.Path(os.path.abspath(cache)), cache.resolve()
    inner = real.iterdir() if real.is_dir() else ()
    for path in (given, *given.parents, real, *real.parents, *inner):
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        # Of a sticky folder, such as /tmp, only the owner can take something away.
        others = found.st_mode & (0o002 if found.st_gid in ours else 0o022)
        open_to_all = others and not (found.st_mode & stat.S_ISVTX and path not in (given, real))
        if found.st_uid not in ours or (open_to_all and not stat.S_ISLNK(found.st_mode)):
            raise Untrusted(
                f"{path} is owned by uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}, so others than "
                f"root decide what is installed from the cache {cache}: name a folder that is root's from the top "
                "down, or remove what is there and make it root's, mode 0700"
            )


def file_hash(path: pathlib.Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def check_hash(path: pathlib.Path, sha256: str) -> None:
    """Raises Untrusted unless a file is the one whose hash was recorded when it was made or asked for."""
    found = file_hash(path)
    if found != sha256:
        raise Untrusted(f"{path} has sha256 {found}, not {sha256} as the one that was made: remove it, and run again")


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
