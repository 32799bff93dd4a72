# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The one form of a change: what a plan is made of, what check mode shows and what apply performs."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from typing import Callable, Iterable

#: What stands in a line instead of a secret.
HIDDEN = "********"


@dataclass(frozen=True, repr=False)
class Operation:
    """One step of a plan.

    verb: C(mkdir), C(rmdir), C(write), C(put), C(chmod), C(symlink), C(unlink) on I(path), or C(run) of I(argv).
        C(write) is for a file of the kernel, C(put) makes or replaces a file on a disk.
    path: absolute path of the file, folder or link.
    value: what is written, what the link points at, or the mode in octal digits.
    argv: the command of C(run), never holding a secret.
    about: the object in the user's words, for example C(port 1).
    secret: I(value) must not be shown.
    shown: what stands in place of I(value) when only a part of it is secret.
    """

    verb: str
    path: str = ""
    value: str = ""
    argv: tuple[str, ...] = ()
    about: str = ""
    secret: bool = field(default=False, compare=False)
    shown: str = field(default="", compare=False)

    def __repr__(self) -> str:
        # Not the fields: a secret must not get into a traceback or a message by way of them.
        return f"<{self.line()}>"

    def line(self) -> str:
        """The step as a line that a person could type."""
        shown = HIDDEN if self.secret else self.shown or self.value
        if self.verb == "run":
            return shlex.join(self.argv)
        path = shlex.quote(self.path)
        if self.verb in ("write", "put"):
            return f"printf %s {shlex.quote(shown)} > {path}"
        if self.verb == "symlink":
            return f"ln -s {shlex.quote(shown)} {path}"
        if self.verb == "chmod":
            return f"chmod {self.value} {path}"
        return f"{'rm' if self.verb == 'unlink' else self.verb} {path}"


class Refused(Exception):
    """The kernel (or a tool) refused one operation of a plan; what was applied before it stays applied."""

    def __init__(self, operation: Operation, code: int, why: str, applied: list[Operation]) -> None:
        self.operation = operation
        self.code = code
        self.applied = applied
        name = errno.errorcode.get(code, str(code))
        self.refusal = why
        super().__init__(
            f"{operation.about or operation.path or operation.argv[0]}: `{operation.line()}` was refused with {name}: "
            f"{why} "
            f"{len(applied)} operation(s) before it were applied and stay; running again continues from here."
        )


class CommandFailed(OSError):
    """A command of a plan ended with a status other than 0; strerror is what it printed."""


def perform(operation: Operation) -> None:
    """Do one operation; raises OSError with the kernel's errno."""
    if operation.verb == "mkdir":
        os.mkdir(operation.path)
    elif operation.verb == "rmdir":
        os.rmdir(operation.path)
    elif operation.verb == "symlink":
        os.symlink(operation.value, operation.path)
    elif operation.verb == "unlink":
        os.unlink(operation.path)
    elif operation.verb == "chmod":
        os.chmod(operation.path, int(operation.value, 8))
    elif operation.verb == "write":
        _write(operation.path, operation.value)
    elif operation.verb == "put":
        put(operation.path, operation.value)
    elif operation.verb == "run":
        _run(operation.argv)
    else:
        raise ValueError(f"unknown verb {operation.verb!r}")


def _write(path: str, value: str) -> None:
    # One write(2) is one value for configfs, sysfs and proc: no buffering, no newline, no O_CREAT.
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, value.encode())
    finally:
        os.close(handle)


def put(path: str, content: str | bytes, mode: int = 0o644) -> None:
    """Rename a file into place, so that a reader sees the old content or the new one, also after a crash."""
    folder = os.path.dirname(path) or "."
    make_folders(folder, 0o755)
    # mkstemp makes the file 0600 from the start: it can hold what a host may see of a subsystem.
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(folder)


def make_folders(path: str, mode: int) -> None:
    """Make a folder and those above it that are missing, all with this mode, whatever the umask is."""
    if os.path.isdir(path):
        return
    above = os.path.dirname(path) or "."
    make_folders(above, mode)
    with contextlib.suppress(FileExistsError):
        # Nobody else gets in before it has its mode, which mkdir(2) makes narrower by the umask.
        os.mkdir(path, mode & 0o700)
        os.chmod(path, mode)
        sync_folder(above)


def sync_folder(path: str) -> None:
    """Have the names in a folder on the disk: a file that was synced may otherwise be gone after a crash."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _run(argv: tuple[str, ...]) -> None:
    result = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        printed = " ".join((result.stderr or result.stdout).split())
        raise CommandFailed(errno.EIO, printed or f"ended with status {result.returncode}")


def apply(
    plan: Iterable[Operation],
    explain: Callable[[Operation, OSError], str | None],
    do: Callable[[Operation], None] = perform,
) -> list[Operation]:
    """Perform a plan in order and return what was applied.

    explain gives why this error and what to do, or None for the system's own words.
    Raises Refused at the first refusal.
    """
    applied: list[Operation] = []
    for operation in plan:
        try:
            do(operation)
        except OSError as error:
            why = explain(operation, error) or f"{error.strerror}."
            raise Refused(operation, error.errno or 0, why, applied) from error
        applied.append(operation)
    return applied
