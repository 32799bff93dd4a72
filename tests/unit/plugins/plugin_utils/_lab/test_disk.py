# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk with boot loaders: partitions beside each other, and files that name each other rightly."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import loaders
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.disk import (
    BIOS,
    ESP,
    ROOT,
    SECTORS,
    make_partitions,
    partition_table,
    write_esp,
)

# UEFI specification 2.10, 5.3.2: header and 128 entries of 128 bytes; at the end a copy of both.
TABLE, COPY = 1 + 1 + 32, 32 + 1
RELEASE = "7.2.12+deb13-cloud-amd64"


def read(table: str) -> list[tuple[int, int, str]]:
    """Start, size and name of each partition in sfdisk's form."""
    found = re.findall(r"^start=(\d+), size=(\d+), type=[0-9A-F-]{36}, name=(\w+)$", table, re.MULTILINE)
    return [(int(start), int(size), name) for start, size, name in found]


def test_partitions_lie_apart_between_the_two_tables_on_whole_mebibytes() -> None:
    partitions = read(partition_table())
    assert [name for _, _, name in partitions] == ["bios", "esp", "root"]
    end = TABLE
    for start, size, _ in partitions:
        assert start >= end
        assert start % 2048 == size % 2048 == 0
        end = start + size
    assert end <= SECTORS - COPY


def test_three_kernels_fit_the_esp_and_offsets_are_in_bytes() -> None:
    # A kernel of 14 MiB and an initial RAM disk that has firmware, generously.
    assert ESP.sectors * 512 >= 3 * (14 + 60) << 20
    assert (BIOS.offset, ROOT.offset) == (1 << 20, ROOT.first * 512)


def test_all_three_ways_start_the_kernel_with_the_same_options_and_the_disk_by_its_uuid() -> None:
    esp = loaders.esp_files(RELEASE)
    (grub,) = re.findall(r"^linux /boot/vmlinuz-\S+ (.*)$", esp["grub/grub.cfg"], re.MULTILINE)
    (entry,) = re.findall(r"^options (.*)$", esp["loader/entries/image.conf"], re.MULTILINE)
    (later,) = re.findall(r'^GRUB_CMDLINE_LINUX="(.*)"$', loaders.FILES["etc/default/grub"], re.MULTILINE)
    cmdline = loaders.FILES["etc/kernel/cmdline"].strip()
    assert grub == entry == cmdline
    assert cmdline == f"root=UUID={loaders.ROOT_UUID} {later}"
    assert "root=" not in later
    assert f"UUID={loaders.ROOT_UUID} / ext4" in loaders.FILES["etc/fstab"]


def test_no_loader_waits() -> None:
    grub = loaders.FILES["etc/default/grub"]
    assert re.findall(r"^GRUB_(?:RECORDFAIL_)?TIMEOUT=(.*)$", grub, re.MULTILINE) == ["0", "0"]
    assert loaders.esp_files(RELEASE)["loader/loader.conf"] == "timeout 0\n"


def test_the_esp_is_mounted_by_the_serial_that_it_is_made_with() -> None:
    serial = loaders.ESP_SERIAL.upper()
    assert f"UUID={serial[:4]}-{serial[4:]} /efi vfat" in loaders.FILES["etc/fstab"]


@pytest.mark.skipif(not (shutil.which("sfdisk") and shutil.which("mformat")), reason="needs fdisk and mtools")
def test_a_disk_has_what_is_written_into_it_and_no_partition_in_a_partition(tmp_path: Path) -> None:
    image, esp = tmp_path / "disk", tmp_path / "esp"
    (esp / "loader").mkdir(parents=True)
    (esp / "loader/loader.conf").write_text("timeout 0\n")
    make_partitions(image)
    write_esp(image, esp)
    output = subprocess.run(["sfdisk", "--json", image], check=True, capture_output=True, text=True).stdout
    found = json.loads(output)["partitiontable"]["partitions"]
    assert [(p["start"], p["size"], p["type"], p["name"]) for p in found] == [
        (p.first, p.sectors, p.type, p.name) for p in (BIOS, ESP, ROOT)
    ]
    with image.open("rb") as stream:
        stream.seek(ESP.offset)
        sector = stream.read(512)
    assert sector[446:] == bytes(64) + b"\x55\xaa"
    # Microsoft's FAT specification 1.03: hidden sectors, total sectors, serial number of a FAT32 volume.
    assert int.from_bytes(sector[0x1C:0x20], "little") == ESP.first
    assert int.from_bytes(sector[0x20:0x24], "little") == ESP.sectors
    assert sector[0x43:0x47][::-1].hex() == loaders.ESP_SERIAL
    command = ["mtype", "-i", f"{image}@@{ESP.offset}", "::/loader/loader.conf"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "timeout 0\n"
