# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of the nodes: systemd knows what is in them, and what they may do is limited."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from jinja2 import Template

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted([*ROOT.glob("roles/*/files/*.service"), *ROOT.glob("roles/*/templates/*.service.j2")])
PYTHON = "/usr/bin/python3 -I /usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz "


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The units as they are on a node."""
    folder = tmp_path_factory.mktemp("units")
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".j2":
            text = Template(text).render(nvme_kernel_new={"release": "7.2.12"})
        (folder / file.name.removesuffix(".j2")).write_text(text, encoding="utf-8")
    return sorted(folder.iterdir())


def test_no_unit_takes_a_module_from_where_somebody_else_has_put_it(units: list[Path]) -> None:
    lines = [line for unit in units for line in unit.read_text(encoding="utf-8").splitlines()]
    starts = [line.partition("=")[2].lstrip("+") for line in lines if line.startswith("Exec")]
    assert len(starts) >= len(units) == 5
    assert [start for start in starts if not start.startswith(PYTHON)] == []


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="the scenarios fabric and host ask the nodes' systemd")
def test_systemd_knows_every_line_and_calls_no_unit_exposed(units: list[Path]) -> None:
    known = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, units)], capture_output=True, text=True, check=False
    )
    assert (known.returncode, known.stderr) == (0, "")
    exposed = [unit.name for unit in units if subprocess.run(_security(unit), capture_output=True).returncode]
    assert exposed == []


def _security(unit: Path) -> list[str]:
    # 50: an exposure of 5.0.
    return ["systemd-analyze", "security", "--offline=true", "--threshold=50", "--no-pager", str(unit)]
