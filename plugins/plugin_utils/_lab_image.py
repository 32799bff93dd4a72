# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The image that all lab machines start from: Debian with a supported kernel, as one ext4 file system.

An entry of the cache holds root.ext4, vmlinuz, initrd and image.json. Machines write to overlays, never to it.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import typing as t
from dataclasses import asdict

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _cache, _mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _lab_files
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab_archive import Kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab_report import LabError, Progress

# Sparse: it takes what is in it.
_SIZE = "6G"


def image_key(kernel: Kernel, packages: t.Sequence[str]) -> str:
    """The name of the image's cache entry: the hash of everything that makes it."""
    sources = (__file__, _lab_files.__file__, _mmdebstrap.__file__)
    code = [pathlib.Path(source).read_text(encoding="utf-8") for source in sources]
    return _cache.content_hash({"kernel": asdict(kernel), "packages": sorted(packages), "code": code})


def ensure_image(
    cache: pathlib.Path, mirror: str, kernel: Kernel, packages: t.Sequence[str], progress: Progress
) -> tuple[pathlib.Path, bool]:
    """The folder of the image, and whether it had to be built."""
    entry = cache / "images" / image_key(kernel, packages)

    def build(folder: pathlib.Path) -> None:
        progress.say(f"building the image: Debian {_mmdebstrap.SUITE}, Linux {kernel.release}, {mirror}")
        _build(folder, mirror, kernel, packages, progress)

    def waiting() -> None:
        progress.say("waiting for another process that builds this image")

    return entry, _cache.ensure(entry, build, waiting)


def _build(folder: pathlib.Path, mirror: str, kernel: Kernel, packages: t.Sequence[str], progress: Progress) -> None:
    root = folder / "root"
    with tempfile.TemporaryDirectory(prefix="nvmeof-mptcp-") as scratch:
        settings = pathlib.Path(scratch) / "initramfs-tools"
        _write(settings, _lab_files.INITRAMFS)
        # Before the kernel is installed, which makes its initial RAM disk.
        hook = f"--essential-hook=copy-in {settings} /etc"
        names = [*packages, "initramfs-tools", "zstd", kernel.package]
        try:
            _mmdebstrap.bootstrap(
                str(root), mirror, names, arguments=[*_lab_files.DPKG_OPTIONS, hook], on_line=_reporter(progress)
            )
        except _mmdebstrap.MmdebstrapError as error:
            raise LabError(f"the image was not built: {error}") from None
    _customise(root)
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(root / "boot" / f"{name}-{kernel.release}", folder / name.split(".")[0])
    progress.say("writing the file system")
    image = folder / "root.ext4"
    # -d: fills it from the folder, without mounting anything. The inode tables are written now, not by the guests.
    options = ["-q", "-t", "ext4", "-L", "root", "-d", str(root), "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    subprocess.run(["mke2fs", *options, str(image), _SIZE], check=True, stdin=subprocess.DEVNULL)
    _mmdebstrap.remove(str(root))
    text = json.dumps({"kernel": asdict(kernel), "packages": sorted(packages)}, indent=2)
    (folder / "image.json").write_text(text + "\n", encoding="utf-8")


def _reporter(progress: Progress) -> t.Callable[[str], None]:
    def on_line(line: str) -> None:
        # mmdebstrap's own lines are its steps; those of the programs it runs are many.
        if line.startswith("I: ") and "hook" not in line:
            progress.say("  " + line[3:])
        else:
            progress.still("  ... " + line[:60])

    return on_line


def _customise(root: pathlib.Path) -> None:
    for pattern in _lab_files.REMOVED:
        for path in root.glob(pattern):
            path.unlink()
    _write(root, _lab_files.FILES)
    for name, target in _lab_files.LINKS.items():
        link = root / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        os.symlink(target, link)
    # journald keeps its log over reboots if this folder is there.
    (root / "var/log/journal").mkdir(exist_ok=True)


def _write(root: pathlib.Path, files: t.Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
