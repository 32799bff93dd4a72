# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The node program as it is installed, and a unit of systemd that runs it: its file, and whether boot starts it."""

from __future__ import annotations

import hashlib
import os
import subprocess

from ansible_collections.nvmeof.mptcp.plugins.module_utils._state import replace_file

UNIT_DIR = "/etc/systemd/system"
#: Where the units find the program.
PROGRAM = "/usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz"


def digest(path: str = PROGRAM) -> str:
    """sha256 of the installed program, empty when there is none."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return ""


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


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemctl", *arguments], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def _checked(*arguments: str) -> None:
    result = _systemctl(*arguments)
    if result.returncode:
        raise OSError(f"systemctl {' '.join(arguments)}: {result.stderr.strip()}")
