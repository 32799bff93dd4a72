# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Commands in a build chroot: nothing of them stays, mounted or running, whatever happens to us."""

from __future__ import annotations

import pathlib
import re
import subprocess
import typing as t

# The kernel ends all of it together with us, and with the first process of the namespace everything that it started:
# an orphaned make would go on writing into a folder that the next run has for its own.
_ISOLATED = ("setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child=KILL")

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

    It gets /proc, which objtool needs, in namespaces of its own. environment: besides PATH and the locale.
    log: takes what is printed as it comes; the answer is empty then, and so is the error.
    """
    result = subprocess.run(
        [*_ISOLATED, f"--mount-proc={chroot / 'proc'}", "chroot", str(chroot), *command],
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
