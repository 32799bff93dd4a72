# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Whether the running kernel can take a plan, found out before its first change.

The kernel tells its maxima only by refusing: it is asked in an empty network namespace, which changes nothing.
Source: net/mptcp/pm_kernel.c.
"""

from __future__ import annotations

import ipaddress
import subprocess
from typing import Any, Iterable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual

#: The limit of subflows and the number of endpoints that every kernel with MPTCP allows.
_EVERYWHERE = 8
#: MPTCP_PM_MAX_ADDR_ID: identifiers of endpoints are one byte, 0 is the first subflow.
_MAX_ID = 255


class TooManyRails(Exception):
    """The running kernel allows fewer subflows per connection than the description needs."""


class TooManyEndpoints(Exception):
    """The running kernel's table of endpoints is smaller than what the description and others need at once."""


def free_id(wanted: int, taken: set[int], address: str) -> int:
    """The id for an endpoint: the wanted one, or the lowest that is free. Raises ValueError when none is."""
    if wanted not in taken:
        return wanted
    free = next((number for number in range(1, _MAX_ID + 1) if number not in taken), None)
    if free is None:
        raise ValueError(
            f"endpoints: {address} needs an id, and all {_MAX_ID} are taken by other endpoints. Nothing was changed: "
            "delete those that are not needed (`ip mptcp endpoint show`, `ip mptcp endpoint delete id ID`)"
        )
    return free


def has_sysctls(operations: Iterable[Operation]) -> None:
    """Raises ValueError for sysctls that the kernel does not have."""
    writes = [operation.path for operation in operations if operation.verb == "write"]
    absent = [path for path in writes if actual.read_sysctl(path) is None]
    if absent:
        raise ValueError(
            f"sysctls: the running kernel has no {', '.join(absent)}; nothing was changed. A kernel that can carry "
            "NVMe over MPTCP (Linux 7.0) has it: boot one, or take it out of sysctls and interface_sysctls"
        )


def takes_limit(description: dict[str, Any], operations: Iterable[Operation]) -> None:
    """Raises TooManyRails."""
    wanted = description["limits"]["subflows"]
    if wanted <= _EVERYWHERE or not any(operation.about == "limits" for operation in operations):
        return
    refusal = _refusal([f"mptcp limits set subflows {wanted}"])
    if refusal:
        rails = len(description["rails"])
        raise TooManyRails(
            f"{rails} rails need a limit of {wanted} subflows per connection, two per rail, and the running kernel "
            f"refuses it ({refusal}): use fewer rails or a newer kernel (Linux 7.2 allows 64)"
        )


def takes_endpoints(operations: Iterable[Operation], present: int, foreign: list[str]) -> None:
    """Raises TooManyEndpoints. present: endpoints that are there. foreign: those of others among them."""
    most = _most(operations, present)
    if most <= max(_EVERYWHERE, present):
        return
    first = ipaddress.ip_address("127.0.0.1")
    refusal = _refusal([f"mptcp endpoint add {first + number} subflow" for number in range(most)])
    if refusal:
        others = f"; {len(foreign)} of them are not ours: {', '.join(foreign)}" if foreign else ""
        raise TooManyEndpoints(
            f"{most} MPTCP endpoints are needed at once, and the running kernel refuses so many ({refusal}){others}. "
            "Nothing was changed: delete those that are not needed (`ip mptcp endpoint delete id ID`), use "
            "fewer rails, or a newer kernel (Linux 7.2 allows 255)"
        )


def _most(operations: Iterable[Operation], present: int) -> int:
    """How many endpoints there are at most while the operations are performed; as many as now if none is added."""
    now = most = present
    for operation in operations:
        if operation.argv[:3] == ("ip", "mptcp", "endpoint"):
            now += {"add": 1, "delete": -1}.get(operation.argv[3], 0)
            most = max(most, now)
    return most


def _refusal(commands: list[str]) -> str:
    """What ip says to commands in an empty network namespace, or nothing when it performed them all."""
    argv, text = ["unshare", "--net", "ip", "-batch", "-"], "\n".join(commands) + "\n"
    result = subprocess.run(argv, check=False, input=text, capture_output=True, text=True)
    # What follows is the number of the line.
    return (result.stderr.strip().splitlines() or ["no reason"])[0] if result.returncode else ""
