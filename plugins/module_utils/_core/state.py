# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What survives a reboot: one JSON file for each component (network, target, host), and what we own.

The description is renamed into place only after an apply succeeded, so a refused plan is not applied at the next boot.
Ownership is written ahead of an apply, so a killed run neither forgets nor adopts anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
from typing import Any, Callable, Iterator, NamedTuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, put
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape, Unfit, check, parse

#: The saved descriptions; also what the boot units converge to.
CONFIG_DIR = "/etc/nvmeof-mptcp"
#: What an earlier description of ours created.
OWNED_DIR = "/var/lib/nvmeof-mptcp"
#: What a playbook describes of a machine, by the name of its files.
COMPONENTS = ("mptcp", "target", "host")
#: Bytes of a file of ours that is read: several ten thousand namespaces, and well below the memory of any machine.
LARGEST = 16 * 2**20
_UNOWNED = "what earlier runs made counts as made by others, and is not removed without being asked"


class File(NamedTuple):
    """A kind of file of ours. check: raises ValueError for what it cannot hold. playbook: writes it anew.

    loss: what a damaged one loses.

    Values that a playbook writes too (options of a connection, attributes of nvmet, the plan of a network) are judged
    where those of a playbook are; check has what has to be before anything can judge them. A file of an older release
    has what that release wrote: what was added since may be missing. A key that is not known is of a newer release, and
    its meaning is not: the file is refused.
    """

    check: Callable[[Any], None]
    playbook: str
    loss: str = ""


class Component(NamedTuple):
    """A part of a machine with a description of its own, saved as NAME.json beside the names of what is ours."""

    name: str
    saved: File


def of_shape(shape: Callable[[], Shape]) -> Callable[[Any], None]:
    """The check of a File whose content has a shape; it is made when it is needed, for a boot waits for it."""
    return lambda found: check(found, shape())


class Damaged(ValueError):
    """A file of ours does not hold what we write. found: which file, where in it and what; loss: see File."""

    def __init__(self, found: str, remedy: str, loss: str = "") -> None:
        self.found = found
        self.loss = f"; {loss}" if loss else ""
        super().__init__(f"{found}; {remedy}{self.loss}")


class Unsaved(OSError):
    """A file of ours could not be written; the old one stays. applied: what had been done to the system before."""

    def __init__(self, code: int, reason: str, path: str) -> None:
        super().__init__(code, reason, path)
        self.applied: list[Operation] = []

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        remedy = _REMEDIES.get(self.errno or 0, "Correct that")
        done = f" {len(self.applied)} operation(s) were applied before and stay." if self.applied else ""
        return f"{self.filename} could not be written: {name}, {self.strerror}.{done} {remedy}, and run again."


_REMEDIES = {
    errno.ENOSPC: "Free space or inodes on its file system",
    errno.EDQUOT: "Raise root's quota on its file system",
    errno.EROFS: "Mount its file system for writing",
}


