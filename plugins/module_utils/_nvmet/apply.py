# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Apply a plan for nvmet: in order, but namespaces that go are removed in one thread for each subsystem.

The kernel waits about 12 ms for each namespace that goes, whatever the processor, and holds no lock of other subsystems
meanwhile (drivers/nvme/target/core.c, nvmet_ns_disable).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import groupby
from typing import Callable, Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.consistency import IP_TRANSPORTS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree

Explain = Callable[[Operation, OSError], "str | None"]
Do = Callable[[Operation], None]


def spare_port(actual: Tree) -> str:
    """Path of a port that nobody has; users count from 1."""
    return next(f"ports/{number}" for number in range(65535, 0, -1) if f"ports/{number}" not in actual.objects)


def ask_transports(operations: Iterable[Operation], actual: Tree, folder: str, explain: Explain, do: Do) -> None:
    """Write every transport type of the plan to a spare port first, which listens to nothing and goes again.

    A kernel without the transport says so only at that write, and would be left with half a target, whose subsystems
    then hold the very modules that have to be exchanged. Raises Refused; nothing of the plan was applied.
    folder: absolute path of the spare port.
    """
    known = {found.attributes.get("trtype") for found in actual.objects.values()}
    writes = {
        found.value: found for found in operations if found.verb == "write" and found.path.endswith("/addr_trtype")
    }
    for write in [found for trtype, found in writes.items() if trtype not in known]:
        do(Operation("mkdir", folder))
        try:
            apply([replace(write, path=f"{folder}/addr_trtype")], explain, do)
        finally:
            do(Operation("rmdir", folder))


def ask_addresses(
    plan: list[Operation], actual: Tree, desired: Tree, root: str, explain: Explain, bind: Callable[[str], None]
) -> None:
    """Bind to every new address of an open port first: nvmet would refuse it only after the port is closed.

    Raises Refused with the operation that would open the port; nothing of the plan was applied.
    """
    opens = {one.path.rpartition("/subsystems/")[0]: one for one in reversed(plan) if one.verb == "symlink"}
    open_now = {f"{root}/{link.rpartition('/subsystems/')[0]}" for link in actual.links}
    for write in plan:
        port, _, file = write.path.rpartition("/")
        if file == "addr_traddr" and port in opens and port in open_now:
            trtype = desired.objects[port[len(root) + 1 :]].attributes.get("trtype")
            if trtype in IP_TRANSPORTS:
                apply([opens[port]], explain, lambda _opening, address=write.value: bind(address))  # type: ignore[misc]


def apply_all(operations: Iterable[Operation], explain: Explain, do: Do) -> list[Operation]:
    """Perform the operations and return those that were applied. Raises Refused with all that were."""
    applied: list[Operation] = []
    for removal, together in groupby(operations, key=_removes_namespace):
        batches = [list(batch) for _folder, batch in groupby(together, key=_folder)] if removal else [list(together)]
        done, refused = _side_by_side(batches, explain, do) if len(batches) > 1 else _one(batches[0], explain, do)
        applied += done
        if refused:
            raise Refused(refused.operation, refused.code, refused.refusal, applied)
    return applied


def _removes_namespace(operation: Operation) -> bool:
    return operation.verb == "rmdir" and operation.path.rpartition("/")[0].endswith("/namespaces")


def _folder(operation: Operation) -> str:
    return operation.path.rpartition("/")[0]


def _side_by_side(batches: list[list[Operation]], explain: Explain, do: Do) -> tuple[list[Operation], Refused | None]:
    """What all batches applied, and the first refusal; the other batches are completed all the same."""
    with ThreadPoolExecutor(max_workers=len(batches)) as pool:
        outcomes = list(pool.map(lambda batch: _one(batch, explain, do), batches))
    applied = [operation for done, _refused in outcomes for operation in done]
    return applied, next((refused for _done, refused in outcomes if refused), None)


def _one(batch: list[Operation], explain: Explain, do: Do) -> tuple[list[Operation], Refused | None]:
    try:
        return apply(batch, explain, do), None
    except Refused as refused:
        return refused.applied, refused
