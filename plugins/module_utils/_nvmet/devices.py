# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The devices of a tree: which namespaces cannot be served now, and why."""

from __future__ import annotations

from typing import Collection, Hashable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.devices import Devices
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, label


def unfit(desired: Tree, actual: Tree, known: Collection[str], devices: Devices) -> dict[str, str]:
    """Path of each object whose device must not or cannot be opened → a sentence that says why.

    A namespace that nvmet serves from that very device already is left alone, but for a name that can move: at the next
    boot it could be another's. known: paths that we served before.
    """
    devices.look()
    found: dict[str, str] = {}
    seen: dict[Hashable, str] = {}
    for path, wanted in desired.objects.items():
        device = wanted.attributes.get("device_path")
        if device is None or wanted.attributes.get("enable") != "1":
            continue
        served = _serves(actual.objects.get(path), device, devices)
        why = devices.moves(device) if served else _problem(wanted, device, known, devices)
        for one in () if why else opened(wanted.kind, device, devices):
            other = seen.setdefault(one, path)
            if other != path:
                why = f"is also {_whose(wanted.kind, other)}; name another, both would corrupt it"
        if why:
            found[path] = f"{label(path)}: device_path {device!r} {why}"
    return found


def _problem(wanted: Object, device: str, known: Collection[str], devices: Devices) -> str | None:
    if wanted.kind == "passthru":
        return devices.controller_problem(device, device in known)
    return devices.problem(device, device in known)


def opened(kind: str, device: str, devices: Devices) -> set[Hashable]:
    """What a host reaches through the device: the device, or a controller and all that lies behind it."""
    return {_identity(device, devices), *(devices.controller_devices(device) if kind == "passthru" else ())}


def aliases(desired: Tree, actual: Tree, devices: Devices) -> dict[str, str]:
    """Each device_path → one that all names of the same device have in common."""
    objects = [*desired.objects.values(), *actual.objects.values()]
    names = dict.fromkeys(found.attributes["device_path"] for found in objects if "device_path" in found.attributes)
    first: dict[Hashable, str] = {}
    return {name: first.setdefault(_identity(name, devices), name) for name in names}


def _identity(device: str, devices: Devices) -> Hashable:
    try:
        return devices.identity(device)
    except OSError:
        return device


def _whose(kind: str, other: str) -> str:
    both = {kind, "passthru" if other.endswith("/passthru") else "namespace"}
    return f"the device of {label(other)}" if both == {"namespace"} else f"reached through {label(other)}"


def _serves(have: Object | None, device: str, devices: Devices) -> bool:
    """Whether nvmet has the device open, by whatever name."""
    if have is None or have.attributes.get("enable") != "1":
        return False
    opened = have.attributes.get("device_path", "")
    if opened == device:
        return True
    both = devices.exists(opened) and devices.exists(device)
    return both and devices.identity(opened) == devices.identity(device)


def as_served(desired: Tree, actual: Tree, devices: Devices) -> Tree:
    """The tree with the name by which nvmet serves a device already: another name for it is no reason to close it."""
    objects = dict(desired.objects)
    for path, wanted in desired.objects.items():
        have, device = actual.objects.get(path), wanted.attributes.get("device_path")
        if have is not None and device is not None and _serves(have, device, devices):
            objects[path] = Object(wanted.kind, {**wanted.attributes, "device_path": have.attributes["device_path"]})
    return Tree(objects, desired.links)


def without(desired: Tree, actual: Tree, paths: Collection[str]) -> Tree:
    """The tree with these objects described but not enabled, and these hosts not let in; what is already stays so."""
    objects = dict(desired.objects)
    for path in paths:
        wanted, have = objects[path], actual.objects.get(path)
        if wanted.kind != "host" and (have is None or have.attributes.get("enable") != "1"):
            objects[path] = Object(wanted.kind, {**wanted.attributes, "enable": "0"})
    links = {link: to for link, to in desired.links.items() if to not in paths or link in actual.links}
    return Tree(objects, links)