@contextlib.contextmanager
def telling() -> Iterator[list[Operation]]:
    """The list of what was applied; Unsaved gets it on its way out."""
    applied: list[Operation] = []
    try:
        yield applied
    except Unsaved as unsaved:
        unsaved.applied = applied
        raise


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Raises Unsaved for a failure to write path."""
    try:
        yield
    except OSError as error:
        raise Unsaved(error.errno or 0, error.strerror or str(error), path) from error


def replace_file(path: str, content: str | bytes, mode: int = 0o600) -> None:
    """Rename a file into place, so that a reader sees the old content or the new one, also after a crash.

    Raises Unsaved.
    """
    with writing(path):
        put(path, content, mode)


def read(path: str, file: File) -> Any | None:
    """What a file of ours holds, or None when it does not exist.

    Raises Damaged for what is not of its shape, and for one that is larger than LARGEST without reading it.
    """
    try:
        return read_checked(path, file.check)
    except Unfit as error:
        remedy = f"run the playbook {file.playbook} again, which writes it anew"
        raise Damaged(f"{path} {error}", remedy, file.loss) from None


def read_checked(path: str, judge: Callable[[Any], None]) -> Any | None:
    """What a file holds, or None when it does not exist. judge: raises ValueError for what it cannot hold.

    Raises Unfit.
    """
    try:
        # O_NONBLOCK: a FIFO in its place would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise Unfit("is no regular file")
        if found.st_size > LARGEST:
            raise Unfit(f"has {found.st_size} bytes, more than the {LARGEST} that are read")
        with open(handle, "rb", closefd=False) as stream:
            content = stream.read(LARGEST)
    finally:
        os.close(handle)
    try:
        value = parse(content.decode())
    except UnicodeDecodeError as error:
        raise Unfit(f"is not valid UTF-8 at byte {error.start}") from None
    try:
        judge(value)
    except ValueError as error:
        raise Unfit(f"does not hold what this release writes: {error}") from None
    return value


@contextlib.contextmanager
def mending(tell: Callable[[str], None]) -> Iterator[None]:
    """For a run that writes damaged files anew: within, they are as if they were not there; tell has a line of each."""
    global _mender
    before, _mender = _mender, tell
    try:
        yield
    finally:
        _mender = before
        _told.clear()


#: Who is told of a damaged file by a run that writes it anew.
_mender: Callable[[str], None] | None = None
_told: set[str] = set()


def read_or_mend(path: str, file: File) -> Any | None:
    """As read(), within mending() also None for a damaged file."""
    try:
        return read(path, file)
    except Damaged as error:
        if _mender is None:
            raise
        _tell(f"{error.found}; it counts as not there until it is written anew{error.loss}", _mender)
        return None


def _tell(line: str, tell: Callable[[str], None]) -> None:
    if line not in _told:
        _told.add(line)
        tell(line)


def load(component: Component, config_dir: str = CONFIG_DIR) -> dict[str, Any] | None:
    """The saved description, or None when none was ever applied. Raises Damaged, but within mending()."""
    found: dict[str, Any] | None = read_or_mend(description_file(component, config_dir), component.saved)
    return found


def description_file(component: Component, config_dir: str = CONFIG_DIR) -> str:
    """The file with the saved description."""
    return os.path.join(config_dir, f"{component.name}.json")


def saved(config_dir: str = CONFIG_DIR) -> list[str]:
    """The components of which a description was saved, so those that a playbook has deployed here."""
    return [name for name in COMPONENTS if os.path.exists(os.path.join(config_dir, f"{name}.json"))]


def save(component: Component, description: dict[str, Any], config_dir: str = CONFIG_DIR) -> bool:
    """Keep an applied description for the next boot; returns whether the file changed."""
    file = description_file(component, config_dir)
    if would_save(component, description, config_dir):
        content = json.dumps(description, indent=2, sort_keys=True) + "\n"
        if len(content) > LARGEST:
            raise Unsaved(errno.EFBIG, f"{len(content)} bytes are more than the {LARGEST} that are read", file)
        replace_file(file, content)
        return True
    return False


def would_save(component: Component, description: dict[str, Any], config_dir: str = CONFIG_DIR) -> bool:
    """Whether save() would change the file; for check mode."""
    return load(component, config_dir) != description


def owned(component: Component, owned_dir: str = OWNED_DIR) -> list[str]:
    """Names of the objects that this collection created, sorted; none where that is damaged, which is told.

    A unit goes on without it: nothing that is there is taken down for it, and what is missing is made.
    """
    try:
        return read_or_mend(*_owned(component, owned_dir)) or []
    except Damaged as error:
        _tell(str(error), lambda line: print(line, file=sys.stderr, flush=True))
        return []


def own(component: Component, names: list[str], owned_dir: str = OWNED_DIR) -> bool:
    """Write down what is ours; call it with the union before an apply and with the description's names after it."""
    path, file = _owned(component, owned_dir)
    # A damaged file is written anew also when nothing is ours.
    with contextlib.suppress(Damaged):
        if sorted(names) == (read(path, file) or []):
            return False
    replace_file(path, json.dumps(sorted(names), indent=2) + "\n")
    return True


def _owned(component: Component, owned_dir: str) -> tuple[str, File]:
    names = File(of_shape(lambda: [str]), component.saved.playbook, _UNOWNED)
    return os.path.join(owned_dir, f"{component.name}.owned.json"), names
