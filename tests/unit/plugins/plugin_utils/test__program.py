# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node program is a file that runs by itself, made of the sources that the modules run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program


def test_equal_sources_give_equal_bytes() -> None:
    assert _program.build() == _program.build()


def test_program_runs_without_the_collection_and_without_ansible(tmp_path: Path) -> None:
    path = tmp_path / "nvmeof-mptcp.pyz"
    path.write_bytes(_program.build())
    # -I: neither the environment nor the current folder may lend it a module; the virtual environment has Ansible.
    base = Path(sys.base_prefix) / "bin/python3"
    run = [str(base), "-I", str(path)]
    result = subprocess.run([*run, "converge", "--help"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "{mptcp,target,host}" in result.stdout
    result = subprocess.run([*run, "converge", "everything"], check=False, capture_output=True, text=True)
    assert result.returncode == 2
    assert "invalid choice" in result.stderr


def test_an_installed_program_is_compiled_and_another_python_takes_the_sources(tmp_path: Path) -> None:
    program = _program.build()
    path = tmp_path / "nvmeof-mptcp.pyz"
    path.write_bytes(unit.compiled(program))
    assert unit.digest(str(path)) == unit.digest_of(program)
    assert _imported_from(path) == "main.pyc"
    # As a Python wrote it that counts its bytecode otherwise.
    path.write_bytes(path.read_bytes().replace(importlib.util.MAGIC_NUMBER, b"\0\0\r\n"))
    assert _imported_from(path) == "main.py"


def _imported_from(path: Path) -> str:
    code = (
        f"import sys; sys.path.insert(0, {str(path)!r}); import {_program.PACKAGE}._node.main as it; print(it.__file__)"
    )
    result = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    return Path(result.stdout.strip()).name


def _with_damaged_bytecode() -> bytes:
    content = unit.compiled(_program.build())
    place = content.index(importlib.util.MAGIC_NUMBER) + 100
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize("content", [b"", b"#!/usr/bin/python3\nPK", _program.build()[:-30], _with_damaged_bytecode()])
def test_a_damaged_program_is_another_one(content: bytes) -> None:
    assert unit.digest_of(content) != unit.digest_of(_program.build())


def test_only_what_a_node_needs_is_inside() -> None:
    sources = _program.sources()
    base = f"{_program.PACKAGE.replace('.', '/')}/"
    inside = {path[len(base) :] for path in sources if path.startswith(base)}
    assert {"_node/main.py", "_nvmet/converge.py", "_host/boot.py", "_linux/netlink.py"} <= inside
    assert not [path for path in inside if path.startswith("_build/")]
    for path, text in sources.items():
        assert "from ansible.module_utils" not in text, path
