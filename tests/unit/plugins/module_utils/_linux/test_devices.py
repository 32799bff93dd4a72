# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that this machine uses itself are refused; /proc and /sys are folders of the test."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.signatures import signature

KIB = 1024


class Box:
    """A machine with block devices, of which every path is a file that stat calls a block device."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.numbers, self.busy, self.characters = folder, {}, set(), set()
        for name in ("proc/self", "sys/dev/block", "sys/block", "sys/class/block", "sys/class/nvme", "dev/disk/by-id"):
            (folder / name).mkdir(parents=True)
        (folder / "proc/self/mountinfo").write_text("")
        (folder / "proc/swaps").write_text("Filename Type Size Used Priority\n")
        real_stat, real_open = os.stat, os.open

        def fake_stat(path, **options):
            number = self.numbers.get(str(path))
            if number is None:
                return real_stat(path, **options)
            kind = stat.S_IFCHR if path in self.characters else stat.S_IFBLK
            return SimpleNamespace(st_mode=kind, st_rdev=os.makedev(*map(int, number.split(":"))), st_size=0)

        def fake_open(path, flags, *mode, **options):
            if str(path) in self.numbers:
                if flags & os.O_EXCL and str(path) in self.busy:
                    raise OSError(errno.EBUSY, "Device or resource busy")
                path = self.root / "content" / self.numbers[str(path)].replace(":", "_")
            return real_open(path, flags & ~os.O_EXCL, *mode, **options)

        monkeypatch.setattr(devices.os, "stat", fake_stat)
        monkeypatch.setattr(devices.os, "open", fake_open)
        (folder / "content").mkdir()

    def disk(self, name: str, number: str, *paths: str, of: str = "") -> None:
        folder = self.root / "sys/devices" / of / name
        (folder / "holders").mkdir(parents=True)
        (folder / "dev").write_text(number)
        if of:
            (folder / "partition").write_text("1")
        (self.root / "sys/dev/block" / number).symlink_to(folder)
        (self.root / "sys/class/block" / name).symlink_to(folder)
        (self.root / "content" / number.replace(":", "_")).write_bytes(bytes(512 * KIB))
        for path in (f"/dev/{name}", *paths):
            self.numbers[path] = number

    def controller(self, name: str, number: str, *namespaces: str) -> None:
        """Its namespaces as their folders in the controller's are called: nvme0c1n1 is a path of nvme0n1."""
        for inside in ("power", "ng0n1", *namespaces):
            (self.root / "sys/class/nvme" / name / inside).mkdir(parents=True)
        (self.root / "sys/class/nvme" / name / "dev").write_text(number)
        self.numbers[f"/dev/{name}"] = number
        self.characters.add(f"/dev/{name}")

    def controller_problem(self, path: str, known: bool = False) -> str | None:
        return devices.Devices(str(self.root)).controller_problem(path, known)

    def named(self, path: str, number: str) -> None:
        """A name that udev made."""
        (self.root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path[1:]).write_text("")
        self.numbers[path] = number

    def moves(self, path: str) -> str | None:
        return devices.Devices(str(self.root)).moves(path)

    def mounted(self, number: str, place: str, source: str = "/dev/none") -> None:
        with (self.root / "proc/self/mountinfo").open("a") as stream:
            stream.write(f"22 1 {number} / {place} rw,relatime shared:1 - ext4 {source} rw\n")

    def problem(self, path: str, known: bool = False) -> str | None:
        return devices.Devices(str(self.root)).problem(path, known)


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    found = Box(tmp_path, monkeypatch)
    found.disk("vdb", "254:16", "/dev/disk/by-id/virtio-vol0")
    found.disk("vdb1", "254:17", of="vdb")
    return found


DISK = "/dev/disk/by-id/virtio-vol0"


def test_a_free_disk_is_fine(box: Box) -> None:
    assert box.problem(DISK) is None


