# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a machine whose nvmet nobody uses: run the table of refusals from standard input against the real kernel."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, perform
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import ROOT

UNDO = {"mkdir": "rmdir", "symlink": "unlink"}


def operation(verb: str, path: str, value: str, device: str) -> Operation:
    value = f"{ROOT}/{value}" if verb == "symlink" else value.replace("{device}", device)
    return Operation(verb, f"{ROOT}/{path}", value)


def outcome(before: list, refused: list, device: str) -> str:
    done = []
    try:
        for step in before:
            done.append(operation(*(*step, "")[:3], device))
            perform(done[-1])
        perform(operation(*(*refused, "")[:3], device))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    finally:
        for step in reversed(done):
            if step.verb in UNDO and os.path.lexists(step.path):
                perform(Operation(UNDO[step.verb], step.path))
    return "accepted"


def main() -> int:
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        file.truncate(16 << 20)
        wrong = [
            f"{name}: {found} instead of {code}"
            for name, before, refused, code in json.load(sys.stdin)
            for found in [outcome(before, refused, file.name)]
            if found != code
        ]
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
