# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""A machine's network as boot, events and reports find it: what the role saved."""

from __future__ import annotations

from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.description import check

COMPONENT = state.Component("mptcp", state.File(check, "networks.yml"))


def load() -> dict[str, Any] | None:
    """The saved description, or None when none was ever applied. Raises state.Damaged."""
    return state.load(COMPONENT)
