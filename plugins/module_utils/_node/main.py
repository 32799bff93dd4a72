# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Entry point of the node program: converge one slice to what was saved of it, at boot or on an event.

At a shutdown it gives up dead paths before file systems are unmounted, and withdraws target and host at the end. While
a kernel is on trial it stands guard over it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, Iterable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import line

Saved = Mapping[str, Any]


# Each command imports what it needs alone: a boot and a shutdown wait for it.
def _converge_mptcp(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import watch

    return watch.boot(saved)


def _converge_target(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import boot as _nvmet_boot

    return _nvmet_boot.boot(saved)


def _converge_host(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import boot as _host_boot

    return _host_boot.boot(saved)


def _release_host(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import shutdown

    return shutdown.release(saved)


def _withdraw_target(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import withdraw as _nvmet_withdraw

    return _nvmet_withdraw.withdraw(saved)


def _withdraw_host(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import shutdown

    return shutdown.withdraw(saved)


def _guard_kernel(saved: Saved) -> Iterable[str]:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import guard as _trial_guard

    return _trial_guard.guard(saved)


# What a command does with a slice takes the saved description and returns the lines of what was done.
_DO: dict[str, dict[str, Callable[[Saved], Iterable[str]]]] = {
    "converge": {"mptcp": _converge_mptcp, "target": _converge_target, "host": _converge_host},
    "release": {"host": _release_host},
    "withdraw": {"target": _withdraw_target, "host": _withdraw_host},
    "guard": {"kernel": _guard_kernel},
}


def main(arguments: list[str]) -> int:
    """Run `COMMAND SLICE`; 0 when the slice is as it should be, else one line of what is missing.

    Then 1, or EX_CONFIG of sysexits(3) for a damaged file, after which systemd does not start a unit again.
    """
    parser = argparse.ArgumentParser(prog="nvmeof-mptcp", description="Converge this node to what a playbook saved.")
    commands = parser.add_subparsers(dest="command", required=True)
    converge = commands.add_parser("converge", help="make one slice as it was saved")
    converge.add_argument("slice", choices=state.SLICES)
    release = commands.add_parser("release", help="if the machine is shutting down, give up what has no path left")
    release.add_argument("slice", choices=sorted(_DO["release"]))
    withdraw = commands.add_parser("withdraw", help="if the machine is shutting down, leave hosts or targets in order")
    withdraw.add_argument("slice", choices=sorted(_DO["withdraw"]))
    guard = commands.add_parser("guard", help="leave a kernel on trial that nobody keeps")
    guard.add_argument("slice", choices=sorted(_DO["guard"]))
    given = parser.parse_args(arguments)
    name = given.slice
    try:
        description = state.load(name)
        if description is None:
            print(f"{name}: nothing was saved in {state.CONFIG_DIR}; nothing to do")
            return 0
        for said in _DO[given.command][name](description):
            print(line(f"{name}: {said}"), flush=True)
    except Exception as error:  # the journal gets one line, whatever went wrong
        print(line(f"{name}: {error}"), file=sys.stderr)
        return os.EX_CONFIG if isinstance(error, state.Damaged) else 1
    return 0
