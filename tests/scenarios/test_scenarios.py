# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every molecule scenario, each on real kernels in machines that it makes itself."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
# They measure no time, and each has one machine that works at a time: together they use the processors.
TOGETHER = ("kernel", "modules", "upgrade")
# They compile kernels: too long for `make test`.
LONG = ("kernel-debug", "kernel-source")
# What pytest and Ansible print of a failure; the machines are gone afterwards, so the message has to carry it.
FAILURE = re.compile(r"E  |FAILED |ERROR |fatal: |\[ERROR\]")


def run(scenario: str) -> str:
    """What went wrong; empty when nothing did."""
    destroy = ["molecule", "destroy", "--scenario-name", scenario]
    command = ["molecule", "test", "--destroy", "never", "--scenario-name", scenario]
    told = []
    subprocess.run(destroy, cwd=ROOT, check=True)
    # Its output is the progress of the longest part of a run, so it is shown as it comes.
    with subprocess.Popen(
        command,
        cwd=ROOT,
        # A message that Molecule wraps is cut at its first line below.
        env={**os.environ, "COLUMNS": "500"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as molecule:
        for line in molecule.stdout:
            print(f"{scenario}: {line}", end="", flush=True)
            # Molecule draws a frame around it.
            line = re.sub(r"\x1b\[[0-9;]*m", "", line).lstrip(" │")
            if FAILURE.match(line):
                told.append(line[:500])
    # What a machine said last tells whether it, and not what was tested on it, is what failed.
    said = [
        f"{path.parent.name}: {''.join(path.read_text(errors='replace').splitlines(keepends=True)[-30:])}"
        for path in sorted((ROOT / ".lab" / scenario).glob("*/console.log"))
    ]
    subprocess.run(destroy, cwd=ROOT, check=True)
    if molecule.returncode == 0:
        return ""
    return f"{' '.join(command)} ended {molecule.returncode}:\n{''.join(told[-60:])}\n{''.join(said)}"


def cases() -> list[object]:
    long = pytest.mark.skipif(os.environ.get("TESTS") != "all", reason="takes long: make test-all, make scenario")
    alone = [
        pytest.param((one,), id=one, marks=[long] if one in LONG else []) for one in SCENARIOS if one not in TOGETHER
    ]
    return [*alone, pytest.param(TOGETHER, id="+".join(TOGETHER))]


@pytest.mark.parametrize("scenarios", cases())
def test_scenarios(scenarios: tuple[str, ...]) -> None:
    with ThreadPoolExecutor() as pool:
        failures = list(filter(None, pool.map(run, scenarios)))
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)
