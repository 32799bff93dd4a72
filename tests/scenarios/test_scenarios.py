# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every molecule scenario, each on real kernels in machines that it makes itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
# What pytest and Ansible print of a failure; the machines are gone afterwards, so the message has to carry it.
FAILURE = re.compile(r"E  |FAILED |ERROR |fatal: |\[ERROR\]")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    # Its output is the progress of the longest part of a run, so it is shown as it comes.
    command = ["molecule", "test", "--scenario-name", scenario]
    told = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as molecule:
        for line in molecule.stdout:
            print(line, end="", flush=True)
            # Molecule draws a frame around it.
            line = re.sub(r"\x1b\[[0-9;]*m", "", line).lstrip(" │")
            if FAILURE.match(line):
                told.append(line[:500])
    if molecule.returncode:
        pytest.fail(f"{' '.join(command)} ended {molecule.returncode}:\n{''.join(told[-60:])}", pytrace=False)
