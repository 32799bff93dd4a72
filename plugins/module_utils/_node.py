# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Entry point of the node program: converge one slice to what was saved of it, at boot or on an event."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Callable, Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils import (
    _connections_converge,
    _mptcp_watch,
    _nvmet_boot,
    _state,
)

# A slice's boot() converges to its saved description and returns the lines of what it did.
_BOOT: dict[str, Callable[[dict[str, Any]], Iterable[str]]] = {
    "mptcp": _mptcp_watch.boot,
    "target": _nvmet_boot.boot,
    "host": _connections_converge.boot,
}


def main(arguments: list[str]) -> int:
    """Run `converge SLICE`; 0 when the slice is as described, 1 with one line of what is missing."""
    parser = argparse.ArgumentParser(prog="nvmeof-mptcp", description="Converge this node to what a playbook saved.")
    commands = parser.add_subparsers(dest="command", required=True)
    converge = commands.add_parser("converge", help="make one slice as it was saved")
    converge.add_argument("slice", choices=_state.SLICES)
    name = parser.parse_args(arguments).slice
    try:
        description = _state.load(name)
        if description is None:
            print(f"{name}: nothing was saved in {_state.CONFIG_DIR}; nothing to do")
            return 0
        for line in _BOOT[name](description):
            print(f"{name}: {line}", flush=True)
    except Exception as error:  # the journal gets one line, whatever went wrong
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
