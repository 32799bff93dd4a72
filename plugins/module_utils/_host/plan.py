# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What separates the declared connections from the kernel's controllers, as a list of operations. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import Desired
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import (
    DEVICE,
    MODULES,
    OPTIONS,
    name_of,
    render,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.prune import judge, undeclared
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import Secret, secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller, Nvme

_WRITABLE = tuple(option for option in OPTIONS if option.writable)
_SECRETS = tuple(option for option in OPTIONS if option.secret)
_WHO = ("transport", "traddr", "trsvcid", "subsysnqn", "host_traddr", "host_iface")
#: Options that only a new connection can change; duplicate_connect says nothing of a connection that is there.
_FIXED = tuple(
    option
    for option in OPTIONS
    if not (option.writable or option.secret) and option.name not in (*_WHO, "hostnqn", "hostid", "duplicate_connect")
)


@dataclass
class Plan:
    """operations in order; refusals are what must not be done, each with its reason; disconnects are names.

    later: what takes others down or makes them anew, once those of this plan are there.
    """

    operations: list[Operation] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    disconnects: list[str] = field(default_factory=list)
    later: list[Operation] = field(default_factory=list)

    @property
    def foreseen(self) -> list[str]:
        """Names of all connections that are taken down, now and later."""
        return [*self.disconnects, *dict.fromkeys(one.about for one in self.later if one.path != DEVICE and one.path)]


def index(nvme: Nvme, hostnqn: str) -> dict[str, Controller]:
    """The controllers by the name of the connection that makes them; of two that are alike, one that is live."""
    return {
        name_of(
            {**{key: getattr(one, key) for key in _WHO}, "hostnqn": "" if one.hostnqn == hostnqn else one.hostnqn}
        ): one
        for one in sorted(nvme.controllers, key=lambda one: one.state == "live")
        if not one.leaving
    }


def plan(
    want: Desired,
    nvme: Nvme,
    owned: Sequence[str],
    previous: Mapping[str, Mapping[str, Any]],
    users: Callable[[str], list[str]],
    loaded: Callable[[str], bool] = lambda module: True,
    shown: Callable[[str], Secret] = secret,
) -> Plan:
    """The operations from the kernel's controllers to the declared ones: changes, connects, policies, disconnects.

    owned: names of connections that earlier descriptions made. previous: the connections last applied, by name; what
    sysfs does not show of a controller is compared with them. users: who uses a namespace, by its device name.
    loaded: whether a kernel module is there. shown: reads a secret of a controller.
    """
    out = Plan()
    found = index(nvme, want.hostnqn)
    renewed = []
    for name, connection in want.connections.items():
        controller = found.get(name)
        if controller is None:
            out.operations += _connect(name, connection, want, loaded, out.operations)
            continue
        before = previous.get(name)
        secrets, other = _secrets(name, want, controller, before, shown)
        if other or _fixed_differences(connection, controller, before):
            renewed.append(name)
        else:
            out.operations += _in_place(name, connection, controller) + secrets
    out.operations += _iopolicy(want, nvme, found)
    verdict = judge(undeclared(want, found, owned), renewed, want, nvme, found, users)
    out.refusals, out.disconnects = verdict.refusals, verdict.now
    out.operations += [_disconnect(name, found[name]) for name in verdict.now]
    for name in verdict.now:
        if name in renewed:
            out.operations += _connect(name, want.connections[name], want, loaded, out.operations)
    out.later += [_disconnect(name, found[name]) for name in verdict.after]
    for name in verdict.later:
        anew = _connect(name, want.connections[name], want, loaded, [*out.operations, *out.later])
        out.later += [_disconnect(name, found[name]), *anew]
    return out


def _disconnect(name: str, controller: Controller) -> Operation:
    return Operation("write", f"{controller.path}/delete_controller", "1", about=name)


def _secrets(
    name: str,
    want: Desired,
    controller: Controller,
    previous: Mapping[str, Any] | None,
    shown: Callable[[str], Secret],
) -> tuple[list[Operation], bool]:
    """What makes a controller's secrets the declared ones, and whether that takes a new connection instead."""
    out, renew = [], False
    for option in _SECRETS:
        wanted, before = want.connections[name].get(option.name), (previous or {}).get(option.name)
        path = f"{controller.path}/{option.name}"
        has = shown(path) if wanted else Secret("", False)
        if has.exposed and has.value != "none":
            out.append(Operation("chmod", path, "0600", about=name))
        if has.value.startswith("DHHC-1:"):
            # Writing back the secrets of before a change that only came half way would lose what has the new ones.
            if has.value != wanted and not want.restored:
                out.append(Operation("write", path, str(wanted), about=name, secret=True))
        elif has.value == "none" or (previous is not None and wanted != before):
            # The kernel changes a secret of a controller that has one, and gives none to one that was made without.
            renew = True
    return out, renew


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


def _iopolicy(want: Desired, nvme: Nvme, found: Mapping[str, Controller]) -> list[Operation]:
    if not want.iopolicy:
        return []
    nqns = {connection["subsysnqn"] for name, connection in want.connections.items() if name in found}
    return [
        Operation("write", f"{one.path}/iopolicy", want.iopolicy, about=one.subsysnqn)
        for one in nvme.subsystems
        if one.subsysnqn in nqns and one.iopolicy and one.iopolicy != want.iopolicy
    ]
