# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""What machines answered, looked through before it is judged: each field that is used has the form it must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked, shown

#: A kind of grammar.py, a type, a list of one shape, or fields by name; the field "*" stands for all of a dictionary.
#: Fields that nothing uses are not in it. What is compared and printed alone has to be a line, not more.
PLACES = [dict.fromkeys(("transport", "traddr", "trsvcid", "subsysnqn"), "line")]
SUBSYSTEMS = [
    {
        "subsysnqn": str,
        "namespaces": [{"name": "device", "nsid": int, "uuid": str, "size": int, "users": [str]}],
    }
]
_INTERFACES = {"*": {"operstate": "line", "carrier": bool, "rx_bytes": int, "tx_bytes": int}}
_COUNTERS = {"*": int}
_NVME = {
    "transport": {"present": bool, "kernel_release": "kernel release"},
    "node_program": "line",
    "controllers": [{**PLACES[0], "name": "line", "state": "line", "queue_count": int}],
    "interfaces": _INTERFACES,
    "counters": _COUNTERS,
}
_MPTCP = {
    "connections": [
        {
            "remote": "line",
            "remote_port": int,
            "fallback": bool,
            "subflows": [{"local": "line", "established": bool}],
        }
    ],
    "endpoints": [{"address": "line"}],
    "interfaces": _INTERFACES,
    "counters": _COUNTERS,
}
#: By the variable that holds it.
ANSWERS = {"proof_nvme": _NVME, "proof_after": _MPTCP}


def answer(hostvars: Mapping[str, Any], machine: str, variable: str) -> Mapping[str, Any]:
    """What a machine answered, from a variable of ANSWERS. Raises Refused, naming the machine and the field."""
    if variable not in hostvars[machine]:
        raise Refused(f"{variable} of {machine} is missing: verify.yml reads it first, in a play that --limit left out")
    found: Mapping[str, Any] = hostvars[machine][variable]
    look_through(found, ANSWERS[variable], f"{variable} of {machine}")
    return found


def look_through(value: Any, shape: Any, field: str) -> None:
    """Raises Refused for a value that is not of a shape. field: what holds it."""
    if isinstance(shape, str):
        checked(shape, value, field)
        return
    kind: Any = shape if isinstance(shape, type) else list if isinstance(shape, list) else Mapping
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise Refused(f"{field} is {shown(value)}, which is no {kind.__name__.lower()}; nothing was done with it")
    if kind is list:
        for number, one in enumerate(value):
            look_through(one, shape[0], f"{field}, entry {number}")
    elif kind is Mapping:
        for name, inner in shape.items():
            for key in value if name == "*" else [name]:
                look_through(value.get(key), inner, f"{key if name != '*' else shown(key)} in {field}")
