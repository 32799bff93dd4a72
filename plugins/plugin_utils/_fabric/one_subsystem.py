# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""What the targets that serve one NQN must agree on, and what they must not share: a host takes them for one subsystem.

Linux refuses, on the host alone, a controller whose ID it has already (nvme_validate_cntlid) and a namespace whose
identifiers are not those that its namespace ID has on another path (nvme_init_ns_head).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import NAMESPACE, SUBSYSTEM

#: nvmet's own limit of controller IDs, NVME_CNTLID_MAX; those above are reserved.
CNTLID_MAX = 0xFFEF
#: So many targets of a subsystem can be added before the controller IDs of those that are there move.
ROOM = 16


class Apart(ValueError):
    """Targets of one subsystem that a host could not use together."""


def cntlids(servers: Sequence[str], target: str) -> dict[str, int]:
    """The range of controller IDs of one of the targets that serve a subsystem; none where it is the only one.

    Appending a target moves nobody's range, up to 16.
    """
    if len(servers) < 2:
        return {}
    size, position = CNTLID_MAX // max(ROOM, len(servers)), servers.index(target)
    return {"cntlid_min": position * size + 1, "cntlid_max": (position + 1) * size}


def check_cntlids(ranges: Mapping[str, Mapping[str, Any]]) -> None:
    """ranges: target → its cntlid_min and cntlid_max. Raises Apart for two targets that share a controller ID."""
    found = sorted(
        (
            int(_as_read(SUBSYSTEM, "cntlid_min", one.get("cntlid_min", 1), target)),
            int(_as_read(SUBSYSTEM, "cntlid_max", one.get("cntlid_max", CNTLID_MAX), target)),
            target,
        )
        for target, one in ranges.items()
    )
    for (low, high, target), (other_low, other_high, other) in zip(found, found[1:]):
        if other_low <= high:
            raise Apart(
                f"{target} has the controller IDs {low} to {high} (cntlid_min, cntlid_max) and {other} those from "
                f"{other_low} to {other_high}, and a host rejects an ID that it has from another target already; leave "
                "both out, or write an entry for each target with a range that no other has"
            )


def check_identities(described: Mapping[str, Mapping[str, Any]]) -> None:
    """described: target → serial, and namespaces with nsid, uuid and nguid. Raises Apart where two targets differ."""
    seen: dict[tuple[str, ...], tuple[str, str]] = {}
    for target, one in described.items():
        _agree(seen, ("serial",), _as_read(SUBSYSTEM, "serial", one["serial"], target), target)
        for namespace in one["namespaces"]:
            nsid = str(namespace["nsid"])
            for name in ("uuid", "nguid"):
                value = _as_read(NAMESPACE, name, namespace[name], target)
                _agree(seen, (f"namespace {nsid}", name), value, target)
                _agree(seen, (f"{name} {value}", "nsid"), nsid, target)


def _agree(seen: dict[tuple[str, ...], tuple[str, str]], what: tuple[str, ...], value: str, target: str) -> None:
    before, other = seen.setdefault(what, (value, target))
    if before != value:
        raise Apart(
            f"{' '.join(what)} is {before!r} on {other} and {value!r} on {target}, and a host takes both for one "
            "subsystem; write the same for each target, or leave it out"
        )


def _as_read(kind: Any, name: str, value: Any, target: str) -> str:
    """A value in nvmet's own form, so that case and dashes make no difference."""
    try:
        found: str = kind.row(name).sanitise(value)
    except ValueError as error:
        raise Apart(f"{name} {value!r} of {target} {error}") from error
    return found
