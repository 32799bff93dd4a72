# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a scenario that failed: its machines are ended, so what they and molecule said is kept."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import ssh  # noqa: E402

# The end is where a failure is; an emulated machine writes a thousand lines of journal in about a second.
LINES = 5000
CONSOLE = 1 << 20
# For all machines together, asked at once: one that hangs must not hold up the scenarios behind it.
SECONDS = 30.0


def collect(scenario: str, output: str, lab: Path, checkout: Path = ROOT) -> Path:
    """The folder that now has molecule's output and, of each machine of the lab, console, QEMU's log and journal."""
    folder = checkout / ".lab/evidence" / f"{scenario}-{datetime.now():%Y%m%d-%H%M%S}"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "molecule.log").write_text(output)
    machines = sorted(path.parent for path in lab.glob("*/console.log"))
    for machine in machines:
        for log in ("console.log", "qemu.log"):
            if (machine / log).exists():
                (folder / f"{machine.name}.{log}").write_bytes((machine / log).read_bytes()[-CONSOLE:])
    with ThreadPoolExecutor() as pool:
        for machine, journal in zip(machines, pool.map(_journal, machines)):
            (folder / f"{machine.name}.journal.log").write_text(journal)
    return folder


def _journal(machine: Path) -> str:
    """The last lines of its journal, or why there are none."""
    command = f"journalctl --no-pager --output=short-precise --lines={LINES}"
    try:
        done = ssh.run(machine.parent, machine.name, command, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{command}: no answer within {SECONDS:g} s\n"
    return done.stdout if done.returncode == 0 else f"{command} ended {done.returncode}: {done.stderr}"
