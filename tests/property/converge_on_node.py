# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine whose nvmet nobody else uses: converge pairs of descriptions from standard input on the real kernel.

It runs under strace, which is the witness: the removal of a marker that is not there says which pair the calls after it
belong to. One line of JSON for each pair tells what was found before and after.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import ROOT, Live, gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import describe


def mark(name: str) -> None:
    """Something that only strace sees."""
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(f"/marker/{name}")


def inodes() -> dict[str, int]:
    found = {}
    for folder, folders, _files in os.walk(ROOT):
        for name in folders:
            path = f"{folder}/{name}"
            found[path[len(ROOT) + 1 :]] = os.lstat(path).st_ino
    return found


def pair(number: int, start: dict[str, Any], first: dict[str, Any], second: dict[str, Any], on: Machine) -> Any:
    # What is not described stays, so without a known start a pair would depend on those before it.
    converge(start, prune="all", machine=on)
    converge(first, machine=on)
    before = inodes()
    mark(f"begin/{number}")
    result = converge(second, machine=on)
    mark(f"end/{number}")
    found = gather(Live())
    return {
        "plan": [operation.line() for operation in result.plan],
        "again": [operation.line() for operation in converge(second, check=True, machine=on).plan],
        "read": describe(found),
        # With their keys, which a description never has.
        "hosts": {path: item.attributes for path, item in found.objects.items() if item.kind == "host"},
        "exposed": sorted(found.exposed),
        "before": before,
        "after": inodes(),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        on = Machine(config_dir=f"{folder}/etc", owned_dir=f"{folder}/var", locks=f"{folder}/locks")
        start, pairs = json.load(sys.stdin)
        for number, (first, second) in enumerate(pairs):
            print(json.dumps(pair(number, start, first, second, on)), flush=True)


if __name__ == "__main__":
    main()
