# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The node program as it is installed, and a unit of systemd that runs it: its file, and whether boot starts it."""

from __future__ import annotations

import hashlib
import io
import os
import py_compile
import subprocess
import tempfile
import zipfile

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import replace_file

UNIT_DIR = "/etc/systemd/system"
#: Where the units find the program.
PROGRAM = "/usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz"


def digest(path: str = PROGRAM) -> str:
    """digest_of() the installed program, empty when there is none."""
    try:
        with open(path, "rb") as stream:
            return digest_of(stream.read())
    except FileNotFoundError:
        return ""


def digest_of(program: bytes) -> str:
    """sha256 of a program's sources, compiled or not; of its bytes when anything in the zipapp is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(program)) as archive:
            # Reading compares the checksum of each member, the compiled ones among them.
            members = [(name, archive.read(name)) for name in sorted(archive.namelist())]
    except Exception:  # zipfile raises whatever the damaged bytes lead it to
        return hashlib.sha256(program).hexdigest()
    return hashlib.sha256(repr([one for one in members if one[0].endswith(".py")]).encode()).hexdigest()


def compiled(program: bytes) -> bytes:
    """The program with its sources compiled beside them, for Python does not keep what it compiles of a zipapp.

    A boot and a shutdown wait for its start. Another version of Python does not know the result and takes the sources.
    """
    buffer = io.BytesIO(program)
    with zipfile.ZipFile(buffer, "a") as archive, tempfile.TemporaryDirectory() as folder:
        for name in archive.namelist():
            source = archive.extract(name, folder)
            code = py_compile.compile(
                source,
                cfile=f"{source}c",
                dfile=f"{PROGRAM}/{name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
            with open(str(code), "rb") as stream:
                # One date for every member, whatever the node's clock says: before 1980 there is none.
                archive.writestr(zipfile.ZipInfo(f"{name}c"), stream.read())
    return buffer.getvalue()


def text_of(path: str) -> str:
    """Text of a file, empty when there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def current(name: str, unit_dir: str = UNIT_DIR) -> str:
    """Text of an installed unit file, empty when there is none."""
    return text_of(os.path.join(unit_dir, name))


def enabled(name: str) -> bool:
    """Whether boot starts the unit."""
    # systemctl answers with its status; there is no file that means the same for every kind of installation.
    return _systemctl("is-enabled", "--quiet", name).returncode == 0


def active(name: str) -> bool:
    """Whether the unit runs, or has run and remains."""
    return _systemctl("is-active", "--quiet", name).returncode == 0


def install(name: str, content: str, restart: bool, unit_dir: str = UNIT_DIR) -> None:
    """Write the unit file, tell systemd, enable it and, if asked, restart it; OSError has what systemctl said."""
    if current(name, unit_dir) != content:
        replace_file(os.path.join(unit_dir, name), content, 0o644)
        _checked("daemon-reload")
    if not enabled(name):
        _checked("enable", name)
    if restart:
        _checked("restart", name)


def remove(name: str, unit_dir: str = UNIT_DIR) -> bool:
    """Stop a unit and take its file away; whether there was one. OSError has what systemctl said."""
    if not current(name, unit_dir):
        return False
    _checked("disable", "--now", name)
    os.unlink(os.path.join(unit_dir, name))
    _checked("daemon-reload")
    return True


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemctl", *arguments], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def _checked(*arguments: str) -> None:
    result = _systemctl(*arguments)
    if result.returncode:
        raise OSError(f"systemctl {' '.join(arguments)}: {result.stderr.strip()}")
