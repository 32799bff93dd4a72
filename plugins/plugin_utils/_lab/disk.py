# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The disk of machines that boot through a loader: GPT, GRUB for a BIOS, systemd-boot for UEFI, the root file system.

Nothing is mounted and no loop device is used: every program here writes into a part of a file.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import grub, loaders
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import root as _lab_root
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.grub import SECTOR

_MIB = (1 << 20) // SECTOR


@dataclass(frozen=True)
class Partition:
    """A partition: its type's GUID, and where it begins and how long it is, in sectors."""

    name: str
    type: str
    first: int
    sectors: int

    @property
    def offset(self) -> int:
        """Where it begins, in bytes."""
        return self.first * SECTOR


# In this order: GRUB's configuration calls the second gpt2 and the third gpt3.
BIOS = Partition("bios", "21686148-6449-6E6F-744E-656564454649", 1 * _MIB, 1 * _MIB)
# Three kernels with their initial RAM disks take less than half of it.
ESP = Partition("esp", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", 2 * _MIB, 256 * _MIB)
ROOT = Partition("root", "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", 258 * _MIB, _lab_root.SIZE_MIB * _MIB)
# The last MiB is for the second copy of the table.
SECTORS = ROOT.first + ROOT.sectors + 1 * _MIB

# Of a first sector: four entries of 16 bytes (UEFI specification 2.10, 5.2.1).
_MBR_ENTRIES, _MBR_ENTRIES_SIZE = 446, 64

# What GRUB needs to read its configuration, which then loads what it names.
_GRUB_MODULES = ("biosdisk", "part_gpt", "fat", "ext2", "normal", "configfile", "test", "linux")
_GRUB_FOLDER = "usr/lib/grub/i386-pc"
_SYSTEMD_BOOT = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
_FIRMWARE = {"code.fd": "/usr/share/OVMF/OVMF_CODE_4M.fd", "vars.fd": "/usr/share/OVMF/OVMF_VARS_4M.fd"}


def partition_table() -> str:
    """The table as sfdisk(8) reads it."""
    line = "start={0.first}, size={0.sectors}, type={0.type}, name={0.name}\n"
    return "label: gpt\n" + "".join(line.format(partition) for partition in (BIOS, ESP, ROOT))


def make_disk(folder: pathlib.Path, root: pathlib.Path, release: str) -> None:
    """Make root.raw, code.fd and vars.fd in `folder` of the tree `root`, which has the kernel `release`."""
    image = folder / "root.raw"
    make_partitions(image)
    _prepare(root)
    _install_grub(image, root)
    esp = folder / "esp"
    _fill_esp(esp, root, release)
    write_esp(image, esp)
    shutil.rmtree(esp)
    _lab_root.make_ext4(root, image, ROOT.offset, loaders.ROOT_UUID)
    # The image keeps what it was made with: machines of one snapshot restart with the code that they were saved with.
    for name, source in _FIRMWARE.items():
        shutil.copyfile(source, folder / name)


def make_partitions(image: pathlib.Path) -> None:
    """Make an empty disk with its partition table."""
    with image.open("wb") as stream:
        stream.truncate(SECTORS * SECTOR)
    _run(["sfdisk", "--quiet", str(image)], stdin=partition_table())


def _prepare(root: pathlib.Path) -> None:
    _lab_root.write(root, loaders.FILES)
    _lab_root.link(root, loaders.LINKS)
    for name in loaders.UNMASKED:
        (root / name).unlink()
    (root / "efi").mkdir()


def _install_grub(image: pathlib.Path, root: pathlib.Path) -> None:
    """What grub-install does, which wants to see the disk as a device."""
    shutil.copytree(root / _GRUB_FOLDER, root / "boot/grub/i386-pc")
    core = "boot/grub/i386-pc/core.img"
    options = ["--format=i386-pc", f"--output=/{core}", "--prefix=(hd0,gpt2)/grub"]
    # In the tree: the program belongs to the modules beside it.
    _run(["chroot", str(root), "grub-mkimage", *options, *_GRUB_MODULES])
    _run(["chroot", str(root), "grub-editenv", "/boot/grub/grubenv", "create"])
    with image.open("r+b") as stream:
        sector = stream.read(SECTOR)
        stream.seek(0)
        stream.write(grub.boot_sector((root / _GRUB_FOLDER / "boot.img").read_bytes(), sector, BIOS.first))
        stream.seek(BIOS.offset)
        stream.write(grub.core_image((root / core).read_bytes(), BIOS.first, BIOS.sectors))


def _fill_esp(esp: pathlib.Path, root: pathlib.Path, release: str) -> None:
    """What `bootctl install` and `kernel-install add` write."""
    _lab_root.write(esp, loaders.esp_files(release))
    kernels = esp / loaders.ENTRY_TOKEN / release
    copies = {
        _SYSTEMD_BOOT: (esp / "EFI/BOOT/BOOTX64.EFI", esp / "EFI/systemd/systemd-bootx64.efi"),
        f"boot/vmlinuz-{release}": (kernels / "linux",),
        f"boot/initrd.img-{release}": (kernels / f"initrd.img-{release}",),
    }
    for source, targets in copies.items():
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / source, target)


def write_esp(image: pathlib.Path, esp: pathlib.Path) -> None:
    """Make the EFI system partition's file system on the disk and copy what is in the folder `esp` into it."""
    where = f"{image}@@{ESP.offset}"
    # -F: FAT32. -H: the sectors before the partition. The geometry is that of a large disk; nothing reads it any more.
    geometry = ["-T", str(ESP.sectors), "-h", "255", "-s", "63", "-H", str(ESP.first)]
    _run(["mformat", "-i", where, "-F", *geometry, "-N", loaders.ESP_SERIAL, "-v", "ESP", "::"])
    with image.open("r+b") as stream:
        # mformat writes a table of partitions into the file system's first sector, which GRUB takes for nested ones.
        stream.seek(ESP.offset + _MBR_ENTRIES)
        stream.write(bytes(_MBR_ENTRIES_SIZE))
    _run(["mcopy", "-i", where, "-s", *sorted(str(path) for path in esp.iterdir()), "::/"])


def _run(command: t.Sequence[str], stdin: str = "") -> None:
    subprocess.run(command, check=True, input=stdin, text=True)
