# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Entry point of the node program: converge one component to what was saved of it, at boot or on an event.

At a shutdown it gives up dead paths before file systems are unmounted, and withdraws target and host at the end. While
a kernel is on trial it stands guard over it.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, Iterable, Mapping, Tuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import line

Saved = Mapping[str, Any]
#: What a command works on, and what it does with the saved description: the lines of what was done.
Work = Tuple[state.Component, Callable[[Saved], Iterable[str]]]


# Each command imports what it needs alone: a boot and a shutdown wait for it.
def _converge_mptcp() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import saved, watch

    return saved.COMPONENT, watch.boot


def _converge_target() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import boot, saved

    return saved.COMPONENT, boot.boot


def _converge_host() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import boot, saved

    return saved.COMPONENT, boot.boot


def _release_host() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved, shutdown

    return saved.COMPONENT, shutdown.release


def _withdraw_target() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import saved, withdraw

    return saved.COMPONENT, withdraw.withdraw


def _withdraw_host() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved, shutdown

    return saved.COMPONENT, shutdown.withdraw


def _guard_kernel() -> Work:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import guard, ledger

    return ledger.COMPONENT, guard.guard


_DO: dict[str, dict[str, Callable[[], Work]]] = {
    "converge": {"mptcp": _converge_mptcp, "target": _converge_target, "host": _converge_host},
    "release": {"host": _release_host},
    "withdraw": {"target": _withdraw_target, "host": _withdraw_host},
    "guard": {"kernel": _guard_kernel},
}


def main(arguments: list[str]) -> int:
    """Run `COMMAND COMPONENT`; 0 when the component is as it should be, else one line of what is missing.

    Then 1, or EX_CONFIG of sysexits(3) for a damaged file, after which systemd does not start a unit again.
    """
    parser = argparse.ArgumentParser(prog="nvmeof-mptcp", description="Converge this node to what a playbook saved.")
    commands = parser.add_subparsers(dest="command", required=True)
    converge = commands.add_parser("converge", help="make one component as it was saved")
    converge.add_argument("component", choices=state.COMPONENTS)
    release = commands.add_parser("release", help="if the machine is shutting down, give up what has no path left")
    release.add_argument("component", choices=sorted(_DO["release"]))
    withdraw = commands.add_parser("withdraw", help="if the machine is shutting down, leave hosts or targets in order")
    withdraw.add_argument("component", choices=sorted(_DO["withdraw"]))
    guard = commands.add_parser("guard", help="leave a kernel on trial that nobody keeps")
    guard.add_argument("component", choices=sorted(_DO["guard"]))
    given = parser.parse_args(arguments)
    name = given.component
    try:
        component, work = _DO[given.command][name]()
        description = state.load(component)
        if description is None:
            print(f"{name}: nothing was saved in {state.CONFIG_DIR}; nothing to do")
            return 0
        for said in work(description):
            print(line(f"{name}: {said}"), flush=True)
    except Exception as error:  # the journal gets one line, whatever went wrong
        print(line(f"{name}: {error}"), file=sys.stderr)
        return os.EX_CONFIG if isinstance(error, state.Damaged) else 1
    return 0
