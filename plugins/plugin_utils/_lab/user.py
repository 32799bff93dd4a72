# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The user that QEMU runs as, and what it may reach: its machines' folders, and files that it is handed open.

QEMU's own options for this (-runas, -run-with user=) begin as root, open everything and then change the user: that
forgets that the process should end with its starter (PR_SET_PDEATHSIG), and cannot go with a sandbox that forbids to
change the user. setpriv does it before QEMU begins, whatever its version. Labs and cache lie below folders that this
user cannot enter, like /root, so nothing is reached by its absolute path: names are relative to the working directory,
and everything else is a descriptor.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import stat

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

#: Made by the role lab. A user of its own, because nobody's files and processes are those of many programs.
NAME = "nvmeof-mptcp-lab"
_KVM = "/dev/kvm"


def become(accelerator: str) -> list[str]:
    """The words before a command that runs as the user, with no way to more. accelerator: kvm or tcg."""
    user = _user()
    group = _group_of_kvm() if accelerator == "kvm" else 0
    return [
        *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"),
        f"--groups={group}" if group else "--clear-groups",
        *("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"),
    ]


def let_through(folder: pathlib.Path) -> None:
    """Let the user pass `folder`, which is root's, but not see what is in it: machines have their cables there."""
    os.chown(folder, 0, _user().pw_gid)
    folder.chmod(0o710)


def give(folder: pathlib.Path) -> None:
    """Make the machine's `folder` and what is in it the user's, and nobody else's to look at."""
    user = _user()
    folder.chmod(0o700)
    _chown(folder, user.pw_uid, user.pw_gid)


def take_back(folder: pathlib.Path) -> None:
    """Make `folder` and what is in it root's: what a snapshot holds no machine changes."""
    _chown(folder, 0, 0)


class Handed:
    """Files that QEMU is handed open; as a context they are closed at its end, when it has them."""

    def __init__(self) -> None:
        self.handles: list[int] = []

    def __enter__(self) -> Handed:
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            os.close(handle)

    def name(self, path: str | pathlib.Path) -> str:
        """The name by which the user can open the file `path`, for reading alone."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.handles.append(handle)
        os.fchown(handle, 0, _user().pw_gid)
        os.fchmod(handle, 0o640)
        return f"/proc/self/fd/{handle}"


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise LabError(f"there is no user {NAME}, as which the machines run: the role lab makes it") from None


def _group_of_kvm() -> int:
    found = os.stat(_KVM)
    return found.st_gid if found.st_mode & stat.S_IRGRP else 0


def _chown(folder: pathlib.Path, user: int, group: int) -> None:
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(where, name), user, group, follow_symlinks=False)
    os.chown(folder, user, group)
