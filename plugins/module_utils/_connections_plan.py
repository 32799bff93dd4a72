# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What separates the declared connections from the kernel's controllers, as a list of operations. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import (
    DEVICE,
    DISCOVERY_NQN,
    MODULES,
    OPTIONS,
    errors,
    name_of,
    normalise,
    nqn_errors,
    render,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Controller, Nvme
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation

IOPOLICIES = ("numa", "round-robin", "queue-depth")
PRUNE = ("owned", "all", "none")
_WRITABLE = tuple(option for option in OPTIONS if option.writable)
_WHO = ("transport", "traddr", "trsvcid", "subsysnqn", "host_traddr", "host_iface")
#: Options that only a new connection can change.
_FIXED = tuple(option for option in OPTIONS if not option.writable and option.name not in _WHO)


class Invalid(ValueError):
    """The description cannot be; each error names the object, the value and the remedy."""

    def __init__(self, found: Sequence[str]) -> None:
        self.errors = list(found)
        super().__init__("; ".join(found))


@dataclass(frozen=True)
class Desired:
    """The host slice: connections by name, who this host is, and the policies."""

    connections: Mapping[str, Mapping[str, Any]]
    hostnqn: str
    hostid: str
    iopolicy: str = ""
    prune: str = "owned"
    allow_disruption: tuple[str, ...] = ()


@dataclass
class Plan:
    """operations in order; refusals are what must not be done, each with its reason; disconnects are names."""

    operations: list[Operation] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)


def desired(connections: Sequence[Mapping[str, Any]], hostnqn: str, hostid: str, **policies: Any) -> Desired:
    """The checked description. Raises Invalid with everything that is wrong."""
    found = nqn_errors("hostnqn", hostnqn) if hostnqn else []
    by_name: dict[str, Mapping[str, Any]] = {}
    for index, connection in enumerate(connections):
        wrong = errors(connection)
        found += [f"connections[{index}] ({connection.get('subsysnqn')}): {one}" for one in wrong]
        if wrong:
            continue
        name = name_of(normalise(connection))
        if name in by_name:
            found.append(f"connections[{index}] is the connection {name!r} a second time; remove one of the two")
        by_name[name] = normalise(connection)
    if found:
        raise Invalid(found)
    return Desired(by_name, hostnqn, hostid, **policies)


def index(nvme: Nvme, hostnqn: str) -> dict[str, Controller]:
    """This host's controllers by the name of the connection that makes them."""
    return {
        name_of({key: getattr(one, key) for key in _WHO}): one
        for one in nvme.controllers
        if not one.leaving and one.hostnqn == hostnqn
    }


def plan(
    want: Desired,
    nvme: Nvme,
    owned: Sequence[str],
    previous: Mapping[str, Mapping[str, Any]],
    users: Callable[[str], list[str]],
    loaded: Callable[[str], bool] = lambda module: True,
) -> Plan:
    """The operations from the kernel's controllers to the declared ones: changes, connects, policies, disconnects.

    owned: names of connections that earlier descriptions made. previous: the connections last applied, by name; what
    sysfs does not show of a controller is compared with them. users: who uses a namespace, by its device name.
    loaded: whether a kernel module is there.
    """
    out = Plan()
    found = index(nvme, want.hostnqn)
    renewed = []
    for name, connection in want.connections.items():
        controller = found.get(name)
        if controller is None:
            out.operations += _connect(name, connection, want, loaded, out.operations)
            continue
        if _fixed_differences(connection, controller, previous.get(name)):
            renewed.append(name)
        else:
            out.operations += _in_place(name, connection, controller)
    removed = [
        name for name in found if name not in want.connections and _prunable(name, found[name], want.prune, owned)
    ]
    out.operations += _iopolicy(want, nvme, found)
    _disconnect(out, removed, renewed, want, nvme, found, users)
    for name in renewed:
        if name in out.disconnects:
            out.operations += _connect(name, want.connections[name], want, loaded, out.operations)
    return out


