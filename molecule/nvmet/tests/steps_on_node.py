# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine whose nvmet nobody else uses: converge to each description from standard input, in one process.

With a number as its argument the process is killed when it is about to perform the operation of that index.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from ansible_collections.nvmeof.mptcp.plugins.module_utils._configfs import Live
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_converge import Machine, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation


class Mortal(Live):
    """A kernel whose user dies before one of the operations."""

    left = int(sys.argv[1]) if len(sys.argv) > 1 else -1

    def perform(self, operation: Operation) -> None:
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().perform(operation)


def main() -> None:
    on = Machine(kernel=Mortal(), config_dir="etc", owned_dir="var", lock_path="lock")
    for description in json.load(sys.stdin):
        named = [subsystem["nqn"] for subsystem in description.get("subsystems", [])]
        start = time.monotonic()
        # Nothing at all is described to clean up.
        prune = "owned" if description else "all"
        result = converge(description, prune=prune, allow_disruption=named, machine=on)
        seconds = time.monotonic() - start
        print(json.dumps({"plan": [one.line() for one in result.plan], "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
