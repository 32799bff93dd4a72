# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Serve at boot what was saved: everything that can be served at once, the rest when its device appears."""

from __future__ import annotations

import time
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import Damaged, description_file
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Disruptive, Machine, Result, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT, restored


class Late(Exception):
    """Everything else is served, but some devices or hosts cannot be; the message names them and says why."""


def boot(saved: Mapping[str, Any], wait: float = 60.0, machine: Machine | None = None) -> list[str]:
    """Converge to what was saved and return the lines of what was done.

    Whatever has its device and its keys is served at once; for the others this waits up to wait seconds, then raises
    Late.
    """
    on = machine or Machine()
    _insist_valid(saved, on.config_dir)
    deadline, lines = time.monotonic() + wait, []
    while True:
        description, keyless = restored(saved, on.config_dir)
        result = _converge(description, saved.get("prune", "owned"), keyless, on)
        lines += [operation.line() for operation in result.plan]
        if not result.late:
            return lines
        if time.monotonic() >= deadline:
            raise Late("; ".join(result.late))
        time.sleep(1.0)


def _insist_valid(saved: Mapping[str, Any], config_dir: str) -> None:
    """Raises Damaged for values that no target takes: a later start would find the same."""
    try:
        parse(saved["target"])
    except Invalid as error:
        found = f"{description_file(COMPONENT, config_dir)} does not hold what this release writes: {error}"
        raise Damaged(found, "run the playbook targets.yml again, which writes it anew") from None


def _converge(description: Mapping[str, Any], prune: str, keyless: Mapping[str, str], machine: Machine) -> Result:
    try:
        return converge(description, boot=True, prune=prune, keyless=keyless, machine=machine)
    except Disruptive:
        # What should go can wait for a playbook; hosts wait for what should be served.
        return converge(description, boot=True, prune="none", keyless=keyless, machine=machine)
