# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import threading

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.apply import apply_all


def gone(subsystem: str, nsid: int) -> Operation:
    return Operation("rmdir", f"/n/subsystems/{subsystem}/namespaces/{nsid}")


FIRST, LAST = Operation("unlink", "/n/ports/1/subsystems/a"), Operation("rmdir", "/n/subsystems/a")
PLAN = [FIRST, *(gone(name, nsid) for name in "ab" for nsid in (1, 2)), LAST]


def why(operation: Operation, error: OSError) -> None:
    return None


def test_namespaces_of_different_subsystems_go_side_by_side_and_the_rest_in_order() -> None:
    both, order, lock = threading.Barrier(2, timeout=10), [], threading.Lock()

    def do(operation: Operation) -> None:
        if operation.path.endswith("namespaces/1"):
            both.wait()
        with lock:
            order.append(operation)

    assert apply_all(PLAN, why, do) == PLAN
    assert (order[0], order[-1]) == (FIRST, LAST)
    assert [item for item in order if "/a/n" in item.path] == [gone("a", 1), gone("a", 2)]


def test_a_refusal_ends_the_plan_and_tells_all_that_was_applied() -> None:
    done = []

    def do(operation: Operation) -> None:
        if operation == gone("a", 1):
            raise OSError(errno.EBUSY, "busy")
        done.append(operation)

    with pytest.raises(Refused, match="EBUSY") as caught:
        apply_all(PLAN, why, do)
    assert set(caught.value.applied) == set(done) == {FIRST, gone("b", 1), gone("b", 2)}
    assert "3 operation(s) before it" in str(caught.value)
