# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""What is in the image of machines that boot through a loader, besides what every lab machine has.

One disk serves both loaders. The one that a machine does not use stays out of the way as on any Debian: zz-update-grub
does nothing without /boot/grub/grub.cfg, zz-systemd-boot nothing without a mounted EFI system partition.
"""

from __future__ import annotations

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import KERNEL_COMMAND_LINE

PACKAGES = ("grub-pc-bin", "grub2-common", "systemd-boot", "systemd-boot-efi")

# Kernels of all flavours, the distribution's generic one too, find the disk. Level 1: an emulated CPU packs it.
INITRAMFS = {
    "modules": "virtio_pci\nvirtio_blk\next4\n",
    "conf.d/lab": "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nFSTYPE=ext4\n",
}

# Any will do; known beforehand, the files below can name them.
ROOT_UUID = "6c616220-726f-4f74-8000-000000000001"
ESP_SERIAL = "4c414201"
# Kernels on the EFI system partition are in a folder of this name; the default, the machine id, is each machine's own.
ENTRY_TOKEN = "lab"

_ROOT = f"root=UUID={ROOT_UUID}"
# In the image only; the machine replaces it by its own entry.
_IMAGE_ENTRY = "loader/entries/image.conf"

FILES = {
    # No check at boot: ext4 replays its journal by itself. However long a machine takes to see its disk while the
    # controller is busy, an emergency shell is of no use.
    "etc/fstab": (
        f"UUID={ROOT_UUID} / ext4 errors=remount-ro 0 0\n"
        f"UUID={ESP_SERIAL[:4].upper()}-{ESP_SERIAL[4:].upper()} /efi vfat "
        "umask=0077,x-systemd.device-timeout=infinity 0 0\n"
    ),
    "etc/systemd/system/efi.mount.d/lab.conf": "[Unit]\nConditionPathExists=/sys/firmware/efi\n",
    # No menu, nor after a boot that did not end well; and what GRUB says is in console.log too.
    "etc/default/grub": (
        "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_RECORDFAIL_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\n"
        f'GRUB_CMDLINE_LINUX_DEFAULT=""\nGRUB_CMDLINE_LINUX="{KERNEL_COMMAND_LINE}"\n'
        'GRUB_TERMINAL=serial\nGRUB_SERIAL_COMMAND="serial --unit=0"\n'
    ),
    "etc/kernel/cmdline": f"{_ROOT} {KERNEL_COMMAND_LINE}\n",
    "etc/kernel/entry-token": ENTRY_TOKEN + "\n",
    # Kernels are installed and removed here.
    "etc/initramfs-tools/update-initramfs.conf": "update_initramfs=yes\nbackup_initramfs=no\n",
    # What an installer does on the machine itself, because it needs the machine's disks and its id.
    "etc/systemd/system/lab-grub.service": (
        "[Unit]\nConditionPathExists=!/sys/firmware/efi\nConditionPathExists=!/boot/grub/grub.cfg\n"
        "[Service]\nType=oneshot\nExecStart=update-grub\n"
    ),
    "etc/systemd/system/lab-systemd-boot.service": (
        f"[Unit]\nConditionPathExists=/sys/firmware/efi\nConditionPathExists=/efi/{_IMAGE_ENTRY}\n"
        f"[Service]\nType=oneshot\nExecStart=kernel-install add %v /boot/vmlinuz-%v\nExecStart=rm /efi/{_IMAGE_ENTRY}\n"
    ),
}

LINKS = {
    f"etc/systemd/system/multi-user.target.wants/{unit}": f"/etc/systemd/system/{unit}"
    for unit in ("lab-grub.service", "lab-systemd-boot.service")
}

# Masked where there is no hardware for it; UEFI keeps what a panic leaves.
UNMASKED = ("etc/systemd/system/systemd-pstore.service",)


def esp_files(release: str) -> dict[str, str]:
    """Text files on the EFI system partition. release: of the kernel in the image."""
    folder = f"/{ENTRY_TOKEN}/{release}"
    options = f"{_ROOT} {KERNEL_COMMAND_LINE}"
    return {
        "loader/loader.conf": "timeout 0\n",
        # What `bootctl install` says of the layout (BOOT(7) of the boot loader specification: type 1).
        "loader/entries.srel": "type1\n",
        _IMAGE_ENTRY: (
            f"title Debian\nversion {release}\noptions {options}\n"
            f"linux {folder}/linux\ninitrd {folder}/initrd.img-{release}\n"
        ),
        # Where GRUB looks first: the machine's own configuration as soon as there is one.
        "grub/grub.cfg": (
            "set root=hd0,gpt3\nset prefix=($root)/boot/grub\n"
            "if [ -e $prefix/grub.cfg ]; then\n  configfile $prefix/grub.cfg\nfi\n"
            f"linux /boot/vmlinuz-{release} {options}\ninitrd /boot/initrd.img-{release}\nboot\n"
        ),
    }
