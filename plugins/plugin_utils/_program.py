# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The node program: a zipapp made of the very module_utils that run in the Ansible modules.

Boot and events therefore take the code path that the playbook took.
"""

from __future__ import annotations

import ast
import io
import zipfile
from pathlib import Path

PACKAGE = "ansible_collections.nvmeof.mptcp.plugins.module_utils"
_FOLDER = Path(__file__).parents[1] / "module_utils"
_SHEBANG = b"#!/usr/bin/python3 -I\n"
_MAIN = f"""\
import sys
from {PACKAGE}._node.main import main
sys.exit(main(sys.argv[1:]))
"""
# One date for every member and no compression, whose result differs between versions of zlib: equal sources give equal
# bytes on every controller, so that a comparison of hashes means something.
_DATE = (2026, 1, 1, 0, 0, 0)


def sources() -> dict[str, str]:
    """Path in the archive to source text of the entry point and of everything that it imports."""
    texts = {"__main__": _MAIN}
    waiting = _imports(_MAIN)
    while waiting:
        name = waiting.pop()
        if name not in texts:
            texts[name] = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
            waiting |= _imports(texts[name])
    base = PACKAGE.replace(".", "/")
    found = {f"{base}/{name}.py": text for name, text in texts.items() if name != "__main__"}
    # zipimport finds no namespace package without an entry of its own.
    packages = {
        f"{folder}/__init__.py": "" for path in found for folder in map(str, Path(path).parents) if folder != "."
    }
    return {"__main__.py": _MAIN, **found, **packages}


def _imports(text: str) -> set[str]:
    """The collection's module_utils that a source imports, as paths without their ending: _core/state."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            inside = (node.module or "")[len(PACKAGE) + 1 :].replace(".", "/")
            # A package has modules to import, and a module has names.
            found |= {inside} if "/" in inside else {f"{inside}/{alias.name}" for alias in node.names}
    return found


def build() -> bytes:
    """The zipapp's bytes; equal for equal sources."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, text in sorted(sources().items()):
            archive.writestr(zipfile.ZipInfo(path, _DATE), text)
    return _SHEBANG + buffer.getvalue()
