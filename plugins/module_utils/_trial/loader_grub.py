# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""GRUB as Debian sets it up: a menu that update-grub makes, and a block of variables that the loader can write.

The default is the variable saved_entry where GRUB_DEFAULT says "saved"; grub-reboot(8) writes next_entry, which GRUB
takes and forgets before it starts that kernel.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation

MENU = "boot/grub/grub.cfg"
VARIABLES = "boot/grub/grubenv"
# Sorted after those of others: the last one that sets the default has it.
SETTINGS = "/etc/default/grub.d/zz-nvmeof-mptcp.cfg"
# A kernel that panics would stand still otherwise, and so would a RAM disk that finds no root file system.
_SETTINGS = """\
# Written by the nvmeof.mptcp collection: the kernel that was last proven boots, however many are installed beside it.
GRUB_DEFAULT=saved
GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX panic=10"
"""
_SAVED = "${saved_entry}"
# What GRUB can write to, of what Debian can have /boot on; it cannot write through LVM and RAID.
_WRITABLE = ("ext2", "xfs", "fat")


@dataclass(frozen=True)
class Entry:
    """One line of the menu: names of submenu and entry, by which grub-reboot knows it; titles and place, likewise.

    options: the words of the kernel's command line.
    """

    path: tuple[str, ...]
    titles: tuple[str, ...]
    numbers: tuple[int, ...]
    release: str
    options: tuple[str, ...]


class Grub:
    """See loader.Loader."""

    name = "GRUB"

    def __init__(self, root: str = "/", probe: t.Callable[[str], str] | None = None) -> None:
        self._root = root
        self._probe = probe or _probe

    def entries(self) -> dict[str, str]:
        return {release: ">".join(entry.path) for release, entry in self._kernels().items()}

    def options(self, release: str) -> list[str]:
        return list(self._kernels()[release].options)

    def default(self) -> str:
        wanted = self._wanted()
        if wanted == _SAVED:
            wanted = self._variables().get("saved_entry", "")
        return next((entry.release for entry in self._menu() if _names(entry, wanted or "0")), "")

    def next(self) -> str:
        wanted = self._variables().get("next_entry", "")
        return next((entry.release for entry in self._menu() if wanted and _names(entry, wanted)), "")

    def obstacles(self) -> list[str]:
        found = []
        try:
            below, system = self._probe("abstraction"), self._probe("fs")
        except OSError as error:
            return [f"what /boot/grub is on cannot be told: {error.strerror or error}"]
        if below or system not in _WRITABLE:
            found.append(
                f"GRUB cannot write to /boot/grub, which is {system} on {below or 'a plain partition'}, so it boots a "
                "kernel on trial again and again: give /boot a plain partition with ext4"
            )
        return found

    def folders(self) -> list[str]:
        return []

    def keep_default(self, release: str) -> list[Operation]:
        # First the variable, which means nothing until the menu asks for it: no menu boots another kernel in between.
        about = f"GRUB's default {release}"
        plan = []
        if self._variables().get("saved_entry") != self.entries()[release]:
            plan.append(Operation("run", argv=("grub-set-default", self.entries()[release]), about=about))
        written = self._read(SETTINGS.lstrip("/")) == _SETTINGS
        if not written:
            plan.append(Operation("put", path=SETTINGS, value=_SETTINGS, about=about))
        # A run that was interrupted may have written the one without the other.
        if not written or self._wanted() != _SAVED:
            plan.append(Operation("run", argv=("update-grub",), about=about))
        return plan

    def boot_once(self, release: str) -> list[Operation]:
        entry = self.entries()[release]
        if self._variables().get("next_entry") == entry:
            return []
        return [Operation("run", argv=("grub-reboot", entry), about=f"GRUB's next boot {release}")]

    def boot_default(self) -> list[Operation]:
        if "next_entry" not in self._variables():
            return []
        argv = ("grub-editenv", f"/{VARIABLES}", "unset", "next_entry")
        return [Operation("run", argv=argv, about="GRUB's next boot")]

    def _read(self, path: str) -> str:
        try:
            with open(os.path.join(self._root, path), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def _variables(self) -> dict[str, str]:
        pairs = (line.partition("=") for line in self._read(VARIABLES).splitlines() if not line.startswith("#"))
        # grub-editenv leaves a variable that the loader has emptied, and puts a backslash before each of a value's own.
        return {name: value.replace("\\\\", "\\") for name, separator, value in pairs if separator and value}

    def _wanted(self) -> str:
        """What the menu says of its default."""
        # The first line that sets it is in the branch of next_entry.
        lines = re.findall(r'^\s*set default="(.*)"$', self._read(MENU), re.MULTILINE)
        return next((line for line in lines if line != "${next_entry}"), "0")

    def _kernels(self) -> dict[str, Entry]:
        # The entry outside of the submenu is that of whatever kernel is the newest, and no name for one of them.
        return {
            entry.release: entry
            for entry in self._menu()
            if entry.path[-1].startswith(f"gnulinux-{entry.release}-advanced-")
        }

    def _menu(self) -> list[Entry]:
        return parse_menu(self._read(MENU))


def parse_menu(text: str) -> list[Entry]:
    """The entries of a grub.cfg that start a Linux kernel, in order."""
    found: list[Entry] = []
    # What is open around a line: name, title, place in it, and how many entries it has had.
    around: list[list[t.Any]] = []
    top = 0
    for line in text.splitlines():
        head = re.match(r"\s*(menuentry|submenu)\s+(.*)\{\s*$", line)
        if head:
            words = shlex.split(head[2])
            name = words[words.index("$menuentry_id_option") + 1] if "$menuentry_id_option" in words else words[0]
            if around:
                place, around[-1][3] = around[-1][3], around[-1][3] + 1
            else:
                place, top = top, top + 1
            around.append([name, words[0], place, 0])
        elif around and line.strip() == "}":
            around.pop()
        elif around:
            kernel = re.match(r"\s*linux(?:efi)?\s+\S*/vmlinuz-(\S+)(.*)", line)
            if kernel:
                names, titles, numbers, _ = zip(*around)
                found.append(Entry(names, titles, numbers, kernel[1], tuple(kernel[2].split())))
    return found


def _names(entry: Entry, wanted: str) -> bool:
    """Whether a default or a next entry, in any of the forms that GRUB takes, means this one."""
    path = wanted.split(">")
    forms = zip(entry.path, entry.titles, map(str, entry.numbers))
    return len(path) == len(entry.path) and all(word in names for word, names in zip(path, forms))


def _probe(target: str) -> str:
    # Reason for a command: only GRUB knows what it can write to.
    argv = ["grub-probe", f"--target={target}", "/boot/grub"]
    result = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise OSError(f"{' '.join(argv)}: {result.stderr.strip()}")
    return " ".join(result.stdout.split())
