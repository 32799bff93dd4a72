# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Commands in a build chroot: nothing of them stays, mounted or running, whatever happens to us.

What is compiled there is somebody else's, and its Makefile is a program. So it runs as an account that is nobody's,
with no capability and no way to one, no network, and no process but its own to see. That is less than the root of a
user namespace has, and takes neither subordinate ids nor a kernel or a container that allows such namespaces. The
chroot is root's but for the folders that are given to that account; what it leaves there is opened by opened() alone.
"""

from __future__ import annotations

import os
import pathlib
import re
import stat
import subprocess
import typing as t

# The kernel ends all of it together with us, and with the first process of the namespace everything that it started:
# an orphaned make would go on writing into a folder that the next run has for its own.
_ISOLATED = ("setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--ipc", "--net")

# Of the ids that Debian keeps back (policy 9.2.2) one that systemd does not give to a DynamicUser= either.
BUILDER = 65530
# Another account is another process to the kernel: it forgets whose death was to be this one's.
_AS_BUILDER = (
    *("setpriv", "--pdeathsig=KILL", f"--reuid={BUILDER}", f"--regid={BUILDER}", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all", "--bounding-set=-all", "--"),
)

_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class BuildError(Exception):
    """A source that cannot be had, a patch that does not apply or a compiler that failed; the text says which."""


class CommandError(BuildError):
    """A command that failed; the text has its last lines."""


def run(
    chroot: pathlib.Path,
    *command: str,
    stdin: str | None = None,
    lines: int = 15,
    environment: t.Mapping[str, str] | None = None,
    log: t.IO[str] | None = None,
) -> str:
    """What a command run in the chroot prints; CommandError with its last `lines` when it fails.

    It runs as BUILDER and writes where that may: in what give() gave, and in /tmp. It gets /proc, which objtool needs,
    in namespaces of its own. environment: besides PATH and the locale.
    log: takes what is printed as it comes; the answer is empty then, and so is the error.
    """
    result = subprocess.run(
        [*_ISOLATED, f"--mount-proc={chroot / 'proc'}", "chroot", str(chroot), *_AS_BUILDER, *command],
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        stdout=log or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**_ENVIRONMENT, **(environment or {})},
        text=True,
        errors="replace",
    )
    output = result.stdout or ""
    if result.returncode != 0:
        tail = "\n".join(output.splitlines()[-lines:])
        raise CommandError("{} ended with {}: {}".format(" ".join(command[:4]), result.returncode, tail))
    return output


def give(folder: pathlib.Path) -> None:
    """Give a folder below the chroot's build/, and all in it, to the account that commands run as."""
    folder.parent.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, BUILDER, BUILDER)
        for parent, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(os.path.join(parent, name), BUILDER, BUILDER, follow_symlinks=False)


def opened(base: pathlib.Path, path: pathlib.Path, mode: str) -> t.IO[bytes]:
    """A regular file below a folder, by a way without a symbolic link: that could lead out of the chroot.

    mode: rb, wb or ab. base: its own path is not the builder's. Raises OSError as open() does, and BuildError for
    another kind of file.
    """
    write = os.O_WRONLY | os.O_CREAT
    flags = {"rb": os.O_RDONLY, "wb": write | os.O_TRUNC, "ab": write | os.O_APPEND}[mode]
    *folders, name = path.relative_to(base).parts
    at = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        # A pipe would have us wait.
        file = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644, dir_fd=at)
    finally:
        os.close(at)
    stream = os.fdopen(file, mode)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        stream.close()
        raise BuildError(f"{path} is no regular file")
    if mode != "rb" and os.geteuid() == 0:
        os.fchown(file, BUILDER, BUILDER)
    return stream


def read(base: pathlib.Path, path: pathlib.Path) -> bytes:
    """The content of such a file."""
    with opened(base, path, "rb") as stream:
        return stream.read()


def inside(chroot: pathlib.Path, path: pathlib.Path) -> str:
    """A path below the chroot as a command in it knows it."""
    return "/" + str(path.relative_to(chroot))


def apply(chroot: pathlib.Path, folder: pathlib.Path, patch: str) -> None:
    """Apply a patch to the source in a folder below the chroot; BuildError names the hunks that do not fit."""
    folder_inside = "--directory=" + inside(chroot, folder)
    try:
        # No fuzz: a hunk that fits only roughly may land in the wrong place.
        run(chroot, "patch", "--strip=1", "--fuzz=0", "--force", folder_inside, stdin=patch, lines=1000)
    except BuildError as error:
        raise BuildError(describe_failure(str(error))) from None


def describe_failure(output: str) -> str:
    """What patch(1) could not apply: file, hunk and line."""
    file, failed = "", []
    for line in output.splitlines():
        named = re.search(r"(?:checking|patching) file (\S+)", line)
        if named:
            file = named[1]
        hunk = re.match(r"Hunk #(\d+) FAILED at (\d+)", line)
        if hunk:
            failed.append(f"{file} hunk {hunk[1]} at line {hunk[2]}")
    return ", ".join(failed) or output.strip()
