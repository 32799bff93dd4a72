# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Whether a device or file can be handed to hosts without destroying something that this machine uses itself.

nvmet opens a block device without claiming it, so the kernel would export a mounted disk, a member of an array or a
physical volume without a word. Everything here only reads.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from typing import Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.signatures import signature

#: Names that the kernel gives in order of discovery: another disk may have them after the next boot.
_UNSTABLE = re.compile(
    r"/dev/((sd|vd|xvd|hd)[a-z]+[0-9]*|nvme[0-9]+n[0-9]+(p[0-9]+)?|(dm-|loop|md|mmcblk|zd|rbd|bcache)[0-9]+(p[0-9]+)?"
    r"|block/.*|disk/by-diskseq/.*)"
)
#: A namespace in its controller's folder; with multipath that is a hidden path, and its head has the name without "c".
_NAMESPACE = re.compile(r"(nvme[0-9]+)(?:c[0-9]+)?(n[0-9]+)")
#: Where udev keeps names that stay, the best first.
_STABLE = ("/dev/disk/by-id", "/dev/mapper", "/dev/md", "/dev/zvol", "/dev/rbd", "/dev/disk/by-path")


class Devices:
    """The devices of this machine; root stands before /proc and /sys."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.look()

    def look(self) -> None:
        """Forget what was read: the next answers tell the machine as it is from now on."""
        self._attached: dict[str, str] | None = None
        self._swapped: list[str] | None = None
        self._identities: dict[str, tuple[int, int]] = {}

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def identity(self, path: str) -> tuple[int, int]:
        """Equal for two paths that name the same device or file. Raises OSError."""
        if path not in self._identities:
            found = os.stat(path)
            block = stat.S_ISBLK(found.st_mode)
            self._identities[path] = (0, found.st_rdev) if block else (found.st_dev, found.st_ino)
        return self._identities[path]

    def controller_devices(self, path: str) -> set[tuple[int, int]]:
        """Identities of the namespaces of an NVMe controller of this machine and of their partitions."""
        numbers = [part for number in self._namespaces(self._controller(path)) for _name, part in self._family(number)]
        return {(0, os.makedev(*map(int, number.split(":")))) for number in numbers if number}

    def controller_problem(self, path: str, known: bool = False) -> str | None:
        """Why the path cannot be passed through as an NVMe controller and what to do, or None. known: as in problem().

        A host would write to every namespace of the controller.
        """
        if not self.exists(path):
            return "does not exist on this machine; correct it"
        controller = self._controller(path)
        if not controller:
            return "is not an NVMe controller of this machine; name its character device, like /dev/nvme0"
        for number in self._namespaces(controller):
            name = os.path.basename(os.path.realpath(f"{self.root}/sys/dev/block/{number}"))
            why = self._used(number) or self._carried(f"/dev/{name}", number, known) or self._claimed(f"/dev/{name}")
            if why:
                return f"has the namespace /dev/{name}, which {why}"
        return None

    def _controller(self, path: str) -> str:
        """The name in /sys/class/nvme, or an empty one."""
        try:
            found = os.stat(path)
        except OSError:
            return ""
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISCHR(found.st_mode) else None
        names = (name for name in self._names("/sys/class/nvme") if self._text(f"/sys/class/nvme/{name}/dev") == number)
        return next(names, "")

    def _namespaces(self, controller: str) -> list[str]:
        """Numbers of a controller's block devices."""
        names = self._names(f"/sys/class/nvme/{controller}") if controller else []
        parts = (_NAMESPACE.fullmatch(name) for name in names)
        found = {self._text(f"/sys/class/block/{part[1]}{part[2]}/dev") for part in parts if part}
        return sorted(found - {""})

    def size(self, path: str) -> int | None:
        """Bytes of a block device or file, or None when it is not there."""
        try:
            found = os.stat(path)
        except OSError:
            return None
        if not stat.S_ISBLK(found.st_mode):
            return found.st_size
        # In units of 512 bytes, whatever the device's own blocks are.
        sectors = self._text(f"/sys/dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}/size")
        return int(sectors) * 512 if sectors else None

    def moves(self, path: str) -> str | None:
        """Why the name of a block device must not be kept, with the names of that very device that can be, or None."""
        # POSIX leaves two slashes at the start as they are.
        could = _UNSTABLE.fullmatch(re.sub("^//+", "/", os.path.normpath(path)))
        number = self._number(path) if could else ""
        if not number:
            return None
        names = self._stable_names(number)[:4]
        others = f" (or {', '.join(names[1:])})" if names[1:] else ""
        return "is a name that another device can have after a reboot" + (
            f"; write {names[0]}{others} for the same device"
            if names
            else " and this device has no stable one; give it a serial number (or a logical volume) and name it by "
            "/dev/disk/by-id"
        )

    def problem(self, path: str, known: bool = False) -> str | None:
        """Why the path must not be exported and what to do, or None.

        known: it was served by us before, so what is written on it can be a host's.
        """
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return "does not exist on this machine; correct it, or create the device or file first"
        except OSError as error:
            return f"cannot be looked at ({error.strerror}); correct it"
        if stat.S_ISREG(found.st_mode):
            return self._file_problem(path, found.st_size)
        if not stat.S_ISBLK(found.st_mode):
            return "is neither a block device nor a regular file; name one of these"
        return self._block_problem(path, f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}", known)

    def _file_problem(self, path: str, size: int) -> str | None:
        if not size:
            return "is an empty file; give it a size, for example with truncate -s 1G"
        if not self._swaps() and not self._loops():
            return None
        real = os.path.realpath(path)
        if real in self._swaps():
            return "is in use as swap; swapoff it, or name another"
        name = self._loops().get(real)
        return f"is attached to /dev/{name}; detach it (losetup -d /dev/{name}), or name another" if name else None

    def _loops(self) -> dict[str, str]:
        """File → loop device, read once for thousands of files."""
        if self._attached is None:
            loops = [name for name in self._names("/sys/block") if name.startswith("loop")]
            files = {self._text(f"/sys/block/{name}/loop/backing_file"): name for name in loops}
            self._attached = {file: name for file, name in files.items() if file}
        return self._attached

    def _block_problem(self, path: str, number: str, known: bool) -> str | None:
        return self._used(number) or self.moves(path) or self._carried(path, number, known) or self._claimed(path)

    def _used(self, number: str) -> str | None:
        for name, part in self._family(number):
            used = self._use(name, part)
            if used:
                return f"{used}; serving it would corrupt it, name another device"
        return None

    def _carried(self, path: str, number: str, known: bool) -> str | None:
        for name, part in self._family(number):
            found = None if known else signature(path if part == number else f"/dev/{name}")
            if found:
                inside = "" if part == number else f" (partition {name})"
                return (
                    f"carries {found}{inside}; if that is not needed any more remove it with wipefs, else name another"
                )
        return None

    def _claimed(self, path: str) -> str | None:
        # O_EXCL on a block device asks for the claim that mounts, arrays and pools hold; it is given back at once.
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.EBUSY:
                return "is claimed by something on this machine, like a pool or a mount; release it, or name another"
            return f"cannot be opened ({error.strerror}); correct it"
        return None

    def _family(self, number: str) -> Iterator[tuple[str, str]]:
        """Name and number of the device and of its partitions."""
        folder = os.path.realpath(f"{self.root}/sys/dev/block/{number}")
        yield os.path.basename(folder), number
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            if os.path.exists(f"{folder}/{name}/partition"):
                yield name, self._text(f"/sys/dev/block/{number}/{name}/dev")

    def _use(self, name: str, number: str) -> str | None:
        """What this machine does with the device, or None."""
        for mountpoint, mounted in self._mounts():
            if mounted == number:
                return "holds the root filesystem" if mountpoint == "/" else f"is mounted on {mountpoint} ({name})"
        if number in {self._number(path) for path in self._swaps()}:
            return f"is in use as swap ({name})"
        for holder in self._names(f"/sys/dev/block/{number}/holders"):
            what = self._text(f"/sys/block/{holder}/dm/name")
            kind = "md array" if holder.startswith("md") else "device mapper (LVM, crypt, multipath)"
            return f"is part of {holder}{f' ({what})' if what else ''}, {kind}"
        return None

    def _mounts(self) -> Iterator[tuple[str, str]]:
        for line in self._text("/proc/self/mountinfo").splitlines():
            fields = line.split()
            yield fields[4], fields[2]
            # btrfs shows a number of its own; its source is one of its devices.
            source = fields[fields.index("-") + 2]
            if source.startswith("/dev/"):
                yield fields[4], self._number(source)

    def _swaps(self) -> list[str]:
        if self._swapped is None:
            self._swapped = [line.split()[0] for line in self._text("/proc/swaps").splitlines()[1:] if line.strip()]
        return self._swapped

    def _number(self, path: str) -> str:
        try:
            found = os.stat(path)
        except OSError:
            return ""
        return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if stat.S_ISBLK(found.st_mode) else ""

    def _stable_names(self, number: str) -> list[str]:
        # A volume of ZFS or Ceph lies in the folder of its pool.
        walks = (os.walk(self.root + folder) for folder in _STABLE)
        found = (
            os.path.join(place, name) for walk in walks for place, _folders, names in walk for name in sorted(names)
        )
        return [path for path in (each[len(self.root) :] for each in found) if self._number(path) == number]

    def _names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root + path))
        except OSError:
            return []

    def _text(self, path: str) -> str:
        try:
            with open(self.root + path, encoding="utf-8", errors="replace") as stream:
                return stream.read().strip()
        except OSError:
            return ""
