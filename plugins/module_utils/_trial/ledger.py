# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What is known of kernels that were tried on this machine: written ahead of each step, so that any run can go on.

A trial is armed (it boots next), then its kernel runs, and then it is kept or ended; both take it out of the ledger. An
interrupted one stays, and what runs says how it went.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import GRAMMARS, Grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape

#: The name of a package, whatever somebody called those of a kernel of his own.
_PACKAGE = Grammar(re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]*", re.ASCII), 255, "the name of a package")


def _shape() -> Shape:
    release = GRAMMARS["kernel release"]
    trial = {
        "release": release,
        "previous": str,
        "timeout": range(10**7),
        "boot": str,
        "since": int,
        "guard": str,
        "kept?": bool,
    }
    return {"trial?": (trial, None), "proven?": [release], "installed?": {...: [_PACKAGE]}}


#: It is with the descriptions, on the root file system, because the guard needs it early.
COMPONENT = state.Component(
    "kernel", state.File(state.of_shape(_shape), "kernels.yml", "kernels that were tried before stay installed")
)
#: The unit of the guard, see guard.py; there while a trial is.
UNIT = "nvmeof-mptcp-kernel-trial.service"

Ledger = t.Dict[str, t.Any]
Trial = t.Dict[str, t.Any]


def read(config_dir: str = state.CONFIG_DIR) -> Ledger:
    """The ledger: trial (or None), proven (releases, the last one first), installed (release to its packages)."""
    return {"trial": None, "proven": [], "installed": {}, **(state.load(COMPONENT, config_dir) or {})}


def write(ledger: Ledger, config_dir: str = state.CONFIG_DIR) -> None:
    """Replace the ledger."""
    state.save(COMPONENT, ledger, config_dir)


def new_trial(release: str, previous: str, timeout: int) -> Trial:
    """A trial that begins.

    boot is filled in when it is armed, guard by the guard when it ends the trial, kept when it is decided that the
    kernel stays, before anything is done about it.
    """
    asked = {"release": release, "previous": previous, "timeout": timeout}
    return {**asked, "boot": "", "since": 0, "guard": "", "kept": False}


def verdict(trial: Trial | None, running: str, boot_id: str) -> str:
    """How a trial stands.

    none: there is none, or it was interrupted before it was armed. armed: its kernel boots next. running: that kernel
    runs and nobody has judged it. kept: it is decided that it stays, and not all that follows is done. failed: the
    machine has booted since, and another kernel runs.
    """
    if trial is None:
        return "none"
    if trial["release"] == running:
        return "kept" if trial.get("kept") else "running"
    if not trial["boot"]:
        return "none"
    return "armed" if trial["boot"] == boot_id else "failed"


def superfluous(ledger: Ledger, running: str, keep: int) -> list[str]:
    """The releases to remove: of those that were installed on trial, all but `keep`, the running one among these.

    Never the running one and never the one that was proven last. Proven ones stay before others, younger ones before
    older ones.
    """
    proven = ledger["proven"]
    stay = {running, *proven[:1]}
    others = [release for release in reversed(list(ledger["installed"])) if release not in stay]
    others.sort(key=lambda release: proven.index(release) if release in proven else len(proven))
    return others[max(keep - 1, 0) :]


def boot_id() -> str:
    """Which boot of the machine this is."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()
