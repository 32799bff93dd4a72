# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd-boot's entries and the firmware's variables, and which loader a machine has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader_systemd import SystemdBoot, with_option

MINE = "1" * 32
OLD, NEW = "7.2.12+deb13-cloud-amd64", "7.3.4+deb13-cloud-amd64"


def variable(root: Path, name: str, value: str) -> None:
    folder = root / "sys/firmware/efi/efivars"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-{efi.LOADER}").write_bytes(b"\7\0\0\0" + f"{value}\0".encode("utf-16-le"))


@pytest.fixture
def boot(tmp_path: Path) -> SystemdBoot:
    entries = [
        {"id": f"lab-{release}.conf", "version": release, "isDefault": release == NEW, "path": str(tmp_path / release)}
        for release in (NEW, OLD)
    ]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/machine-id").write_text(f"{MINE}\n")
    entries[0]["machineId"], entries[0]["options"] = MINE, "root=LABEL=root ro panic=10"
    entries.insert(0, {"id": f"a-{OLD}.conf", "version": OLD, "machineId": MINE.replace("1", "2"), "path": "/a.conf"})
    for entry in entries[1:]:
        entry["path"] = f"{entry['path']}.conf"
        Path(str(entry["path"])).write_text("title Debian\noptions root=LABEL=root ro\nlinux /lab/linux\n")
    entries.append({"id": "auto-reboot-to-firmware-setup", "isDefault": False})
    variable(tmp_path, "LoaderInfo", "systemd-boot 257.9")
    return SystemdBoot(str(tmp_path), {"list": json.dumps(entries), "--print-boot-path": "/efi\n"}.__getitem__)


def test_what_there_is(boot: SystemdBoot) -> None:
    assert boot.entries() == {NEW: f"lab-{NEW}.conf", OLD: f"lab-{OLD}.conf"}
    assert (boot.default(), boot.next(), boot.folders()) == (NEW, "", ["/efi"])


def test_the_default_and_the_next_boot_are_variables(tmp_path: Path, boot: SystemdBoot) -> None:
    assert [operation.line() for operation in boot.keep_default(OLD)] == [f"bootctl set-default lab-{OLD}.conf"]
    variable(tmp_path, "LoaderEntryDefault", f"lab-{OLD}.conf")
    assert boot.keep_default(OLD) == []
    variable(tmp_path, "LoaderEntryOneShot", f"lab-{NEW}.conf")
    assert boot.next() == NEW
    # bootctl calls the one default that boots next.
    assert boot.default() == OLD
    assert [operation.line() for operation in boot.boot_default()] == ["bootctl set-oneshot ''"]


def test_a_kernel_that_is_booted_once_reboots_when_it_panics(tmp_path: Path, boot: SystemdBoot) -> None:
    put, once = boot.boot_once(NEW)
    assert put.value == "title Debian\noptions root=LABEL=root ro panic=10\nlinux /lab/linux\n"
    assert once.line() == f"bootctl set-oneshot lab-{NEW}.conf"
    Path(put.path).write_text(put.value)
    variable(tmp_path, "LoaderEntryOneShot", f"lab-{NEW}.conf")
    assert boot.boot_once(NEW) == []


def test_the_command_line_of_a_kernel(boot: SystemdBoot) -> None:
    assert boot.options(NEW) == ["root=LABEL=root", "ro", "panic=10"]
    assert boot.options(OLD) == []


@pytest.mark.parametrize("name", [f"{OLD}.efi", f"{MINE}-{OLD}.efi", f"debian-{OLD}+3-1.efi"])
def test_a_unified_kernel_image_is_known_by_its_name(tmp_path: Path, boot: SystemdBoot, name: str) -> None:
    for release in (OLD, OLD.removeprefix("7."), NEW):
        (tmp_path / "usr/lib/modules" / release).mkdir(parents=True)
    listed = [{"id": name, "version": "13 (trixie)", "path": f"/efi/EFI/Linux/{name}"}]
    found = SystemdBoot(str(tmp_path), lambda question: json.dumps(listed))
    assert found.entries() == {OLD: name}


def test_an_option_for_an_entry_that_has_none() -> None:
    assert with_option("linux /linux\n", "panic=10") == "linux /linux\noptions panic=10\n"


def test_the_loader_that_booted_the_machine(tmp_path: Path, boot: SystemdBoot) -> None:
    found = loader.find(str(tmp_path))
    assert found is not None
    assert found.name == "systemd-boot"
    # GRUB says that it is GRUB, where it says anything.
    variable(tmp_path, "LoaderInfo", "GRUB 2.12")
    assert loader.find(str(tmp_path)) is None
    (tmp_path / "boot/grub").mkdir(parents=True)
    (tmp_path / "boot/grub/grub.cfg").touch()
    found = loader.find(str(tmp_path))
    assert found is not None
    assert found.name == "GRUB"
