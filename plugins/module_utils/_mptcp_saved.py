# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""A machine's network as boot, events and reports find it: what the role saved, or what is wrong with the file."""

from __future__ import annotations

import os
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _mptcp_description, _state

SLICE = "mptcp"


def load() -> dict[str, Any] | None:
    """The saved description, or None when none was ever applied. Raises _state.Damaged."""
    saved = _state.load(SLICE)
    return None if saved is None else checked(saved)


def checked(saved: Mapping[str, Any]) -> dict[str, Any]:
    """What was loaded, if it can be converged to. Raises _state.Damaged."""
    description = dict(saved)
    try:
        _mptcp_description.check(description)
    except ValueError as error:
        raise _state.Damaged(
            f"{os.path.join(_state.CONFIG_DIR, SLICE)}.json does not hold what the role mptcp writes ({error}); "
            "run that role again, which writes it anew"
        ) from None
    return description