@pytest.mark.parametrize(
    ("number", "place", "words"),
    [
        ("254:16", "/", "holds the root filesystem"),
        ("254:16", "/srv", "is mounted on /srv"),
        ("254:17", "/boot", "is mounted on /boot (vdb1)"),
    ],
)
def test_a_mounted_disk_or_partition(box: Box, number: str, place: str, words: str) -> None:
    box.mounted(number, place)
    assert words in box.problem(DISK)


def test_a_btrfs_mount_is_found_by_its_source(box: Box) -> None:
    box.mounted("0:31", "/srv", "/dev/vdb1")
    assert "is mounted on /srv" in box.problem(DISK)


def test_swap(box: Box) -> None:
    with (box.root / "proc/swaps").open("a") as stream:
        stream.write("/dev/vdb1 partition 100 0 -2\n")
    assert "swap" in box.problem(DISK)


def test_a_holder_of_the_disk_or_a_partition(box: Box) -> None:
    (box.root / "sys/devices/vdb/vdb1/holders/dm-0").mkdir()
    (box.root / "sys/block/dm-0/dm").mkdir(parents=True)
    (box.root / "sys/block/dm-0/dm/name").write_text("vg-root")
    assert "is part of dm-0 (vg-root)" in box.problem(DISK)


def test_what_holds_a_claim_is_found_without_a_name(box: Box) -> None:
    box.busy.add(DISK)
    assert "is claimed by something" in box.problem(DISK)


@pytest.mark.parametrize(
    "name",
    ["sdb", "sdb1", "vdc", "nvme0n1", "nvme1n12p3", "dm-3", "md127", "loop0", "xvda", "zd0", "block/8:99", "../dev/sdb",
     "/sdb", "disk/by-diskseq/9"],
)  # fmt: skip
def test_a_name_that_can_move_is_refused_with_the_one_that_stays(box: Box, name: str) -> None:
    box.disk("sdz", "8:99", f"/dev/{name}")
    box.named("/dev/disk/by-id/wwn-1", "8:99")
    box.named("/dev/disk/by-id/wwn-2", "8:98")
    assert "write /dev/disk/by-id/wwn-1 for the same device" in box.problem(f"/dev/{name}")
    assert box.moves(f"/dev/{name}") == box.problem(f"/dev/{name}")
    assert box.moves("/dev/disk/by-id/wwn-1") is None


def test_every_kind_of_name_that_stays_is_offered_the_best_first(box: Box) -> None:
    for path in ("/dev/disk/by-path/pci-1", "/dev/zvol/tank/vol", "/dev/mapper/vg-data", "/dev/disk/by-id/wwn-1"):
        box.named(path, "254:16")
    assert box.problem("/dev/vdb").endswith(
        "; write /dev/disk/by-id/wwn-1 (or /dev/mapper/vg-data, /dev/zvol/tank/vol, /dev/disk/by-path/pci-1) "
        "for the same device"
    )


def test_a_device_without_a_name_that_stays_is_told_how_to_get_one(box: Box) -> None:
    assert "has no stable one; give it a serial number" in box.problem("/dev/vdb1")


@pytest.mark.parametrize("path", ["/dev/mapper/vg-data", "/dev/vg/data", "/dev/md/data", "/dev/zvol/pool/data"])
def test_names_that_stay(box: Box, path: str) -> None:
    box.numbers[path] = "254:16"
    assert box.problem(path) is None


