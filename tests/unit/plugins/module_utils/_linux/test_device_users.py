# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import device_users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.device_users import members, users


@pytest.fixture
def root(tmp_path: Path) -> Path:
    nvme_tree.subsystem(tmp_path)
    nvme_tree.write(tmp_path / "sys/class/block/nvme0n1/nvme0n1p1")
    nvme_tree.write(tmp_path / "sys/class/block/nvme0n1p1", dev="259:7")
    nvme_tree.write(tmp_path / "proc/self", mountinfo="21 1 8:1 / / rw - ext4 /dev/sda1 rw")
    return tmp_path


def test_nobody(root: Path) -> None:
    assert users("nvme0n1", str(root)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("30 21 259:1 / /srv/a\\040b rw shared:1 - xfs /dev/nvme0n1 rw", ["mounted on /srv/a b"]),
        ("30 21 259:7 / /srv rw - xfs /dev/nvme0n1p1 rw", ["mounted on /srv"]),
        ("30 21 0:45 / /srv rw - btrfs /dev/nvme0n1p1 rw", ["mounted on /srv"]),
        ("30 21 259:11 / /srv rw - xfs /dev/nvme0n11 rw", []),
    ],
)
def test_mounts(root: Path, line: str, found: list[str]) -> None:
    nvme_tree.write(root / "proc/self", mountinfo=line)
    assert users("nvme0n1", str(root)) == found


def test_holders_and_swap(root: Path) -> None:
    nvme_tree.write(root / "sys/class/block/nvme0n1/holders/dm-0")
    nvme_tree.write(root / "sys/class/block/dm-0/dm", name="vg-data")
    nvme_tree.write(root / "sys/class/block/nvme0n1p1/holders/md127")
    nvme_tree.write(root / "proc", swaps="Filename Type Size\n/dev/nvme0n1p1 partition 8")
    assert users("nvme0n1", str(root)) == ["held by vg-data (dm-0)", "held by md127", "swap on /dev/nvme0n1p1"]


@pytest.mark.parametrize(
    ("attribute", "held", "found"),
    [
        ("sys/block/loop3/loop/backing_file", "/dev/nvme0n1p1", ["behind a loop device (nvme0n1p1)"]),
        (
            "sys/kernel/config/nvmet/subsystems/s/namespaces/1/device_path",
            "/dev/nvme0n1",
            ["served by nvmet (nvme0n1)"],
        ),
        ("sys/block/loop3/loop/backing_file", "/dev/nvme0n11", []),
    ],
)
def test_what_the_kernel_itself_has_open(root: Path, attribute: str, held: str, found: list[str]) -> None:
    nvme_tree.write((root / attribute).parent, **{(root / attribute).name: held})
    assert users("nvme0n1", str(root)) == found


def test_a_claim_that_nothing_else_shows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def refuse(path: str, flags: int) -> int:
        asked.append((path, bool(flags & os.O_EXCL), flags & os.O_ACCMODE))
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(device_users.os, "open", refuse)
    (claimed,) = users("nvme0n1", str(root))
    assert "claimed by something in the kernel" in claimed
    assert asked == [(str(root / "dev/nvme0n1"), True, os.O_RDONLY)]
    assert users("nvme0n1", str(root), claims=False) == []
    # What is known to be used is not opened.
    nvme_tree.write(root / "proc/self", mountinfo="30 21 259:1 / /srv rw - xfs /dev/nvme0n1 rw")
    assert users("nvme0n1", str(root)) == ["mounted on /srv"]
    assert len(asked) == 1


def test_a_process_of_a_container_with_a_dev_of_its_own(root: Path) -> None:
    nvme_tree.write(root / "proc/43", comm="postgres")
    (root / "proc/43/fd").mkdir()
    (root / "elsewhere").mkdir()
    (root / "elsewhere/nvme0n1").symlink_to("/dev/null")
    nvme_tree.write(root / "sys/class/block/nvme0n1", dev="1:3")
    (root / "proc/43/fd/5").symlink_to(root / "elsewhere/nvme0n1")
    assert users("nvme0n1", str(root)) == ["open by postgres (pid 43)"]


def test_a_process_that_has_it_open(root: Path) -> None:
    # The null device stands for the namespace: its number is known and it can be linked to.
    nvme_tree.write(root / "sys/class/block/nvme0n1", dev="1:3")
    nvme_tree.write(root / "proc/42", comm="fio")
    (root / "proc/42/fd").mkdir()
    (root / "proc/42/fd/3").symlink_to("/dev/null")
    (root / "proc/42/fd/4").symlink_to("/dev/zero")
    assert users("nvme0n1", str(root)) == ["open by fio (pid 42)"]


def test_what_is_written_on_a_device_or_a_partition_of_it(root: Path) -> None:
    (root / "dev").mkdir(exist_ok=True)
    whole, part = root / "dev/nvme0n1", root / "dev/nvme0n1p1"
    whole.write_bytes(bytes(1 << 20))
    part.write_bytes(b"\0" * 512 + b"LABELONE".ljust(24, b"\0") + b"LVM2 001" + bytes(1 << 20))
    assert members("nvme0n1", str(root)) == ["carrying an LVM physical volume (nvme0n1p1)"]
    whole.write_bytes(b"\0" * 4096 + b"\xfc\x4e\x2b\xa9" + bytes(1 << 20))
    assert members("nvme0n1", str(root))[0] == "carrying the superblock of an md array (nvme0n1)"
    whole.unlink()
    part.unlink()
    assert members("nvme0n1", str(root)) == []


def test_a_device_that_does_not_answer_counts_as_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(device_users, "signature", lambda path: answers.wait(30) and None)
    try:
        assert members("nvme0n1", str(root), patience=0.05) == ["not answering, so that nobody knows what is on it"]
    finally:
        answers.set()
