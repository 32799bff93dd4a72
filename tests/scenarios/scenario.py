# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One molecule scenario: run it, say what went wrong, keep the evidence, end its machines.

python tests/scenarios/scenario.py fabric
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from evidence import ROOT, collect

# What pytest and Ansible print of a failure; the machines are gone afterwards, so the message has to carry it.
FAILURE = re.compile(r"E  |FAILED |ERROR |fatal: |\[ERROR\]")


def run(scenario: str, checkout: Path = ROOT) -> str:
    """What went wrong, with the folder of the evidence in the last line; empty when nothing did."""
    destroy = ["molecule", "destroy", "--scenario-name", scenario]
    command = ["molecule", "test", "--destroy", "never", "--scenario-name", scenario]
    said: list[str] = []
    told: list[str] = []
    subprocess.run(destroy, cwd=checkout, check=True)
    # Its output is the progress of the longest part of a run, so it is shown as it comes.
    with subprocess.Popen(
        command,
        cwd=checkout,
        # A message that Molecule wraps is cut at its first line below.
        env={**os.environ, "COLUMNS": "500"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as molecule:
        for line in molecule.stdout or ():
            print(f"{scenario}: {line}", end="", flush=True)
            line = re.sub(r"\x1b\[[0-9;]*m", "", line)
            said.append(line)
            # Molecule draws a frame around it.
            if FAILURE.match(line.lstrip(" │")):
                told.append(line.lstrip(" │")[:500])
    failure = ""
    if molecule.returncode != 0:
        lab = checkout / ".lab" / scenario
        # What a machine said last tells whether it, and not what was tested on it, is what failed.
        last = [
            f"{path.parent.name}: {''.join(path.read_text(errors='replace').splitlines(keepends=True)[-30:])}"
            for path in sorted(lab.glob("*/console.log"))
        ]
        kept = collect(scenario, "".join(said), lab, checkout)
        failure = (
            f"{' '.join(command)} ended {molecule.returncode}:\n{''.join(told[-60:])}\n{''.join(last)}\n"
            f"evidence: {kept.relative_to(checkout)}"
        )
    subprocess.run(destroy, cwd=checkout, check=True)
    return failure


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]) or 0)
