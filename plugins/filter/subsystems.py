# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fabric's subsystems → those that one target serves, as M(nvmeof.mptcp.nvmet_config) takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import entrance
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import (
    UnknownHost,
    derived_serial,
    hostnqn,
    namespace_identifiers,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.one_subsystem import (
    Apart,
    check_cntlids,
    check_identities,
    cntlids,
)

DOCUMENTATION = r"""
name: subsystems
short_description: Subsystems of the fabric that one target serves
description:
  - Takes C(fabric_subsystems) and returns those of one target, as M(nvmeof.mptcp.nvmet_config) takes them.
  - Inventory names in C(allowed_hosts) become host NQNs. C(uuid), C(nguid) and C(serial) that are not written are
    derived from the NQN and the namespace ID, so that they are the same on every target and after every
    re-creation.
  - Where several targets serve one NQN, each gets a range of controller IDs (C(cntlid_min), C(cntlid_max)) of its own
    by its position among them, unless one of the two is written. A host takes them all for one subsystem and rejects a
    controller whose ID it has already from another target. A target that is appended changes nothing for the others
    until there are more than 16.
  - Targets that serve one NQN with ranges of controller IDs that meet, with another C(serial), or with another C(uuid)
    or C(nguid) of the same namespace are an error.
  - C(targets) (inventory names; all targets when not written) and C(scratch) are the fabric's own and are left out
    of the result.
options:
  _input:
    description: The fabric's subsystems.
    type: list
    elements: dict
    required: true
  target:
    description: Inventory name of the target.
    type: str
    required: true
  hostvars:
    description: Variables and facts of all machines.
    type: dict
    required: true
  targets:
    description: Inventory names of all targets, in an order that is the same for each of them.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what this target serves
  ansible.builtin.debug:
    msg: "{{ fabric_subsystems | nvmeof.mptcp.subsystems(inventory_hostname, hostvars, groups['nvme_targets']) }}"
"""

RETURN = r"""
_value:
  description: The target's subsystems.
  type: list
  elements: dict
"""


def subsystems(
    fabric: Any, target: str, hostvars: Mapping[str, Any], targets: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The subsystems of one target. Raises AnsibleFilterError with the place of a mistake."""
    items = [(f"fabric_subsystems[{index}]", item) for index, item in enumerate(_list(fabric, "fabric_subsystems"))]
    servers: dict[str, dict[str, tuple[str, Mapping[str, Any]]]] = {}
    served = []
    for where, item in items:
        names = _targets(item, [*targets, target], where, hostvars)
        for name in names:
            servers.setdefault(item["nqn"], {}).setdefault(name, (where, item))
        if target in names:
            served.append((where, item))
    _once([item["nqn"] for _, item in served], f" of {target}", "nqn")
    found = [_subsystem(item, cntlids(list(servers[item["nqn"]]), target), where, hostvars) for where, item in served]
    for _, item in served:
        _across(item["nqn"], servers[item["nqn"]])
    return found


def _across(nqn: str, servers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> None:
    """What one target alone does not show: the others that serve the same NQN."""
    names = list(servers)
    if len(names) < 2:
        return
    # The targets of one entry have its identities all alike: one of them speaks for it.
    entries = {where: (name, item) for name, (where, item) in servers.items()}
    try:
        check_cntlids({name: _cntlids(item, cntlids(names, name)) for name, (_, item) in servers.items()})
        if len(entries) > 1:
            check_identities({name: _identities(item, where) for where, (name, item) in entries.items()})
    except Apart as error:
        raise AnsibleFilterError(f"fabric_subsystems: subsystem {nqn}: {error}") from error


def _targets(item: Any, default: list[str], where: str, hostvars: Mapping[str, Any]) -> list[str]:
    """Who serves the subsystem."""
    if not isinstance(item, Mapping) or not isinstance(item.get("nqn"), str):
        raise AnsibleFilterError(f"{where}: {item!r} must be a dictionary with the subsystem's nqn")
    names = _list(item.get("targets", default), f"{where}.targets")
    if not names:
        raise AnsibleFilterError(f"{where}.targets: is empty; name a target, or leave it out for all")
    for name in names:
        if name not in hostvars:
            raise AnsibleFilterError(f"{where}.targets: {name!r} is not a machine of the inventory; correct it")
        if len(default) > 1 and name not in default:
            raise AnsibleFilterError(f"{where}.targets: {name!r} is not a target; put it into the group nvme_targets")
    return names


def _subsystem(
    item: Mapping[str, Any], own_cntlids: Mapping[str, int], where: str, hostvars: Mapping[str, Any]
) -> dict[str, Any]:
    nqn = item["nqn"]
    out = {name: value for name, value in item.items() if name not in ("targets", "allowed_hosts", "namespaces")}
    out.update(_cntlids(item, own_cntlids))
    if not isinstance(item.get("allow_any_host", False), bool):
        raise AnsibleFilterError(f"{where}.allow_any_host: {item['allow_any_host']!r} must be true or false")
    out["allowed_hosts"] = _hosts(_list(item.get("allowed_hosts", []), f"{where}.allowed_hosts"), where, hostvars)
    out.update(_identities(item, where))
    _once([namespace["nsid"] for namespace in out["namespaces"]], f" ({nqn})", "nsid")
    return out


def _cntlids(item: Mapping[str, Any], own: Mapping[str, int]) -> Mapping[str, Any]:
    """The range of controller IDs that is written, else the target's own."""
    written = {name: item[name] for name in ("cntlid_min", "cntlid_max") if item.get(name) is not None}
    return written or own


def _identities(item: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What hosts know the subsystem and its namespaces by, derived where it is not written."""
    nqn, namespaces = item["nqn"], _list(item.get("namespaces", []), f"{where}.namespaces")
    return {
        "serial": derived_serial(nqn) if item.get("serial") is None else item["serial"],
        "namespaces": [_namespace(one, nqn, f"{where}.namespaces[{index}]") for index, one in enumerate(namespaces)],
    }


def _hosts(names: list[Any], where: str, hostvars: Mapping[str, Any]) -> list[str]:
    """The host NQNs of inventory names and NQNs."""
    found: dict[str, str] = {}
    for name in map(str, names):
        try:
            nqn = hostnqn(name, hostvars)
        except (UnknownHost, Refused) as error:
            raise AnsibleFilterError(f"{where}.allowed_hosts: {error}") from error
        if nqn in found:
            raise AnsibleFilterError(
                f"{where}.allowed_hosts: {found[nqn]!r} and {name!r} have the same host NQN {nqn}; a cloned machine "
                "needs an /etc/nvme/hostnqn and an /etc/nvme/hostid of its own"
            )
        found[nqn] = name
    return list(found)


def _namespace(item: Any, nqn: str, where: str) -> dict[str, Any]:
    if not isinstance(item, Mapping) or "nsid" not in item:
        raise AnsibleFilterError(f"{where}: {item!r} must be a dictionary with the namespace's nsid")
    if not isinstance(item.get("scratch", False), bool):
        raise AnsibleFilterError(f"{where}.scratch: {item['scratch']!r} must be true or false")
    derived = namespace_identifiers(nqn, item["nsid"])
    return {**derived, **{name: value for name, value in item.items() if name != "scratch" and value is not None}}


def _once(values: list[Any], whose: str, name: str) -> None:
    for value in values:
        if value is not None and values.count(value) > 1:
            raise AnsibleFilterError(f"fabric_subsystems{whose}: {name} {value!r} is written twice; write it once")


def _list(value: Any, where: str) -> list[Any]:
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__iter__"):
        raise AnsibleFilterError(f"{where}: {value!r} must be a list")
    return list(value)


class FilterModule:
    """Tells Ansible the filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"subsystems": entrance(subsystems)}
