# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""systemd-boot: entries on the EFI system partition, default and next boot in variables of the firmware.

The loader deletes the variable of the next boot before it starts that kernel.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi

# A kernel that panics would stand still otherwise, and so would a RAM disk that finds no root file system.
_PANIC = "panic=10"


class SystemdBoot:
    """See loader.Loader."""

    name = "systemd-boot"

    def __init__(self, root: str = "/", ask: t.Callable[[str], str] | None = None) -> None:
        self._root = root
        self._ask = ask or _bootctl

    def entries(self) -> dict[str, str]:
        # Several entries of one release differ in the tries they have left; the first is the one that the loader takes.
        found: dict[str, str] = {}
        for entry in self._list():
            found.setdefault(entry["version"], entry["id"])
        return found

    def options(self, release: str) -> list[str]:
        return str(self._entry(release).get("options", "")).split()

    def default(self) -> str:
        # bootctl calls default what boots next, be it once.
        return self._named_by("LoaderEntryDefault") or next(
            (entry["version"] for entry in self._list() if entry.get("isDefault")), ""
        )

    def next(self) -> str:
        return self._named_by("LoaderEntryOneShot")

    def obstacles(self) -> list[str]:
        if not os.access(os.path.join(self._root, "sys/firmware/efi/efivars"), os.W_OK):
            return [
                "the firmware's variables cannot be written (/sys/firmware/efi/efivars): mount efivarfs for writing"
            ]
        return []

    def folders(self) -> list[str]:
        # The partition of the entries, which may be another one than that of the loader.
        return [self._ask("--print-boot-path").strip()]

    def keep_default(self, release: str) -> list[Operation]:
        entry = self.entries()[release]
        if efi.text("LoaderEntryDefault", efi.LOADER, self._root) == entry:
            return []
        return [Operation("run", argv=("bootctl", "set-default", entry), about=f"systemd-boot's default {release}")]

    def boot_once(self, release: str) -> list[Operation]:
        about = f"systemd-boot's next boot {release}"
        entry, plan = self._entry(release), []
        # A unified kernel image has its options inside, signed with it.
        if entry["path"].endswith(".conf"):
            with open(entry["path"], encoding="utf-8") as stream:
                text = stream.read()
            patched = with_option(text, _PANIC)
            if patched != text:
                plan.append(Operation("put", path=entry["path"], value=patched, about=about))
        if self.next() != release:
            plan.append(Operation("run", argv=("bootctl", "set-oneshot", entry["id"]), about=about))
        return plan

    def boot_default(self) -> list[Operation]:
        if not efi.text("LoaderEntryOneShot", efi.LOADER, self._root):
            return []
        return [Operation("run", argv=("bootctl", "set-oneshot", ""), about="systemd-boot's next boot")]

    def _named_by(self, variable: str) -> str:
        wanted = efi.text(variable, efi.LOADER, self._root)
        if not wanted:
            return ""
        return next((entry["version"] for entry in self._list() if entry["id"] == wanted), "")

    def _entry(self, release: str) -> dict[str, t.Any]:
        return next(entry for entry in self._list() if entry["version"] == release)

    def _list(self) -> list[dict[str, t.Any]]:
        """The kernels of this installation, with their releases as versions."""
        with open(os.path.join(self._root, "etc/machine-id"), encoding="ascii") as stream:
            machine = stream.read().strip()
        found = []
        for entry in json.loads(self._ask("list")):
            if entry["id"].endswith(".efi"):
                # Of a unified kernel image bootctl tells the version of the system in it; the kernel's is in its name.
                entry["version"] = self._release_in(entry["id"])
            # Its own entries, such as the one for the firmware's settings, have no kernel.
            if entry.get("version") and entry.get("machineId", machine) == machine:
                found.append(entry)
        return found

    def _release_in(self, name: str) -> str:
        """The installed kernel whose release a unified kernel image has in its name, before the tries it has left."""
        stem = re.sub(r"(\+\d+(-\d+)?)?\.efi$", "", name)
        modules = os.path.join(self._root, "usr/lib/modules")
        found = [release for release in os.listdir(modules) if f"-{stem}".endswith(f"-{release}")]
        return max(found, key=len, default="")


def with_option(text: str, option: str) -> str:
    """The text of an entry (type 1 of the UAPI's boot loader specification) with one kernel option more, at the end."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["options"]:
            if option not in words:
                lines[number] = f"{line.rstrip()} {option}"
            break
    else:
        lines.append(f"options {option}")
    return "\n".join(lines) + "\n"


def _bootctl(question: str) -> str:
    argv = ["bootctl", question] + (["--json=short"] if question == "list" else [])
    result = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        raise OSError(f"{' '.join(argv)}: {result.stderr.strip()}")
    return result.stdout
