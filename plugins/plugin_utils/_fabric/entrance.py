# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The one place where variables of an inventory come in: what has the wrong shape is told by variable and machine."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape, Unfit, bounded, check

_SCALAR = (str, int, float, bool, None)
_NUMBER = (int, str)
_NAME = Grammar(re.compile(r"[^\x00-\x1f\x7f]+"), 255, "a name of at most 255 characters")
_SUBSYSTEM = {
    "nqn": str,
    "targets?": [_NAME],
    "allow_any_host?": (bool, None),
    "allowed_hosts?": ([_NAME], None),
    "namespaces?": ([{"nsid": _NUMBER, "scratch?": (bool, None), ...: _SCALAR}], None),
    "passthru?": ({...: _SCALAR}, None),
    ...: _SCALAR,
}
_CONNECTION = {"subsysnqn": str, "traddr?": str, "trsvcid?": _NUMBER, ...: _SCALAR}
_PLANNED: Shape = {"transport": str, "subsysnqn": str, "traddr": str, "trsvcid": _NUMBER, ...: _SCALAR}
#: Arguments of filters by their name: the variable that they come from, for messages, and its shape.
ARGUMENTS: Mapping[str, tuple[str, Shape]] = {
    "subsystems": ("fabric_subsystems", [_SUBSYSTEM]),
    "fabric": ("fabric_subsystems", [_SUBSYSTEM]),
    "networks": ("fabric_networks", object),
    "hostvars": ("hostvars", {...: {...: object}}),
    "host": ("the host", _NAME),
    "name": ("the machine", _NAME),
    "target": ("the target", _NAME),
    "targets": ("the targets", [_NAME]),
    "hosts": ("the hosts", [_NAME]),
    "connections": ("nvme_host_connections", [_CONNECTION]),
    "planned": ("the planned connections", [_PLANNED]),
    "discovery": ("nvme_host_discovery", [{...: _SCALAR}]),
    "controllers": ("controllers of nvme_info", [{"subsysnqn": str, "traddr": str, ...: object}]),
    "info": ("nvme_info", {...: object}),
    "saved": ("what nvmetcli saved", object),
    "mib": ("mib", range(1, 2**40)),
}
_PORT = {"portid": _NUMBER, "traddr?": (str, None), ...: object}
#: Variables of a machine.
VARIABLES: Mapping[str, Shape] = {
    "ansible_facts": ({"hostnqn?": (str, None), ...: object}, None),
    "fabric_dhchap_ctrl_secret": (str, None),
    "fabric_dhchap_secret": (str, None),
    # These two are looked at where they are read.
    "fabric_rails": object,
    "fabric_service_address": object,
    "nvme_host_hostnqn": (str, None),
    "nvme_target_ports": ([_PORT], None),
}


def variable(hostvars: Mapping[str, Any], machine: str, name: str) -> Any:
    """A variable of VARIABLES of a machine, or None. Raises Unfit, naming both."""
    if machine not in hostvars:
        raise Unfit(f"{machine!r} is not a machine of the inventory; correct it")
    if not isinstance(hostvars[machine], Mapping):
        raise Unfit(f"hostvars of {machine} must be a dictionary of variables")
    found = hostvars[machine].get(name)
    if name != "ansible_facts":
        look_at(f"{name} of {machine}", found, VARIABLES[name])
    else:
        check(found, VARIABLES[name], f"{name} of {machine}")
    return found


def look_at(where: str, value: Any, shape: Shape) -> None:
    """Raises Unfit for a value that is not of the shape, or nested too deep for anything. where: what it is called."""
    try:
        bounded(value)
    except Unfit as error:
        raise Unfit(f"{where} {error}") from None
    check(value, shape, where)


def entrance(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at its arguments first; what it refuses is an error of the filter, in its own words."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def looking(*arguments: Any, **options: Any) -> Any:
        try:
            bound = signature.bind(*arguments, **options)
            for name, value in bound.arguments.items():
                where, shape = ARGUMENTS.get(name, ("", None))
                if not where:
                    continue
                if isinstance(shape, list) and isinstance(value, Iterable) and not isinstance(value, (str, Mapping)):
                    # What map() and select() give can be looked at once.
                    bound.arguments[name] = value = list(value)
                if name == "hostvars":
                    # Ansible's is not read as a whole: each variable of each machine would be templated.
                    if not isinstance(value, Mapping):
                        raise Unfit(f"{where} must be a dictionary of machines")
                else:
                    look_at(where, value, shape)
            return function(*bound.args, **bound.kwargs)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return looking
