# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machines of a small fabric answer: a value for every field that the module of a task documents."""

from __future__ import annotations

import base64
import importlib
from typing import Any, Iterator

import yaml
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.actual import nic_facts
from foreign.tasks import Task

NQN = "nqn.2026-11.org.example:vol0"
UUID = "0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11"
SERVICE = "203.0.113.1"
RELEASE, VERSION = "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"
NEXT = "7.3.4+deb13-cloud-amd64"
_TRANSPORT = {
    "kernel_release": RELEASE,
    "kernel_version": VERSION,
    "architecture": "x86_64",
    "present": False,
    "obstacles": [],
    "holders": {"nvmet": ["port 1"]},
    "next": {"release": NEXT, "version": "7.3.4-1~bpo13+1", "offers": False, "obstacles": []},
    "trial": {"release": NEXT, "verdict": "armed", "seen": ["panic"]},
}
_PLACE = {"transport": "mptcp", "traddr": SERVICE, "trsvcid": "4420", "subsysnqn": NQN}
_NIC = {"rx_bytes": 1, "tx_bytes": 1, "operstate": "up", "carrier": True}
#: What the documentation of a module's answer has no example of, or none that fits the others. facts: by machine.
EXAMPLES: dict[str, dict[str, Any]] = {
    "nvme_transport_info": _TRANSPORT,
    "nvme_info": {
        "transport": _TRANSPORT,
        "node_program": "0" * 64,
        "controllers": [{**_PLACE, "name": "nvme0", "state": "live", "queue_count": 2}],
        "subsystems": [
            {
                "subsysnqn": NQN,
                "namespaces": [{"name": "nvme0n1", "nsid": 1, "uuid": UUID, "size": 1 << 30, "users": ["mounted"]}],
            }
        ],
        "interfaces": {"eth0": _NIC, "eth1": _NIC},
        "counters": {"MPJoinRejected": 0},
    },
    "mptcp_info": {
        "connections": [
            {
                "remote": SERVICE,
                "remote_port": 4420,
                "subflows": [{"local": "198.51.100.2"}, {"local": "198.51.100.130"}],
            }
        ],
        "endpoints": [{"address": "198.51.100.2"}, {"address": "198.51.100.130"}],
        "interfaces": {"eth0": _NIC, "eth1": _NIC},
        "counters": {"MPJoinRejected": 0},
    },
    "ansible.builtin.slurp": {"content": base64.b64encode(b"CONFIG_NET=y\n").decode(), "encoding": "base64"},
}


def facts(number: int) -> dict[str, Any]:
    """Of a machine with a NIC in each of two rails."""
    links = [
        {
            "ifname": name,
            "flags": ["UP", "LOOPBACK"] if name == "lo" else ["UP"],
            "operstate": "UP",
            "mtu": 1500,
            "addr_info": [{"family": "inet", "local": address, "prefixlen": prefix}],
        }
        for name, address, prefix in (
            ("lo", "127.0.0.1", 8),
            ("eth0", f"198.51.100.{number}", 25),
            ("eth1", f"198.51.100.{number + 128}", 25),
        )
    ]
    return {
        **nic_facts(links),
        "hostnqn": f"nqn.2014-08.org.nvmexpress:uuid:{UUID[:-1]}{number}",
        "fio": "/usr/bin/fio",
    }


def answer(task: Task) -> dict[str, Any]:
    """What a task's module answers: all that it documents."""
    name = task.action.removeprefix("nvmeof.mptcp.")
    place = "ansible.modules" if name == task.action else "ansible_collections.nvmeof.mptcp.plugins.modules"
    module = importlib.import_module(f"{place}.{name.rpartition('.')[2]}")
    documented = _example({"type": "dict", "contains": yaml.safe_load(module.RETURN)})
    found = {"changed": False, "failed": False, **merged(documented, EXAMPLES.get(name, {}))}
    return {**found, "results": [{**found, "item": "target1"}]} if "loop" in task.keywords else found


def _example(field: dict[str, Any]) -> Any:
    if "contains" in field:
        inside = {name: _example(inner) for name, inner in field["contains"].items()}
        return [inside] if field.get("type") == "list" else inside
    if "sample" in field:
        return field["sample"]
    element = {"str": "text", "dict": {}}.get(field.get("elements", "str"), 1)
    return {"int": 1, "bool": True, "list": [element], "dict": {}}.get(field.get("type", "str"), "text")


def merged(one: Any, other: Any) -> Any:
    """One with what the other has in place of its own; all entries of a list have the fields of the first."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{name: merged(one.get(name), value) for name, value in other.items()}}
    if isinstance(other, list) and isinstance(one, list) and one:
        return [merged(one[0], value) for value in other]
    return other


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts in an answer."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from strings(inner, (*path, number))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def replaced(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """An answer with another text at that place."""
    if not path:
        return text
    if isinstance(value, dict):
        return {**value, path[0]: replaced(value[path[0]], path[1:], text)}
    return [replaced(one, path[1:], text) if number == path[0] else one for number, one in enumerate(value)]
