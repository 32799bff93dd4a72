# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The lab's root file system as a folder: Debian with a supported kernel, and what makes a lab machine of it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import files as _lab_files
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.archive import Kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress

# Sparse: it takes what is in it.
SIZE_MIB = 6 << 10


def make_root(
    root: pathlib.Path,
    mirror: str,
    kernel: Kernel,
    packages: t.Sequence[str],
    initramfs: t.Mapping[str, str],
    progress: Progress,
) -> None:
    """Make the root file system. initramfs: files of /etc/initramfs-tools."""
    with tempfile.TemporaryDirectory(prefix="nvmeof-mptcp-") as scratch:
        settings = pathlib.Path(scratch) / "initramfs-tools"
        write(settings, initramfs)
        # Before the kernel is installed, which makes its initial RAM disk.
        hook = f"--essential-hook=copy-in {settings} /etc"
        names = [*packages, "initramfs-tools", "zstd", kernel.package]
        try:
            mmdebstrap.bootstrap(
                str(root), mirror, names, arguments=[*_lab_files.DPKG_OPTIONS, hook], on_line=_reporter(progress)
            )
        except mmdebstrap.MmdebstrapError as error:
            raise LabError(f"the image was not built: {error}") from None
    for pattern in _lab_files.REMOVED:
        for path in root.glob(pattern):
            path.unlink()
    write(root, _lab_files.FILES)
    link(root, _lab_files.LINKS)
    # journald keeps its log over reboots if this folder is there.
    (root / "var/log/journal").mkdir(exist_ok=True)


def _reporter(progress: Progress) -> t.Callable[[str], None]:
    def on_line(line: str) -> None:
        # mmdebstrap's own lines are its steps; those of the programs it runs are many.
        if line.startswith("I: ") and "hook" not in line:
            progress.say("  " + line[3:])
        else:
            progress.still("  ... " + line[:60])

    return on_line


def write(root: pathlib.Path, files: t.Mapping[str, str]) -> None:
    """Write `files`, path below `root` → text."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def link(root: pathlib.Path, links: t.Mapping[str, str]) -> None:
    """Make `links`, path below `root` → target, in place of what is there."""
    for name, target in links.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.symlink(target, path)


def make_ext4(root: pathlib.Path, image: pathlib.Path, offset: int = 0, uuid: str = "random") -> None:
    """Write the tree as an ext4 file system into `image`, `offset` bytes from its beginning."""
    # -d: fills it from the folder, without mounting anything. The inode tables are written now, not by the guests.
    options = ["-d", str(root), "-E", f"lazy_itable_init=0,lazy_journal_init=0,offset={offset}", "-U", uuid]
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", *options, str(image), f"{SIZE_MIB}M"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
