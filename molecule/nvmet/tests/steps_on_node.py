# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine whose nvmet nobody else uses: converge to each description from standard input, in one process.

With the argument `killed` there are two, and for every operation on the way from the first to the second a process is
killed when it is about to perform it; the next run must complete what it began.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from typing import Any, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import ROOT, Live
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine, Result, converge


class Mortal(Live):
    """A kernel whose user dies before one of the operations."""

    def __init__(self, left: int) -> None:
        self.left = left

    def perform(self, operation: Operation) -> None:
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().perform(operation)


def run(description: dict[str, Any], kernel: Live | None = None, check: bool = False) -> Result:
    named = [subsystem["nqn"] for subsystem in description.get("subsystems", [])]
    on = Machine(kernel=kernel or Live(), config_dir="etc", owned_dir="var", locks="locks")
    # Nothing at all is described to clean up.
    prune = "owned" if description else "all"
    return converge(description, check=check, prune=prune, allow_disruption=named, machine=on)


def killed(before: dict[str, Any], after: dict[str, Any]) -> Iterator[dict[str, Any]]:
    run(before)
    served = [
        f"{ROOT}/subsystems/{one['nqn']}/namespaces/{namespace['nsid']}"
        for one in before["subsystems"]
        for namespace in one["namespaces"]
        if namespace in after["subsystems"][0]["namespaces"]
    ]
    for index in itertools.count():
        inodes = [os.stat(path).st_ino for path in served]
        child = os.fork()
        if not child:
            run(after, Mortal(index))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not status:
            return
        assert os.WIFSIGNALED(status), status
        enabled = [Live().read(f"{path}/enable").strip() for path in served]
        completed = run(after)
        yield {
            "index": index,
            "signal": os.WTERMSIG(status),
            "enabled": enabled,
            "completed": [one.line() for one in completed.plan],
            "again": [one.line() for one in run(after, check=True).plan],
            "back": len(run(before).plan),
            "left": [one.line() for one in run(before, check=True).plan],
            "ports": sorted(os.listdir(f"{ROOT}/ports")),
            "moved": inodes != [os.stat(path).st_ino for path in served],
        }


def main() -> None:
    descriptions = json.load(sys.stdin)
    if sys.argv[1:] == ["killed"]:
        for found in killed(*descriptions):
            print(json.dumps(found), flush=True)
        return
    for description in descriptions:
        start = time.monotonic()
        result = run(description)
        seconds = time.monotonic() - start
        print(json.dumps({"plan": [one.line() for one in result.plan], "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
