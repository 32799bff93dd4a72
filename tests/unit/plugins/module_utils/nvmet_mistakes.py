# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes: each makes an invalid description of a valid one, and says which words the error has to hold.

A mistake takes a description, which it may change, and a random.Random. It returns words for the object and for the
value, or None where it does not apply.
"""

from __future__ import annotations

import copy
from random import Random
from typing import Any, Callable, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Kind
from nvmet_bad_values import DEEP, NONSENSE, NQNS, VOL, bad_values

OTHER = "nqn.2026-11.org.example:vol1"
Description = dict[str, Any]
Mistake = Callable[[Description, Random], "list[str] | None"]


def objects(found: Description, kind: Kind = KINDS["nvmet"]) -> Iterator[tuple[Description, Kind]]:
    """Every dictionary in a description, with the kind of object it describes."""
    yield found, kind
    for group, inner in kind.groups.items():
        for item in found.get(group) or []:
            yield from objects(item, KINDS[inner])
    for name in kind.fixed:
        if found.get(name) is not None:
            yield from objects(found[name], KINDS[name])


def one(found: Description, random: Random, *kinds: str, **has: Any) -> Description | None:
    """One of the objects of these kinds that have these values."""
    fit = [item for item, kind in objects(found) if kind.name in kinds and has.items() <= item.items()]
    return random.choice(fit) if fit else None


def shown(value: Any) -> str:
    """What a message shows of a value that is short enough to be shown."""
    return repr(value) if isinstance(value, (str, float)) and len(str(value)) < 60 else ""


def a_value(found: Description, random: Random) -> list[str] | None:
    item, kind = random.choice(list(objects(found)))
    names = [name for name in item if name == kind.key or kind.row(name)]
    if not names:
        return None
    name = random.choice(names)
    row = kind.row(name)
    item[name] = random.choice(bad_values(name, kind))
    return [name, "********" if row and row.secret else shown(item[name])]


def a_missing_key(found: Description, random: Random) -> list[str] | None:
    item, kind = random.choice(list(objects(found)))
    if not kind.key:
        return None
    if random.random() < 0.5:
        item[kind.key] = None
    else:
        del item[kind.key]
    return [f"{kind.key} is missing", kind.name]


def an_unknown_option(found: Description, random: Random) -> list[str]:
    item, kind = random.choice(list(objects(found)))
    name = random.choice(
        ["no_such_option", "Nqn", "attr_serial", "state", "", "a b", "\n", "\0", "x" * 5000, 1, None, ("x",)]
    )
    item[name] = random.choice([None, 1, *NONSENSE])
    return [str(name) if str(name).isidentifier() and len(str(name)) < 60 else "", f"{kind.name} has "]


def a_wrong_container(found: Description, random: Random) -> list[str] | None:
    item, kind = random.choice(list(objects(found)))
    names = [*kind.groups, *kind.links, *kind.fixed]
    if not names:
        return None
    name = random.choice(names)
    wrong = [5, 0, True, False, "", "x", 1.5, {1, 2}, b"x", object(), 10**5000]
    if name in kind.fixed:
        item[name] = random.choice([*wrong, [], ["x"], [[]], DEEP])
        return [name, "must be a dictionary"]
    item[name] = random.choice([*wrong, {}, {"a": 1}, {"nqn": VOL}, {"a": [], "b": []}])
    return [name, "must be a list"]


def a_wrong_member(found: Description, random: Random) -> list[str] | None:
    item, kind = random.choice(list(objects(found)))
    names = [*kind.groups, *kind.links]
    if not names:
        return None
    name = random.choice(names)
    wrong = [bad for bad in (None, *NONSENSE, 5, True, "x") if not isinstance(bad, dict)]
    wrong += NQNS if name in kind.links else []
    items = item.setdefault(name, [])
    items.insert(random.randint(0, len(items)), random.choice(wrong))
    return [f"{name}[", "must be"]


def a_second(found: Description, random: Random) -> list[str] | None:
    """The same key twice, also in another spelling."""
    item, kind = random.choice(list(objects(found)))
    groups = [name for name in [*kind.groups, *kind.links] if item.get(name)]
    if not groups:
        return None
    name = random.choice(groups)
    again = copy.deepcopy(random.choice(item[name]))
    inner = KINDS[kind.groups[name]] if name in kind.groups else None
    value = again[inner.key] if inner else again
    spelled = random.choice([value, f" {value} ", str(value), hex(value) if isinstance(value, int) else value])
    if inner:
        again[inner.key] = spelled
    item[name].append(again if inner else spelled)
    return [f"{name}[{len(item[name]) - 1}]", "is written twice"]


def an_undescribed_subsystem(found: Description, random: Random) -> list[str] | None:
    port = one(found, random, "port")
    if port is None:
        return None
    port.setdefault("subsystems", []).append("nqn.2026-11.org.example:nowhere")
    return [f"port {port['portid']}", "nqn.2026-11.org.example:nowhere"]


def a_shared_identity(found: Description, random: Random) -> list[str] | None:
    spaces = [item for item, kind in objects(found) if kind.name == "namespace"]
    if len(spaces) < 2:
        return None
    name, value = random.choice(["uuid", "nguid"]), "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"
    for space, spelled in zip(random.sample(spaces, 2), [value, value.upper().replace("-", "")], strict=True):
        space[name] = spelled
    return ["namespace", value]


def a_shared_device(found: Description, random: Random) -> list[str] | None:
    spaces = [item for item, kind in objects(found) if kind.name == "namespace"]
    if len(spaces) < 2:
        return None
    for space in random.sample(spaces, 2):
        space.update(device_path="/dev/disk/by-id/shared", enable=True)
    return ["namespace", "/dev/disk/by-id/shared"]


def a_missing_device(found: Description, random: Random) -> list[str] | None:
    space = one(found, random, "namespace", "passthru")
    if space is None:
        return None
    space.update(device_path=random.choice([None, "/dev/disk/by-id/absent"]), enable=True)
    return ["namespace" if "nsid" in space else "passthru", "device_path"]


def a_shared_address(found: Description, random: Random) -> list[str] | None:
    port = one(found, random, "port", trtype="tcp") or one(found, random, "port", trtype="mptcp")
    if port is None:
        return None
    number = next(number for number in range(9) if number not in [item["portid"] for item in found["ports"]])
    found["ports"].append({**port, "portid": number, "trtype": random.choice(["tcp", "mptcp"]), "tsas": None})
    return [f"port {number}", port["traddr"]]


def a_missing_part(found: Description, random: Random) -> list[str] | None:
    place = one(found, random, "port", "referral", trtype="tcp") or one(found, random, "port", trtype="mptcp")
    if place is None:
        return None
    name = random.choice(["trtype", "adrfam", "traddr", "trsvcid"])
    place[name] = None
    return ["port", f"{name} is missing"]


def a_wrong_address(found: Description, random: Random) -> list[str] | None:
    place = one(found, random, "port", "referral", trtype="tcp") or one(found, random, "port", trtype="mptcp")
    if place is None:
        return None
    name = random.choice(["adrfam", "trsvcid", "traddr"])
    value = random.choice({
        "adrfam": ["fc", "ib"],
        "trsvcid": ["0", "65536", "nvme", -1],
        "traddr": ["target1", "256.0.0.1", "1.2.3", "10.0.0.1/24", "fe80::zz", "1::2::3", "[::1]", "1.2.3.4%e"],
    }[name])  # fmt: skip
    place[name] = value
    return ["port", str(value)]


def a_contradiction(found: Description, random: Random) -> list[str] | None:
    subsystem = one(found, random, "subsystem")
    if subsystem is None:
        return None
    which = random.randrange(4)
    if which == 0:
        subsystem.update(cntlid_min=200, cntlid_max=199)
        words = ["cntlid_min 200"]
    elif which == 1:
        subsystem.update(allow_any_host=True, allowed_hosts=[OTHER])
        words = ["allow_any_host"]
    elif which == 2:
        subsystem.update(passthru={"device_path": "/dev/nvme9"}, namespaces=[{"nsid": 1, "device_path": "/dev/disk/x"}])
        words = ["namespaces and passthru"]
    else:
        found["discovery_nqn"] = subsystem["nqn"][: -random.randint(0, 3) or None]
        words = ["discovery_nqn"]
    return [subsystem["nqn"], *words]


def an_unsafe_channel(found: Description, random: Random) -> list[str] | None:
    port = one(found, random, "port", trtype="tcp")
    if port is None:
        return None
    port.update(tsas="tls1.3", treq="not specified")
    return [f"port {port['portid']}", "not specified"]


MISTAKES: tuple[Mistake, ...] = (
    a_value, a_value, a_value, a_value, a_missing_key, an_unknown_option, a_wrong_container, a_wrong_member, a_second,
    an_undescribed_subsystem, a_shared_identity, a_shared_device, a_missing_device, a_shared_address, a_missing_part,
    a_wrong_address, a_contradiction, an_unsafe_channel,
)  # fmt: skip
