# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The node program: a zipapp made of the very module_utils that run in the Ansible modules.

Boot and events therefore take the code path that the playbook took.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _node
from ansible_collections.nvmeof.mptcp.plugins.module_utils._state import replace_file

# Importing the entry point imports, and makes Ansible ship, everything that the program is made of.
PACKAGE = _node.__name__.rpartition(".")[0]
#: Where the boot units find it.
PATH = "/usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz"
_SHEBANG = b"#!/usr/bin/python3\n"
_MAIN = f"""\
import sys
from {PACKAGE}._node import main
sys.exit(main(sys.argv[1:]))
"""
# One date for every member: equal sources give equal bytes, so that a comparison of hashes means something.
_DATE = (2026, 1, 1, 0, 0, 0)


def sources() -> dict[str, str]:
    """Path in the archive to source text of everything that the node program imports."""
    found = {"__main__.py": _MAIN}
    for name in sorted(sys.modules):
        if name.startswith(f"{PACKAGE}._"):
            loader = getattr(sys.modules[name], "__loader__", None)
            text = loader.get_source(name) if loader else None
            if text is None:
                raise RuntimeError(f"{name} has no source to build the node program from")
            found[f"{name.replace('.', '/')}.py"] = text
    parts = PACKAGE.split(".")
    for depth in range(1, len(parts) + 1):
        # zipimport finds no namespace package without an entry of its own.
        found["/".join([*parts[:depth], "__init__.py"])] = ""
    return found


def build() -> bytes:
    """The zipapp's bytes; equal for equal sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in sorted(sources().items()):
            archive.writestr(zipfile.ZipInfo(path, _DATE), text)
    return _SHEBANG + buffer.getvalue()


def digest(path: str = PATH) -> str | None:
    """sha256 of the installed program, or None."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return None


def install(content: bytes, path: str = PATH) -> None:
    """Rename the program into place: a boot unit sees the old one or the new one, never half of it."""
    replace_file(path, content, 0o755)