def _connect(
    name: str,
    connection: Mapping[str, Any],
    want: Desired,
    loaded: Callable[[str], bool],
    before: Sequence[Operation],
) -> list[Operation]:
    module = MODULES[connection["transport"]]
    load = Operation("run", argv=("modprobe", module.replace("_", "-")), about=f"transport {connection['transport']}")
    return ([] if loaded(module) or load in before else [load]) + [
        Operation(
            "write",
            DEVICE,
            render(connection, want.hostnqn, want.hostid),
            about=name,
            shown=render(connection, want.hostnqn, want.hostid, hide=True),
        )
    ]


def _kernel_value(name: str, options: Mapping[str, int]) -> int:
    """A timeout as the kernel keeps it: the loss timeout is a whole number of reconnect delays."""
    value, delay = options[name], options.get("reconnect_delay", 0)
    return -(-value // delay) * delay if name == "ctrl_loss_tmo" and value > 0 and delay > 0 else value


def _in_place(name: str, connection: Mapping[str, Any], controller: Controller) -> list[Operation]:
    out = []
    after = {**controller.options, **{key: connection[key] for key in controller.options if key in connection}}
    delay_changes = after.get("reconnect_delay") != controller.options.get("reconnect_delay")
    for option in _WRITABLE:
        if option.name not in controller.options or (option.name not in connection and option.name != "ctrl_loss_tmo"):
            continue
        value = after[option.name]
        # With another delay the same number of tries is another timeout.
        scaled = option.name == "ctrl_loss_tmo" and delay_changes and value >= 0
        if scaled or _kernel_value(option.name, after) != controller.options[option.name]:
            out.append(Operation("write", f"{controller.path}/{option.attribute}", str(value), about=name))
    return out


def _fixed_differences(
    connection: Mapping[str, Any], controller: Controller, previous: Mapping[str, Any] | None
) -> list[str]:
    differing = []
    for option in _FIXED:
        if option.name in controller.options:
            differs = option.name in connection and connection[option.name] != controller.options[option.name]
        else:
            differs = previous is not None and connection.get(option.name) != previous.get(option.name)
        if differs:
            differing.append(option.name)
    return differing


def _prunable(name: str, controller: Controller, prune: str, owned: Sequence[str]) -> bool:
    if prune == "owned":
        return name in owned
    return prune == "all" and controller.cntrltype != "discovery" and controller.subsysnqn != DISCOVERY_NQN


def _iopolicy(want: Desired, nvme: Nvme, found: Mapping[str, Controller]) -> list[Operation]:
    if not want.iopolicy:
        return []
    nqns = {connection["subsysnqn"] for name, connection in want.connections.items() if name in found}
    return [
        Operation("write", f"{one.path}/iopolicy", want.iopolicy, about=one.subsysnqn)
        for one in nvme.subsystems
        if one.subsysnqn in nqns and one.iopolicy and one.iopolicy != want.iopolicy
    ]


def _disconnect(
    out: Plan,
    removed: Sequence[str],
    renewed: Sequence[str],
    want: Desired,
    nvme: Nvme,
    found: Mapping[str, Controller],
    users: Callable[[str], list[str]],
) -> None:
    """Add the disconnects that leave every used namespace a path; refuse the others."""
    going = {found[name].name for name in (*removed, *renewed)}
    for name in (*removed, *renewed):
        controller = found[name]
        others = [one for one in nvme.controllers if one.name not in going]
        blocked = []
        for path in controller.paths:
            if controller.subsysnqn in want.allow_disruption or any(one.reaches(path.namespace) for one in others):
                continue
            used = users(path.namespace)
            if used:
                blocked.append(f"/dev/{path.namespace} is {', '.join(used)}")
        if blocked:
            why = "its options change, which takes a new connection" if name in renewed else "it is no longer declared"
            out.refusals.append(
                f"{name} ({controller.name}) would be disconnected, for {why}, but it is the last live path: "
                f"{'; '.join(blocked)}. Stop using it, or list {controller.subsysnqn} in allow_disruption"
            )
            continue
        out.disconnects.append(name)
        out.operations.append(Operation("write", f"{controller.path}/delete_controller", "1", about=name))
