# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The fio job file of the proof: every namespace is read, and those marked C(scratch) are written before.

A device is known by subsystem NQN, namespace identifier and UUID as the kernel reports them, never by its name in /dev.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import shown
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.answers import SUBSYSTEMS, look_through
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import namespace_identifiers

# Direct, or the page cache of the host is measured; 128 KiB is the kernel's usual largest request over TCP.
_GLOBAL = """\
[global]
ioengine=libaio
direct=1
bs=128k
iodepth=32
randrepeat=1
"""
# verify reads back what it wrote and compares; the first difference ends the run.
_WRITE = "rw=write\nverify=crc32c\ndo_verify=1\nverify_fatal=1\n"
# fio opens a device that it only reads O_RDONLY.
_READ = "rw=read\n"


class Unsafe(ValueError):
    """A namespace that is missing, or that must not be written; the text says which, why and what to do."""


def fio_jobs(
    subsystems: Sequence[Mapping[str, Any]],
    connections: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any],
    mib: int = 64,
) -> str:
    """The job file for the namespaces that a host is connected to; an empty text when it has none.

    subsystems: as fabric_subsystems describes them. connections: the planned ones of this host.
    info: what nvme_info returned there. mib: MiB that cross the rails for each namespace: half of them written and the
    same half read again where that is allowed, all of them read elsewhere.
    Raises Unsafe, and Refused for what is no answer.
    """
    look_through(info.get("subsystems"), SUBSYSTEMS, "subsystems in nvme_info")
    wanted = {connection["subsysnqn"] for connection in connections}
    found = {one["subsysnqn"]: one for one in info["subsystems"]}
    jobs: list[str] = []
    problems: list[str] = []
    for subsystem in subsystems:
        if subsystem["nqn"] not in wanted:
            continue
        for namespace in subsystem.get("namespaces") or []:
            if namespace.get("enable") is False:
                continue
            try:
                device = _device(subsystem["nqn"], namespace, found.get(subsystem["nqn"]))
            except Unsafe as error:
                problems.append(str(error))
                continue
            size = min((mib << 20) // (2 if namespace.get("scratch") else 1), device["size"])
            name = f"{subsystem['nqn']}-{namespace['nsid']}".replace(":", "-")
            common = f"filename=/dev/{device['name']}\nsize={size}\n"
            # One after the other: a job of its own for each namespace.
            how = _WRITE if namespace.get("scratch") else _READ
            jobs.append(f"[{name}]\nstonewall\n{how}{common}")
    if problems:
        raise Unsafe("; ".join(problems))
    return "\n".join([_GLOBAL, *jobs]) if jobs else ""


def _device(nqn: str, namespace: Mapping[str, Any], found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the kernel has for a described namespace. Raises Unsafe."""
    nsid = int(namespace["nsid"])
    here = [one for one in (found or {"namespaces": []})["namespaces"] if one["nsid"] == nsid]
    if not here:
        raise Unsafe(f"{nqn} namespace {nsid} is not on this host: its controller is missing or lost")
    device: Mapping[str, Any] = here[0]
    if not namespace.get("scratch"):
        return device
    expected = str(uuid.UUID(str(namespace.get("uuid") or namespace_identifiers(nqn, nsid)["uuid"])))
    if str(device["uuid"]).lower() != expected:
        raise Unsafe(
            f"{nqn} namespace {nsid} is marked scratch, but /dev/{device['name']} has the UUID "
            f"{shown(device['uuid']) if device['uuid'] else 'none'} and not {expected}: it is another namespace and is "
            "not written"
        )
    if device["users"]:
        raise Unsafe(
            f"{nqn} namespace {nsid} is marked scratch, but /dev/{device['name']} is "
            f"{', '.join(map(shown, device['users']))}: remove scratch from it, or stop using it"
        )
    return device