def test_files(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "file.img"
    assert "does not exist" in box.problem(str(file))
    file.touch()
    assert "is an empty file" in box.problem(str(file))
    file.write_bytes(b"x")
    assert box.problem(str(file)) is None
    assert "neither a block device nor a regular file" in box.problem("/dev/null")
    (box.root / "sys/block/loop3/loop").mkdir(parents=True)
    (box.root / "sys/block/loop3/loop/backing_file").write_text(str(file))
    assert "is attached to /dev/loop3" in box.problem(str(file))
    with (box.root / "proc/swaps").open("a") as stream:
        stream.write(f"{file} file 100 0 -2\n")
    assert "swap" in box.problem(str(file))


SIGNATURES = [
    ((512, b"LABELONE" + bytes(16) + b"LVM2 001"), "LVM physical volume"),
    ((0, struct.pack("<I", 0xA92B4EFC)), "md array"),
    ((4096, struct.pack("<I", 0xA92B4EFC)), "md array"),
    ((512 * KIB - 8 * KIB, struct.pack("<I", 0xA92B4EFC)), "md array"),
    ((512 * KIB - 64 * KIB, struct.pack("<I", 0xA92B4EFC)), "md array"),
    ((128 * KIB + 7 * KIB, struct.pack("<Q", 0x00BAB10C)), "ZFS pool"),
    ((64 * KIB + 0x40, b"_BHRfS_M" + bytes(0x40) + struct.pack("<Q", 2)), "btrfs of several devices"),
    ((0, b"bluestore block device\n"), "Ceph OSD"),
]


@pytest.mark.parametrize(("written", "words"), SIGNATURES)
def test_what_is_part_of_something_bigger_is_known_by_its_contents(box: Box, written, words: str) -> None:
    with (box.root / "content/254_16").open("r+b") as stream:
        stream.seek(written[0])
        stream.write(written[1])
    assert words in box.problem(DISK)
    assert box.problem(DISK, known=True) is None, "a host may have written it"


def test_a_host_s_own_filesystem_is_no_reason(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512 * KIB))
    assert signature(str(disk)) is None
    with disk.open("r+b") as stream:
        stream.seek(64 * KIB + 0x40)
        stream.write(b"_BHRfS_M" + bytes(0x40) + struct.pack("<Q", 1))
        stream.seek(0x438)
        stream.write(b"\x53\xef")
    assert signature(str(disk)) is None


@pytest.fixture
def nvme(box: Box) -> Box:
    box.disk("nvme0n1", "259:0")
    box.disk("nvme0n1p1", "259:1", of="nvme0n1")
    box.disk("nvme0n2", "259:2")
    box.controller("nvme1", "240:1", "nvme0c1n1", "nvme0n2")
    return box


def test_a_controller_of_free_namespaces_is_fine(nvme: Box) -> None:
    assert nvme.controller_problem("/dev/nvme1") is None
    assert devices.Devices(str(nvme.root)).controller_devices("/dev/nvme1") == {
        (0, os.makedev(259, minor)) for minor in range(3)
    }
    nvme.mounted("259:1", "/srv")
    assert "has the namespace /dev/nvme0n1, which is mounted on /srv (nvme0n1p1)" in nvme.controller_problem(
        "/dev/nvme1"
    )


def test_a_controller_whose_namespace_is_held_or_claimed_or_part_of_a_group(nvme: Box) -> None:
    nvme.busy.add("/dev/nvme0n2")
    assert "/dev/nvme0n2, which is claimed by something" in nvme.controller_problem("/dev/nvme1")
    nvme.busy.clear()
    (nvme.root / "content/259_2").write_bytes(struct.pack("<I", 0xA92B4EFC).ljust(512 * KIB, b"\0"))
    assert "/dev/nvme0n2, which carries the superblock of an md array" in nvme.controller_problem("/dev/nvme1")
    assert nvme.controller_problem("/dev/nvme1", known=True) is None
    (nvme.root / "sys/devices/nvme0n1/holders/md0").mkdir()
    assert "/dev/nvme0n1, which is part of md0" in nvme.controller_problem("/dev/nvme1", known=True)


def test_what_is_no_controller_is_not_passed_through(nvme: Box, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for path in (str(tmp_path / "file"), "/dev/null"):
        assert "is not an NVMe controller of this machine; name its character device" in nvme.controller_problem(path)
    assert "does not exist" in nvme.controller_problem("/dev/nvme7")


def test_sizes(box: Box, tmp_path: Path) -> None:
    found = devices.Devices(str(box.root))
    (box.root / "sys/devices/vdb/size").write_text("2048\n")
    assert found.size(DISK) == 2**20
    (tmp_path / "file.img").write_bytes(b"xyz")
    assert found.size(str(tmp_path / "file.img")) == 3
    assert found.size("/nowhere/at/all") is None
    assert found.size("/dev/vdb1") is None, "sysfs does not tell"
