# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom: a file that needs more than its package may have belongs into another one."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
NAMESPACE = "ansible_collections.nvmeof.mptcp.plugins."
ENGINES = {"_nvmet", "_host", "_mptcp"}
MODULE_UTILS = {"_core", "_linux", *ENGINES, "_transport", "_trial", "_build", "_node"}
#: What each may import besides itself.
MAY = {
    "_core": set(),
    "_linux": {"_core"},
    **{one: {"_core", "_linux"} for one in (*ENGINES, "_transport")},
    "_trial": {"_core", "_linux", "_transport"},
    "_build": {"_core", "_linux", "_transport"},
    "_node": {"_core", *ENGINES, "_trial"},
    "_fabric": {"_core", *ENGINES},
    # A lab runs the kernels that the patch is made for, and the table of those is in _transport.
    "_lab": {"_core", "_build", "_transport"},
    "plugin_utils": {"_core"},
    "modules": MODULE_UTILS,
    "action": {"_core", "_build", "_lab", "plugin_utils"},
    "filter": {"_core", *ENGINES, "_fabric", "plugin_utils"},
    "lookup": {"_core"},
    "doc_fragments": set(),
}


def room(parts: Sequence[str]) -> str:
    """The package of a file or of what is imported: of module_utils, _core, state it is _core."""
    return parts[1] if parts[1:] and parts[1] in MAY else parts[0]


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_file_imports_what_its_package_may(path: Path) -> None:
    here = room(path.relative_to(PLUGINS).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(NAMESPACE):
            for alias in node.names:
                there = room([*(node.module or "")[len(NAMESPACE) :].split("."), alias.name])
                assert there in {here, *MAY[here]}, f"line {node.lineno}: {here} imports {there}"


def test_every_util_is_in_a_package() -> None:
    assert [path.name for path in (PLUGINS / "module_utils").glob("*.py")] == []
    assert [path.name for path in (PLUGINS / "plugin_utils").glob("*.py")] == ["_program.py"]
