# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Kernel modules as they are loaded and as they are on disk, told apart by their build id.

Debian's kernels have neither MODVERSIONS nor srcversion; the build id (a hash of the linked module that the linker
writes into an ELF note) is the one mark that a loaded module and its file share.
"""

from __future__ import annotations

import lzma
import os
import subprocess
from dataclasses import dataclass, replace

# Rebuilt together, in the order in which they are loaded.
MODULES = ("nvme-fabrics", "nvme-tcp", "nvmet", "nvmet-tcp")

# What MODULE_INFO the package's builder adds to each module.
PROVENANCE_FIELD = "nvmeof_mptcp"

# ELF note: name size 4, content size 20, type 3 (NT_GNU_BUILD_ID), name "GNU".
_NOTE = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0"


@dataclass(frozen=True)
class Module:
    """One module: build ids in hexadecimal, empty when it is not loaded or not there, "builtin" in the kernel itself.

    file: what modprobe would load. aliases, provenance: of that file.
    """

    name: str
    file: str
    loaded: str
    on_disk: str
    aliases: tuple[str, ...]
    provenance: str

    @property
    def stale(self) -> bool:
        """Whether another build than the one on disk is loaded."""
        return bool(self.loaded) and self.loaded != self.on_disk


def build_id(content: bytes) -> str:
    """The build id in an ELF note section or in a whole module; empty when there is none."""
    start = content.find(_NOTE)
    return "" if start < 0 else content[start + len(_NOTE) : start + len(_NOTE) + 20].hex()


def read(name: str, sysfs: str = "/sys/module") -> Module:
    """State of a module of the running kernel."""
    found = read_file(name)
    return replace(found, loaded="builtin" if found.on_disk == "builtin" else _loaded(name, sysfs))


def read_file(name: str, release: str = "") -> Module:
    """The file of a module of the running kernel, or of another release; as if it was not loaded."""
    fields = parse_modinfo(_modinfo(name, release))
    file = fields.get("filename", [""])[0]
    return Module(
        name=name,
        file=file,
        loaded="",
        on_disk="builtin" if file == "(builtin)" else build_id(_content(file)) if file else "",
        aliases=tuple(fields.get("alias", [])),
        provenance=fields.get(PROVENANCE_FIELD, [""])[0],
    )


def parse_modinfo(output: str) -> dict[str, list[str]]:
    """The fields that modinfo printed, each with its values in order."""
    fields: dict[str, list[str]] = {}
    for line in output.splitlines():
        name, separator, value = line.partition(":")
        if separator:
            fields.setdefault(name, []).append(value.strip())
    return fields


def users(name: str, sysfs: str = "/sys/module") -> list[str]:
    """The loaded modules that use a loaded module."""
    folder = os.path.join(sysfs, name.replace("-", "_"), "holders")
    return sorted(entry.replace("_", "-") for entry in os.listdir(folder)) if os.path.isdir(folder) else []


def _loaded(name: str, sysfs: str) -> str:
    folder = os.path.join(sysfs, name.replace("-", "_"))
    # A module built into the kernel may have a folder for its parameters, never a state.
    if not os.path.exists(os.path.join(folder, "initstate")):
        return ""
    note = os.path.join(folder, "notes", ".note.gnu.build-id")
    if not os.path.exists(note):
        return "unknown"
    with open(note, "rb") as stream:
        return build_id(stream.read()) or "unknown"


def _modinfo(name: str, release: str) -> str:
    # Reason for a command: only kmod knows which of several files of one name modprobe takes, and how it is compressed.
    which = ["--set-version", release] if release else []
    result = subprocess.run(["modinfo", *which, name], capture_output=True, text=True)
    return result.stdout if result.returncode == 0 else ""


def _content(file: str) -> bytes:
    if file.endswith(".zst"):
        # The standard library has no zstd before Python 3.14.
        return subprocess.run(["zstd", "-dcq", file], check=True, stdout=subprocess.PIPE).stdout
    with lzma.open(file) if file.endswith(".xz") else open(file, "rb") as stream:
        return stream.read()
