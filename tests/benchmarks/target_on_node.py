# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine whose nvmet nobody uses: one run of everything that the benchmark compares; a JSON object of seconds."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import configfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine, converge
from nvmet import Root  # nvmetcli's library

SUBSYSTEMS, EACH = 10, 100
SAVED = "saved.json"


class Recorder(configfs.Live):
    """The real kernel, which notes what is asked of it."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.reads: list[str] = []
        self.folders: list[str] = []

    def perform(self, operation: Operation) -> None:
        self.operations.append(operation)
        super().perform(operation)

    def read(self, path: str) -> str:
        self.reads.append(path)
        return super().read(path)

    def names(self, path: str) -> list[str]:
        self.folders.append(path)
        return super().names(path)


def description() -> dict[str, Any]:
    subsystems = []
    for number in range(SUBSYSTEMS):
        nqn = f"nqn.2026-11.org.example:s{number}"
        namespaces = []
        for nsid in range(1, EACH + 1):
            path = os.path.abspath(f"files/{number}-{nsid}")
            uuid = f"00000000-0000-4000-{number:04x}-{nsid:012x}"
            namespaces.append({"nsid": nsid, "device_path": path, "uuid": uuid})
        subsystems.append({"nqn": nqn, "serial": f"S{number}", "allow_any_host": True, "namespaces": namespaces})
    port = {"portid": 1, "trtype": "tcp", "adrfam": "ipv4", "traddr": "127.0.0.1", "trsvcid": "4420"}
    return {"subsystems": subsystems, "ports": [{**port, "subsystems": [one["nqn"] for one in subsystems]}]}


def timed(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def raw_apply(operations: list[Operation]) -> None:
    for operation in operations:
        if operation.verb == "mkdir":
            os.mkdir(operation.path)
        elif operation.verb == "symlink":
            os.symlink(operation.value, operation.path)
        elif operation.verb == "write":
            with open(operation.path, "w") as stream:
                stream.write(operation.value)


def raw_read(files: list[str], folders: list[str]) -> None:
    for folder in folders:
        os.listdir(folder)
    for path in files:
        # A port's TSAS that its transport has no meaning for cannot be read.
        with open(path) as stream, contextlib.suppress(OSError):
            stream.read()


def raw_removal(operations: list[Operation]) -> None:
    for operation in reversed(operations):
        if operation.verb == "symlink":
            os.unlink(operation.path)
    for operation in reversed(operations):
        if operation.verb == "mkdir":
            os.rmdir(operation.path)


def process(*argv: str) -> float:
    return timed(lambda: subprocess.run(argv, check=True, stdout=subprocess.DEVNULL))


def main() -> None:
    os.makedirs("files", exist_ok=True)
    wanted = description()
    for subsystem in wanted["subsystems"]:
        for namespace in subsystem["namespaces"]:
            with open(namespace["device_path"], "wb") as stream:
                stream.truncate(1 << 20)
    plain = Machine(config_dir="etc", owned_dir="var", locks="locks")
    if sys.argv[1:] == ["nochange"]:
        converge(wanted, machine=plain)
        return
    if sys.argv[1:] == ["imported"]:
        converge(wanted, machine=plain)
        for operation in converge(json.load(sys.stdin), check=True, machine=plain).plan:
            print(operation.line())
        converge({}, prune="all", machine=plain)
        return
    seen = Recorder()
    converge({}, prune="all", machine=plain)
    converge(wanted, machine=Machine(kernel=seen, config_dir="etc", owned_dir="var", locks="locks"))
    # Once more, for the reads of a run that finds everything as it should be.
    seen.reads, seen.folders = [], []
    made = [operation for operation in seen.operations if "/ports/65535" not in operation.path]
    again = Machine(kernel=seen, config_dir="etc", owned_dir="var", locks="locks")
    assert not converge(wanted, machine=again).changed
    Root().save_to_file(SAVED)
    found = {}
    found["raw_removal"] = timed(lambda: raw_removal(made))
    found["raw_apply"] = timed(lambda: raw_apply(made))
    found["raw_read"] = timed(lambda: raw_read(seen.reads, seen.folders))
    found["nochange"] = timed(lambda: converge(wanted, machine=plain))
    found["removal"] = timed(lambda: converge({}, machine=plain))
    found["apply"] = timed(lambda: converge(wanted, machine=plain))
    found["nochange_process"] = process(sys.executable, __file__, "nochange")
    found["nvmetcli_unchanged"] = timed(lambda: Root().restore_from_file(SAVED, True, True))
    converge({}, prune="all", machine=plain)
    found["nvmetcli_fresh"] = timed(lambda: Root().restore_from_file(SAVED, True, True))
    found["nvmetcli_unchanged_process"] = process("nvmetcli", "restore", SAVED)
    converge({}, prune="all", machine=plain)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
