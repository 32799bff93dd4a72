# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""The Debian packages of this machine: which there are, and the commands that install and remove them."""

from __future__ import annotations

import subprocess
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation

_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--quiet", "-o", "DPkg::Lock::Timeout=120")
# --no-remove: what would have to go for it is somebody's. The settings of packages stay the site's. The version of
# rebuilt modules ends in a hash, so newer ones may have the lower version.
_CAREFUL = ("--no-install-recommends", "--no-remove", "--allow-downgrades", "-o", "Dpkg::Options::=--force-confold")
INSTALL = (*_APT, *_CAREFUL, "install", "--")
PURGE = (*_APT, "purge", "--")


def install(sources: t.Sequence[str], about: str) -> list[Operation]:
    """Install packages from files, whose paths have to be absolute."""
    return [Operation("run", argv=(*INSTALL, *sources), about=about)] if sources else []


def installed_version(package: str) -> str:
    """Version of an installed package; empty when it is not installed, or the machine has no dpkg."""
    # Reason for a command: dpkg's database has no other stable reader.
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}\n", "--", package]
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    status, _, version = result.stdout.strip().partition(" ")
    return version if status == "installed" else ""


def is_automatic(package: str) -> bool:
    """Whether apt installed a package because another one needs it, and removes it when none does any longer."""
    # Reason for a command: apt's marks have no other stable reader.
    result = subprocess.run(["apt-mark", "showauto", "--", package], capture_output=True, text=True)
    return result.stdout.strip() == package
