# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""How a kernel's trial stands on this machine, and what the next boot brings."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules as _module_files
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import loader as _loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import seen as _trial_seen


def trial() -> dict[str, t.Any] | None:
    """A trial that nobody has judged: release, verdict and what is seen of it. Raises Damaged."""
    found = ledger.read()["trial"]
    verdict = ledger.verdict(found, os.uname().release, ledger.boot_id())
    if found is None or verdict == "none":
        return None
    seen = _trial_seen.tell(found) if verdict == "failed" else []
    return {"release": found["release"], "verdict": verdict, "seen": seen}


def next_kernel(loader: _loader.Loader | None, stale: bool) -> dict[str, t.Any] | None:
    """The kernel that boots by default, and whether it has the transport; None where a boot brings what runs now.

    stale: whether other builds of the modules are loaded than those on disk.
    """
    try:
        default = loader.default() if loader else ""
    except OSError:
        # Who needs to know it gets the error.
        return None
    # Where nobody can tell, the machine boots what it runs.
    release = default or os.uname().release
    if release == os.uname().release and not stale:
        return None
    version = state.kernel_version(release)
    modules = [_module_files.read_file(name, release) for name in _module_files.MODULES]
    return {
        "release": release,
        "version": version,
        "offers": state.judge(modules),
        "obstacles": state.obstacles(release, version),
    }
