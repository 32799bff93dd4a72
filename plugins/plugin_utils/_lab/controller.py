# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""What the lab needs of the machine it runs on: told in one line each, before anything is done."""

from __future__ import annotations

import os
import pathlib
import platform
import shutil
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import DIRECT
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

# A program or file → the package that has it.
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "setpriv": "util-linux",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
# For machines that boot through a boot loader, besides.
LOADER_PACKAGES = {
    "sfdisk": "fdisk",
    "mformat": "mtools",
    "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
}

_GIB = 1 << 30
# The image and its unpacked tree, and the snapshot of a small lab; then the overlays of a lab in use.
_CACHE_SPACE, _LAB_SPACE = 4 * _GIB, 2 * _GIB


def check_controller(system: str, machine: str, os_release: t.Mapping[str, str], is_root: bool) -> None:
    """Raise LabError unless this is a Debian-like Linux on x86-64 and we are root."""
    if (system, machine) != ("Linux", "x86_64"):
        raise LabError(f"the lab runs on Linux x86-64; this machine is {system} {machine}")
    names = [os_release.get("ID", ""), *os_release.get("ID_LIKE", "").split()]
    if "debian" not in names:
        raise LabError(
            "the lab runs on Debian 12 or 13 or a system like it (apt, mmdebstrap); this is {}".format(
                os_release.get("PRETTY_NAME", "unknown")
            )
        )
    if not is_root:
        raise LabError("the lab must be run as root (it installs packages and makes a root file system): sudo make lab")


def check_here() -> None:
    """check_controller() with what this machine says of itself."""
    try:
        release: t.Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:
        release = {}
    check_controller(platform.system(), platform.machine(), release, os.geteuid() == 0)
    if not os.path.exists("/proc/self/exe"):
        raise LabError("/proc is not mounted: mount -t proc proc /proc")


def missing_packages(boots: t.Collection[str]) -> list[str]:
    """The packages whose programs or files are not there, sorted. boots: the ways in which machines boot."""
    wanted = PACKAGES if set(boots) <= {DIRECT} else {**PACKAGES, **LOADER_PACKAGES}
    # Debian's sbin folders are not in every user's PATH.
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return sorted(
        package
        for name, package in wanted.items()
        if not (os.path.exists(name) if name.startswith("/") else shutil.which(name, path=path))
    )


def check_space(path: pathlib.Path, needed: int) -> None:
    """Raise LabError unless the file system that will hold `path` has `needed` bytes free."""
    existing = path
    while not existing.exists():
        existing = existing.parent
    available = shutil.disk_usage(existing).free
    if available < needed:
        raise LabError(
            f"{path}: {available / _GIB:.1f} GiB free, {needed / _GIB:.1f} GiB needed: "
            "free some, or set another lab_dir or lab_cache_dir"
        )


def check_spaces(cache: pathlib.Path, lab: pathlib.Path) -> None:
    """Enough room for a cold start."""
    check_space(cache, _CACHE_SPACE)
    check_space(lab, _LAB_SPACE)


def check_memory(needed: int, meminfo: str) -> None:
    """Raise LabError unless `needed` MiB fit what /proc/meminfo's text says is available."""
    available = next(int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemAvailable:")) // 1024
    if available < needed:
        raise LabError(
            f"{available} MiB of memory available, {needed} MiB needed by lab_machines: end something, or lower memory"
        )
