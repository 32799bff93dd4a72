# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What boots the machine: which kernels it offers, which one it boots, and how it boots another one once.

Each loader has a file of its own: loader_grub and loader_systemd.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader_grub import Grub
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader_systemd import SystemdBoot

#: What is said of a machine whose loader is not known.
UNKNOWN = (
    "its boot loader is neither GRUB (/boot/grub/grub.cfg) nor systemd-boot, so no kernel can be booted just once: "
    "install one of them, or boot a kernel that has the transport yourself"
)


class Loader(t.Protocol):
    """A boot loader of this machine. What it cannot tell or do is an OSError."""

    name: str

    def entries(self) -> dict[str, str]:
        """Kernel release to the name of the entry that boots it."""

    def options(self, release: str) -> list[str]:
        """The words of a release's command line."""

    def default(self) -> str:
        """The release that boots unless somebody intervenes; empty when it cannot be told."""

    def next(self) -> str:
        """The release that is booted once, at the next boot; empty when that is the default."""

    def obstacles(self) -> list[str]:
        """Why it cannot boot a kernel once."""

    def folders(self) -> list[str]:
        """Where a kernel and its initial RAM disk are put besides /boot."""

    def keep_default(self, release: str) -> list[Operation]:
        """Make a release the default, and let it stay that when kernels come and go."""

    def boot_once(self, release: str) -> list[Operation]:
        """Boot a release at the next boot alone."""

    def boot_default(self) -> list[Operation]:
        """Take boot_once() back."""


def find(root: str = "/") -> Loader | None:
    """The loader that booted this machine, or None for one that is not known."""
    # The loader says so itself; a GRUB in use leaves its menu, which one that was left behind also has.
    if efi.text("LoaderInfo", efi.LOADER, root).startswith("systemd-boot"):
        return SystemdBoot(root)
    if os.path.exists(os.path.join(root, "boot/grub/grub.cfg")):
        return Grub(root)
    return None
