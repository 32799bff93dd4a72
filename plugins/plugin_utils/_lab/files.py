# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""What the lab's image has in it besides the distribution's packages, and what it leaves out, each with its reason."""

from __future__ import annotations

# Documentation and translations are a third of the image, and nobody reads them in it. What these hooks put into an
# initial RAM disk no machine needs before its root file system, and an emulated CPU packs it for half a minute.
_EXCLUDED = (
    *(f"{folder}/*" for folder in ("doc", "man", "locale", "info")),
    *(f"initramfs-tools/hooks/{name}" for name in ("dmsetup", "fsck", "keymap", "lvm2", "mdadm", "resume", "thermal")),
    "initramfs-tools/scripts/*/mdadm",
)
DPKG_OPTIONS = tuple(f"--dpkgopt=path-exclude=/usr/share/{path}" for path in _EXCLUDED)

# Relative to /etc/initramfs-tools. The kernel has ext4 and virtio-pci built in; the disk is all that is missing.
INITRAMFS = {
    "modules": "virtio_blk\n",
    "conf.d/lab": "MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\n",
}

# Each machine gets its own (see _lab_identity).
REMOVED = (
    "etc/ssh/ssh_host_*",
    "etc/nvme/hostid",
    "etc/nvme/hostnqn",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
)

# Ansible sends each module as an archive of sources, which an emulated CPU takes about a second to compile: what was
# compiled once is kept. In memory, so that a look at what a run has changed does not find it.
_COMPILED = """\
import marshal, os, zipimport

compile_source = zipimport._compile_source


def kept(path, source):
    from importlib.util import source_hash

    name = os.path.join("/run/compiled", source_hash(source).hex())
    try:
        with open(name, "rb") as stream:
            return marshal.load(stream)
    except OSError:
        code = compile_source(path, source)
    # Who is not root has to compile.
    if os.access("/run", os.W_OK):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(f"{name}.{os.getpid()}", "wb") as stream:
            marshal.dump(code, stream)
        os.replace(stream.name, name)
    return code


zipimport._compile_source = kept
"""

# A hook's first chain and the end of its last one have the kernel patch its own code, of the path of each packet here.
# QEMU before 8.1 may go on with what it has translated half-way, when the machine has two processors: "int3", and the
# machine panics. So no chain of a test is the first or the last one.
_HOOKS = """\
flush ruleset
table inet lab {
  chain prerouting { type filter hook prerouting priority 0; }
  chain input { type filter hook input priority 0; }
  chain forward { type filter hook forward priority 0; }
  chain output { type filter hook output priority 0; }
  chain postrouting { type filter hook postrouting priority 0; }
}
table netdev lab {
  chain ingress { type filter hook ingress device "lo" priority 0; }
  chain egress { type filter hook egress device "lo" priority 0; }
}
"""

FILES = {
    # Empty: systemd fills it at the first boot (machine-id(5)).
    "etc/machine-id": "",
    # One kind of host key, made by the lab. Logging in without PAM leaves no session to set up for each ssh command.
    "etc/ssh/sshd_config.d/lab.conf": "HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\nUseDNS no\n",
    # The RAM disk in the image is never made again: QEMU boots the one beside the image.
    "etc/initramfs-tools/update-initramfs.conf": "update_initramfs=no\nbackup_initramfs=no\n",
    # Sent with every login otherwise.
    "etc/motd": "",
    "etc/nftables.conf": _HOOKS,
    "usr/lib/python3/dist-packages/lab_compiled.py": _COMPILED,
    # Every start of Python reads it (site).
    "usr/lib/python3/dist-packages/lab_compiled.pth": "import lab_compiled\n",
}

_MASKED = (
    # No schedule of the distribution's may run into a measurement.
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mdmonitor-oneshot.timer",
    "systemd-tmpfiles-clean.timer",
    # Other people's ways to connect, which a test unmasks.
    "stacd.service",
    "stafd.service",
    # Nobody logs in at a console.
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    # Host keys come with the machine's identity.
    "sshd-keygen.service",
    # Indices that nothing here uses, made anew after each new image.
    "ldconfig.service",
    "systemd-journal-catalog-update.service",
    # Hardware that is not there.
    "nvmefc-boot-connections.service",
    "systemd-pstore.service",
    "modprobe@drm.service",
    "systemd-binfmt.service",
    # systemd-networkd has the NICs; a test that wants NetworkManager to have them unmasks it.
    "NetworkManager.service",
    "NetworkManager-dispatcher.service",
    # Nothing waits for a network that has no router.
    "systemd-networkd-wait-online.service",
)

_NULL = "/dev/null"
_SYSTEM = "/usr/lib/systemd/system/"
LINKS = {
    "etc/systemd/system/sysinit.target.wants/nftables.service": _SYSTEM + "nftables.service",
    **{"etc/systemd/system/" + unit: _NULL for unit in _MASKED},
    # Needs a vsock device, and says at each boot that there is none.
    "etc/systemd/system-generators/systemd-ssh-generator": _NULL,
    "etc/systemd/system/multi-user.target.wants/systemd-networkd.service": _SYSTEM + "systemd-networkd.service",
    "etc/systemd/system/sockets.target.wants/systemd-networkd.socket": _SYSTEM + "systemd-networkd.socket",
    # Turns the credentials into .link and .network files.
    "etc/systemd/system/sysinit.target.wants/systemd-network-generator.service": _SYSTEM
    + "systemd-network-generator.service",
    # No graphical.target to reach.
    "etc/systemd/system/default.target": _SYSTEM + "multi-user.target",
}
