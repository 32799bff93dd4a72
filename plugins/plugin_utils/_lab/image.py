# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The images that lab machines start from, in the cache. Machines write to overlays, never to them.

An entry holds root.raw, vmlinuz and image.json. For machines that boot directly root.raw is one ext4 file system, and
there is an initrd. Those that boot through a loader share a partitioned disk with GRUB and systemd-boot, beside UEFI's
code.fd and vars.fd.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import typing as t
from dataclasses import asdict

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import disk, files, grub, qemu
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import loaders as _lab_loaders
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import root as _lab_root
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.archive import Kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import DIRECT
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import Progress


def image_key(kernel: Kernel, packages: t.Sequence[str], loaders: bool) -> str:
    """The name of the image's cache entry: the hash of everything that makes it. loaders: it boots through one."""
    data = {"kernel": asdict(kernel), "packages": sorted(packages)}
    sources = [__file__, _lab_root.__file__, files.__file__, mmdebstrap.__file__]
    if loaders:
        sources += [disk.__file__, grub.__file__, _lab_loaders.__file__]
        data["options"] = qemu.KERNEL_COMMAND_LINE
    code = [pathlib.Path(source).read_text(encoding="utf-8") for source in sources]
    return _cache.content_hash({**data, "code": code})


def ensure_images(
    cache: pathlib.Path,
    mirror: str,
    kernel: Kernel,
    packages: t.Sequence[str],
    boots: t.Collection[str],
    progress: Progress,
) -> tuple[dict[str, pathlib.Path], bool]:
    """The folder of the image for each way to boot in `boots`, and whether one had to be built."""
    entries = {
        loaders: cache / "images" / image_key(kernel, packages, loaders)
        for loaders in sorted({boot != DIRECT for boot in boots})
    }
    built = [_ensure(entry, mirror, kernel, packages, loaders, progress) for loaders, entry in entries.items()]
    return {boot: entries[boot != DIRECT] for boot in boots}, any(built)


def _ensure(
    entry: pathlib.Path, mirror: str, kernel: Kernel, packages: t.Sequence[str], loaders: bool, progress: Progress
) -> bool:
    what = "the image with boot loaders" if loaders else "the image"

    def build(folder: pathlib.Path) -> None:
        progress.say(f"building {what}: Debian {mmdebstrap.SUITE}, Linux {kernel.release}, {mirror}")
        root = folder / "root"
        more, initramfs = (_lab_loaders.PACKAGES, _lab_loaders.INITRAMFS) if loaders else ((), files.INITRAMFS)
        _lab_root.make_root(root, mirror, kernel, [*packages, *more], initramfs, progress)
        shutil.copyfile(root / "boot" / f"vmlinuz-{kernel.release}", folder / "vmlinuz")
        progress.say("writing the file system")
        if loaders:
            disk.make_disk(folder, root, kernel.release)
        else:
            shutil.copyfile(root / "boot" / f"initrd.img-{kernel.release}", folder / "initrd")
            _lab_root.make_ext4(root, folder / "root.raw")
        mmdebstrap.remove(str(root))
        text = json.dumps({"kernel": asdict(kernel), "packages": sorted(packages), "loaders": loaders}, indent=2)
        (folder / "image.json").write_text(text + "\n", encoding="utf-8")

    def waiting() -> None:
        progress.say(f"waiting for another process that builds {what}")

    return _cache.ensure(entry, build, waiting)
