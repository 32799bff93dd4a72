# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Performing a plan of connections: what can fail alone fails alone, and what the kernel does side by side runs so."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from typing import Callable, ContextManager, Iterator, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused, apply
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.connect import (
    Connector,
    Failure,
    explain,
    perform_other,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DEVICE
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import Rewriter, is_rewrite

#: A turn at the connections, and what of a batch is needed in it still.
Needed = Callable[[Sequence[Operation]], ContextManager[Sequence[Operation]]]

#: Controllers that are disconnected at a time: each waits for its queues, and one of a dead target for its commands.
TOGETHER = 16


def is_connect(operation: Operation) -> bool:
    return operation.path == DEVICE


def is_disconnect(operation: Operation) -> bool:
    return os.path.basename(operation.path) == "delete_controller"


def _is_load(operation: Operation) -> bool:
    return operation.verb == "run"


def before_disconnects(operations: Sequence[Operation]) -> list[Operation]:
    """What a plan does before it takes something away."""
    return list(itertools.takewhile(lambda one: not is_disconnect(one), operations))


def perform(operations: Sequence[Operation], connector: Connector, needed: Needed) -> Iterator[Operation]:
    """Perform in order and yield what was done; what a connection alone lacks is in the connector's failures.

    Operations of one kind that follow one another are one batch; no turn is longer than one connect. Raises Refused for
    an operation that nobody expects to be refused.
    """
    for kind, group in itertools.groupby(operations, _kind):
        batch = list(group)
        if kind == "connect":
            yield from connector.run(batch)
        elif kind == "rewrite":
            for _name, of_one in itertools.groupby(batch, lambda one: one.about):
                with needed(list(of_one)) as now:
                    done = _rewrite(now, connector)
                yield from done
        elif kind == "disconnect":
            for first in range(0, len(batch), TOGETHER):
                with needed(batch[first : first + TOGETHER]) as now:
                    done = _disconnect(now)
                yield from done
        else:
            with needed(batch) as now:
                done = _load(now, connector) if kind == "load" else apply(now, explain, perform_other)
            yield from done


def _kind(operation: Operation) -> str:
    kinds = {"connect": is_connect, "disconnect": is_disconnect, "rewrite": is_rewrite, "load": _is_load}
    return next((kind for kind, fits in kinds.items() if fits(operation)), "")


def _disconnect(batch: Sequence[Operation]) -> list[Operation]:
    done: list[Operation] = []
    refused: list[Refused] = []
    with concurrent.futures.ThreadPoolExecutor(TOGETHER) as pool:
        for work in [pool.submit(apply, [one], explain, perform_other) for one in batch]:
            try:
                done += work.result()
            except Refused as error:
                refused.append(error)
    if refused:
        first = refused[0]
        raise Refused(first.operation, first.code, first.refusal, done) from first
    return done


def _rewrite(of_one: Sequence[Operation], connector: Connector) -> Sequence[Operation]:
    try:
        if of_one:
            Rewriter(perform_other).rewrite(of_one)
        return of_one
    except OSError as error:
        connector.failures.append(Failure(of_one[0].about, error, 1))
        return []


def _load(batch: Sequence[Operation], connector: Connector) -> list[Operation]:
    """Load modules of transports; without one the connections of its transport fail, and the others are made."""
    done: list[Operation] = []
    for operation in batch:
        try:
            done += apply([operation], explain, perform_other)
        except Refused as error:
            connector.failures.append(Failure(operation.about, OSError(error.code, error.refusal), 1))
    return done
