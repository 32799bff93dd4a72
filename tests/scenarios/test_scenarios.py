# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every molecule scenario, each on real kernels in machines that it makes itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    # Its output is the progress of the longest part of a run, so it is not captured.
    result = subprocess.run(["molecule", "test", "--scenario-name", scenario], cwd=ROOT, check=False)
    assert result.returncode == 0, f"molecule test --scenario-name {scenario} failed"
