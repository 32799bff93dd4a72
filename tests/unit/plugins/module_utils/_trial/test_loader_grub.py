# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GRUB's menu and variables as Debian makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader_grub import Grub, parse_menu

OLD, NEW = "7.2.12+deb13-cloud-amd64", "7.3.4+deb13-cloud-amd64"
ROOT = "1b2c"


def entry(release: str, what: str, indent: str = "\t") -> str:
    recovery = " single" if what == "recovery" else ""
    return (
        f"{indent}menuentry 'Debian, with Linux {release}{' (recovery mode)' if recovery else ''}' --class debian "
        f"$menuentry_id_option 'gnulinux-{release}-{what}-{ROOT}' {{\n"
        f"{indent}\tif [ x$grub_platform = xxen ]; then insmod xzio; fi\n"
        f"{indent}\tlinux\t/boot/vmlinuz-{release} root=UUID={ROOT} ro{recovery} quiet\n"
        f"{indent}\tinitrd\t/boot/initrd.img-{release}\n{indent}}}\n"
    )


def menu(*releases: str, default: str = "${saved_entry}") -> str:
    first = entry(releases[0], "advanced", "").replace(f"gnulinux-{releases[0]}-advanced", "gnulinux-simple")
    return (
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\n   set next_entry=\n   save_env next_entry\n'
        f'else\n   set default="{default}"\nfi\nfunction savedefault {{\n  save_env saved_entry\n}}\n{first}'
        f"submenu 'Advanced options for Debian' $menuentry_id_option 'gnulinux-advanced-{ROOT}' {{\n"
        + "".join(entry(release, what) for release in releases for what in ("advanced", "recovery"))
        + "}\nmenuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {\n\tfwsetup\n}\n"
    )


def name(release: str) -> str:
    return f"gnulinux-advanced-{ROOT}>gnulinux-{release}-advanced-{ROOT}"


@pytest.fixture
def grub(tmp_path: Path) -> Grub:
    (tmp_path / "boot/grub").mkdir(parents=True)
    return write(tmp_path, menu(NEW, OLD))


def write(root: Path, text: str, **variables: str) -> Grub:
    block = "# GRUB Environment Block\n" + "".join(f"{key}={value}\n" for key, value in variables.items())
    (root / "boot/grub/grub.cfg").write_text(text)
    (root / "boot/grub/grubenv").write_text(block.ljust(1024, "#"))
    return Grub(str(root), lambda target: {"abstraction": "", "fs": "ext2"}[target])


def test_a_kernel_is_named_by_its_own_entry_and_neither_the_newest_ones_nor_the_recovery_mode(grub: Grub) -> None:
    assert grub.entries() == {OLD: name(OLD), NEW: name(NEW)}


@pytest.mark.parametrize(
    ("default", "release"),
    [
        ("0", NEW),
        ("1>2", OLD),
        ("Advanced options for Debian>Debian, with Linux 7.2.12+deb13-cloud-amd64", OLD),
        (name(OLD), OLD),
        ("${saved_entry}", NEW),
        ("1", ""),
        ("7", ""),
    ],
)
def test_the_default_in_each_form_that_the_menu_takes(tmp_path: Path, grub: Grub, default: str, release: str) -> None:
    assert write(tmp_path, menu(NEW, OLD, default=default)).default() == release


def test_the_saved_entry_is_the_default_where_the_menu_asks_for_it(tmp_path: Path, grub: Grub) -> None:
    assert write(tmp_path, menu(NEW, OLD), saved_entry=name(OLD)).default() == OLD
    assert write(tmp_path, menu(NEW, OLD, default="0"), saved_entry=name(OLD)).default() == NEW


def test_the_next_boot_until_the_loader_has_emptied_it(tmp_path: Path, grub: Grub) -> None:
    assert write(tmp_path, menu(NEW, OLD), next_entry=name(OLD)).next() == OLD
    assert write(tmp_path, menu(NEW, OLD), next_entry="").next() == ""
    assert write(tmp_path, menu(NEW, OLD), next_entry="").boot_default() == []


def test_the_default_is_named_before_the_menu_asks_for_the_name(tmp_path: Path, grub: Grub) -> None:
    lines = [operation.line() for operation in grub.keep_default(OLD)]
    assert lines[0] == f"grub-set-default '{name(OLD)}'"
    assert "GRUB_DEFAULT=saved" in lines[1]
    assert lines[2:] == ["update-grub"]
    (tmp_path / "etc/default/grub.d").mkdir(parents=True)
    (tmp_path / "etc/default/grub.d/zz-nvmeof-mptcp.cfg").write_text(grub.keep_default(OLD)[1].value)
    assert write(tmp_path, menu(NEW, OLD), saved_entry=name(OLD)).keep_default(OLD) == []
    # Interrupted before the menu was made.
    [again] = write(tmp_path, menu(NEW, OLD, default="0"), saved_entry=name(OLD)).keep_default(OLD)
    assert again.line() == "update-grub"


def test_the_command_line_of_a_kernel_is_that_of_its_own_entry(grub: Grub) -> None:
    assert grub.options(OLD) == [f"root=UUID={ROOT}", "ro", "quiet"]


def test_one_boot(tmp_path: Path, grub: Grub) -> None:
    assert [operation.line() for operation in grub.boot_once(NEW)] == [f"grub-reboot '{name(NEW)}'"]
    armed = write(tmp_path, menu(NEW, OLD), next_entry=name(NEW))
    assert armed.boot_once(NEW) == []
    assert [operation.line() for operation in armed.boot_default()] == [
        "grub-editenv /boot/grub/grubenv unset next_entry"
    ]


@pytest.mark.parametrize(("below", "system"), [("lvm", "ext2"), ("diskfilter mdraid1x", "ext2"), ("", "btrfs")])
def test_what_grub_cannot_write_to_is_an_obstacle(grub: Grub, below: str, system: str) -> None:
    refused = Grub("/", lambda target: {"abstraction": below, "fs": system}[target]).obstacles()
    assert len(refused) == 1
    assert system in refused[0]
    assert "plain partition" in refused[0]
    assert grub.obstacles() == []


def test_entries_without_a_submenu() -> None:
    [found] = parse_menu(entry(OLD, "advanced", ""))
    assert (found.path, found.numbers, found.release) == ((f"gnulinux-{OLD}-advanced-{ROOT}",), (0,), OLD)


def test_a_variable_is_read_as_grub_editenv_writes_it(tmp_path: Path, grub: Grub) -> None:
    """It puts a backslash before each of a value's own."""
    named = menu(NEW, OLD).replace("menuentry 'Debian, with Linux 7.2.12", "menuentry 'Debian\\, with Linux 7.2.12")
    assert r"Debian\, with" in named
    title = rf"Advanced options for Debian>Debian\\, with Linux {OLD}"
    assert write(tmp_path, named, saved_entry=title).default() == OLD
