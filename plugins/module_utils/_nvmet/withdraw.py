# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""At a shutdown, send the hosts to their other paths before this target's connections break.

An ANA change reaches a host at once, and it repeats on another path what this one answers with "inaccessible". A broken
connection it notices only when a command or the keep-alive times out. The ports themselves are left to the kernel.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.systemd import is_shutting_down
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import configfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.apply import apply_all
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.live import users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.refusals import explain
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, label

#: Seconds for the event, the hosts' reading of the ANA log and the commands under way: each takes a round trip or two.
_ANNOUNCE = 2.0
#: Seconds to wait for a run that changes the target: a shutdown ends it, too.
_LOCK = 10.0


def withdraw(
    saved: Mapping[str, Any],
    machine: Machine | None = None,
    wait: float = _ANNOUNCE,
    shutting_down: Callable[[], bool] = is_shutting_down,
) -> list[str]:
    """Make every ANA group of the saved description's ports inaccessible, and return the lines of what was done.

    wait: seconds to give the hosts, if any is connected. Raises Refused when the kernel refuses a state.
    """
    if not shutting_down():
        return ["this machine is not shutting down; what it serves stays as it is"]
    on = machine or Machine()
    with lock.lock("target", folder=on.locks, timeout=_LOCK):
        actual = configfs.gather(on.kernel, on.root)
        operations = plan(parse(saved["target"]), actual, on.root)
        apply_all(operations, explain, on.kernel.perform)
    if operations and users(actual, on.kernel):
        time.sleep(wait)
    return [operation.line() for operation in operations]


def plan(ours: Tree, actual: Tree, root: str) -> list[Operation]:
    """The ANA states to write. A group of a port that we describe counts, whoever made it: its port goes with ours."""
    groups = [
        path
        for path, found in actual.objects.items()
        if found.kind == "ana_group" and "/".join(path.split("/")[:2]) in ours.objects
    ]
    return [
        Operation("write", f"{root}/{path}/ana_state", "inaccessible", about=label(path))
        for path in groups
        # Beyond inaccessible already: a host gives persistently lost namespaces up.
        if actual.objects[path].attributes.get("ana_state") not in ("inaccessible", "persistent-loss")
    ]
