# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Which kernels the collection's patch is made for, and what stands in the way of rebuilt modules on a machine."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The series whose packaged source the patch applies to without fuzz, newest first; the lab's machines run them, too.
# MPTCP sockets have .read_sock since 7.0.
SERIES = ("7.3", "7.2")

# Debian's names of kernel releases: 7.2.12+deb13-cloud-amd64, 7.2.12+deb14-amd64; of a second upload
# 7.2.12+deb13+1-amd64.
_RELEASE = re.compile(
    r"(?P<series>\d+\.\d+)\.\d+\+deb\d+(\+\d+)?(-(?P<flavour>[a-z]+))?-(?P<architecture>[a-z0-9]+)",
    re.ASCII,
)

# The package of rebuilt modules is called this and the kernel release, as the kernel's own is linux-image-<release>.
MODULES_PACKAGE = "nvme-mptcp-modules-"

REMEDY = (
    "write nvme_kernel_package: linux-image-amd64 (or linux-image-cloud-amd64) and nvme_kernel_reboot: true to have "
    "the kernel of Debian 13's backports tried and kept, if it is of series {}; or boot a kernel that has the "
    "transport".format(" or ".join(SERIES))
)
UNSIGNED = (
    "loads signed modules only (Secure Boot or lockdown), and rebuilt ones are not signed: switch Secure Boot off, or "
    "boot a kernel that has the transport and is signed with the site's key (nvme_kernel_method: package)"
)


@dataclass(frozen=True)
class Release:
    """A Debian kernel release (uname -r): series 7.2, flavour "" (generic), cloud or rt, Debian's architecture name."""

    name: str
    series: str
    flavour: str
    architecture: str

    @property
    def source(self) -> str:
        """The package with the source of the whole series."""
        return "linux-source-" + self.series

    @property
    def headers(self) -> str:
        """The package to build modules for this release with; it brings the kernel's own compiler."""
        return "linux-headers-" + self.name

    @property
    def image(self) -> str:
        """The package of the kernel itself."""
        return "linux-image-" + self.name


def parse_release(name: str) -> Release | None:
    """The parts of a release name, or None when it is not one of Debian's."""
    match = _RELEASE.fullmatch(name)
    if match is None:
        return None
    return Release(name, match["series"], match["flavour"] or "", match["architecture"])


def takes_signed_only(lockdown: str, enforced: bool) -> bool:
    """Whether a kernel loads signed modules only.

    lockdown: content of /sys/kernel/security/lockdown, the mode in force in brackets; empty if there is none.
    enforced: what its parameter module.sig_enforce says.
    """
    return "[integrity]" in lockdown or "[confidentiality]" in lockdown or enforced


def obstacles(name: str, package_version: str, signed_only: bool) -> list[str]:
    """Why rebuilt modules cannot bring the transport to a machine; empty when they can.

    name: uname -r. package_version: version of the package that owns the running kernel, empty if none does.
    signed_only: whether the kernel loads signed modules only.
    """
    release = parse_release(name)
    if release is None or not package_version:
        return [f"kernel {name} is not one of Debian's packages: {REMEDY}"]
    found = []
    if release.series not in SERIES:
        supported = " and ".join(SERIES)
        found.append(f"kernel {name} is of series {release.series}, the patch is for {supported}: {REMEDY}")
    if release.architecture != "amd64":
        found.append(f"kernel {name} is for {release.architecture}: rebuilt modules are made for amd64 only")
    if signed_only:
        found.append(f"kernel {name} {UNSIGNED}")
    return found
