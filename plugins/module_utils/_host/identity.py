# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Who this host is: its NQN and host identifier, and the two files that keep them.

Targets' access lists and reservations hang on both, so an identity that controllers use is never changed.
"""

from __future__ import annotations

import os
import re
import uuid
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import replace_file
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller, Nvme

HOSTNQN = "/etc/nvme/hostnqn"
HOSTID = "/etc/nvme/hostid"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


class IdentityRefused(ValueError):
    """An identity that is missing, malformed or in use under another name."""


class IdentityInUse(IdentityRefused):
    """Controllers use the one that would be replaced: it can be replaced once they are disconnected."""


@dataclass(frozen=True)
class Identity:
    hostnqn: str
    hostid: str


def find(root: str = "/") -> Identity:
    """What the two files say; an empty text for one that does not exist."""
    return Identity(_line(root, HOSTNQN), _line(root, HOSTID).lower())


def resolve(hostnqn: str, hostid: str, found: Identity, nvme: Nvme) -> Identity:
    """The identity to use: what is given, else what the files say, else an identifier that follows from the NQN.

    Raises IdentityRefused when there is none, IdentityInUse when live controllers use the one that would be replaced.
    """
    nqn = hostnqn or found.hostnqn
    if not nqn:
        raise IdentityRefused(f"this machine has no {HOSTNQN} and hostnqn is not set; set it")
    if hostid and not _UUID.match(hostid):
        raise IdentityRefused(f"hostid is {hostid!r}; it must be a UUID")
    live = [one for one in nvme.controllers if not one.leaving and one.hostnqn == found.hostnqn]
    if found.hostnqn and nqn != found.hostnqn and live:
        raise IdentityInUse(
            f"hostnqn is {nqn}, but {HOSTNQN} says {found.hostnqn} and {_names(live)} of that name is live: "
            "write that name, or disconnect it first"
        )
    kept = found.hostid if nqn == found.hostnqn else ""
    if kept and not hostid and not _UUID.match(kept):
        raise IdentityRefused(
            f"{HOSTID} says {kept!r}, which is no UUID: set hostid, or remove the file, and one is derived from the NQN"
        )
    identifier = (hostid or kept or derived(nqn)).lower()
    others = [one for one in nvme.controllers if not one.leaving and one.hostnqn == nqn and one.hostid != identifier]
    if others:
        raise IdentityInUse(
            f"the host identifier of {nqn} would be {identifier}, but {_names(others)} of that name uses "
            f"{others[0].hostid}, and the kernel allows one for a name: set hostid to it, or disconnect it first"
        )
    return Identity(nqn, identifier)


def plan(want: Identity, found: Identity) -> list[Operation]:
    """Write the files that do not say so."""
    out = []
    for path, value, before in ((HOSTNQN, want.hostnqn, found.hostnqn), (HOSTID, want.hostid, found.hostid)):
        if value != before:
            out.append(Operation("write", path, value + "\n", about="host identity"))
    return out


def write(operation: Operation, root: str = "/") -> None:
    """Rename one of the two files into place, as nvme-cli expects it: one line, readable by everyone."""
    path = os.path.join(root, operation.path.lstrip("/"))
    replace_file(path, operation.value, 0o644)


def _line(root: str, path: str) -> str:
    try:
        with open(os.path.join(root, path.lstrip("/")), encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip()
    except FileNotFoundError:
        return ""


def derived(nqn: str) -> str:
    """The identifier that follows from an NQN."""
    # An NQN of the UUID form carries the identifier; of any other a name-based UUID (RFC 9562) is as stable as the NQN.
    carried = nqn.rpartition(":uuid:")[2]
    return carried if _UUID.match(carried) else str(uuid.uuid5(uuid.NAMESPACE_URL, nqn))


def _names(controllers: Sequence[Controller]) -> str:
    return ", ".join(one.name for one in controllers)
