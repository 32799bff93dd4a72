# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What is in a kernel's packages: their fields, and the start of the kernel itself."""

from __future__ import annotations

import re
import subprocess
import tarfile
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi

#: Debian has it beside the modules since 7.3, and had it in /boot before, as the kernel's own `make bindeb-pkg` has.
IMAGE = re.compile(r"\./(?:boot/vmlinuz-(?P<boot>[^/]+)|(?:usr/)?lib/modules/(?P<modules>[^/]+)/vmlinuz)")


class DebError(Exception):
    """A file that is no package, or not a readable one."""


@dataclass(frozen=True)
class Image:
    """A kernel in a package: its release, its size, and whether it carries a signature."""

    release: str
    size: int
    signed: bool


@dataclass(frozen=True)
class Deb:
    """A package's file."""

    path: str
    name: str
    version: str
    architecture: str
    #: In bytes.
    installed: int


def read(path: str) -> Deb:
    """The fields of a package's file."""
    fields = parse_fields(_dpkg_deb("--field", "--", path, "Package", "Version", "Architecture", "Installed-Size"))
    return Deb(
        path,
        fields["Package"],
        fields["Version"],
        fields["Architecture"],
        int(fields.get("Installed-Size", "0")) * 1024,
    )


def parse_fields(text: str) -> dict[str, str]:
    """One paragraph of deb822(5) without the lines that continue others."""
    return {
        name: value.strip()
        for line in text.splitlines()
        if not line.startswith((" ", "\t"))
        for name, _, value in [line.partition(":")]
    }


def find_image(debs: t.Iterable[Deb]) -> Image | None:
    """The kernel in one of the packages; None when there is none in them."""
    # Unpacking takes a while, so those come first whose name says that it may be there.
    likely = ("linux-binary-", "linux-image-")
    for deb in sorted(debs, key=lambda deb: not deb.name.startswith(likely)):
        found = _image(deb.path)
        if found is not None:
            return found
    return None


def _image(path: str) -> Image | None:
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", "--", path], stdout=subprocess.PIPE) as process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    match = IMAGE.fullmatch(member.name)
                    content = archive.extractfile(member) if match and member.isfile() else None
                    if match and content:
                        signed = efi.is_signed(content.read(efi.HEADER))
                        return Image(match["boot"] or match["modules"], member.size, signed)
        except tarfile.TarError as error:
            raise DebError(f"{path}: {error}") from None
        finally:
            # It may have more to say than was wanted.
            process.kill()
    return None


def _dpkg_deb(*arguments: str) -> str:
    # Reason for a command: it alone reads what dpkg will read.
    result = subprocess.run(
        ["dpkg-deb", *arguments], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if result.returncode:
        raise DebError(f"dpkg-deb {arguments[0]}: {' '.join(result.stderr.split())}")
    return result.stdout
