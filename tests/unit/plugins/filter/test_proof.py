# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.nvmeof.mptcp.plugins.filter.proof import of_start
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program


def test_a_machine_has_the_program_that_was_installed_on_it(tmp_path: Path) -> None:
    path = tmp_path / "nvmeof-mptcp.pyz"

    def problems() -> list[str]:
        found = {
            "transport": {"present": True, "kernel_release": "7.2.12"},
            "node_program": unit.digest(str(path)),
            "controllers": [],
            "interfaces": {},
            "counters": {},
        }
        return of_start({"host1": {"proof_nvme": found}}, "host1", [], [])

    [problem] = problems()
    assert "no program" in problem
    path.write_bytes(unit.compiled(_program.build()))
    assert problems() == []
