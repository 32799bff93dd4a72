#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mptcp_endpoints
short_description: Converge the network that NVMe over MPTCP needs
description:
  - Brings MPTCP endpoints, limits, sysctls, the service address, routes and rules of one machine to a description, in
    one call. The filter P(nvmeof.mptcp.mptcp_plan#filter) makes the description from the networks of the inventory.
  - Routes and rules of this collection carry the routing protocol number 77. Others, and endpoints that this collection
    did not make, are left alone; the configuration of NICs is never touched.
  - An endpoint that is as described is never touched, because adding or deleting one resets its rail on every
    connection. RV(resets) names those that are.
  - A NIC is recognised by its address. A rail whose NIC is missing or down holds up no other; it is named in
    RV(missing).
  - After success the description is saved as C(/etc/nvmeof-mptcp/mptcp.json), and boot converges to it.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
requirements:
  - iproute2 5.18 or later
options:
  rails:
    description: The NICs that carry storage traffic.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the rail., type: str, required: true}
      cidr: {description: Its network., type: str, required: true}
      interface: {description: "The NIC; at boot, the one that has O(rails[].address).", type: str, required: true}
      address: {description: Address of the machine in the network., type: str, required: true}
  endpoints:
    description: MPTCP endpoints, see ip-mptcp(8).
    type: list
    elements: dict
    default: []
    suboptions:
      address: {description: Local address., type: str, required: true}
      rail: {description: The rail whose NIC the endpoint is bound to., type: str, required: true}
      id: {description: Identifier; the next free one if another endpoint has it., type: int, required: true}
      flags:
        description: Flags of the endpoint.
        type: list
        elements: str
        required: true
        choices: [signal, subflow, backup, fullmesh]
  limits:
    description: Limits of the path manager, per connection.
    type: dict
    required: true
    suboptions:
      subflows: {description: Subflows in addition to the first., type: int, required: true}
      add_addr_accepted: {description: Announced addresses that are followed., type: int, required: true}
  addresses:
    description: Addresses that belong to the machine rather than to a NIC.
    type: list
    elements: dict
    default: []
    suboptions:
      address: {description: Address with prefix length., type: str, required: true}
      dev: {description: The interface., type: str, required: true}
  routes:
    description: Routes.
    type: list
    elements: dict
    default: []
    suboptions:
      type: {description: Type of the route., type: str, required: true, choices: [unicast, blackhole]}
      dst: {description: Destination with prefix length., type: str, required: true}
      metric: {description: "Metric; with destination and table it identifies the route.", type: int, required: true}
      table: {description: "V(main) or the number of a table.", type: str, default: main}
      nexthops:
        description: Next hops; those of a rail without a usable NIC are left out.
        type: list
        elements: dict
        required: true
        suboptions:
          via: {description: The gateway; empty for what the NIC reaches itself., type: str, required: true}
          rail: {description: The rail whose NIC leads to it., type: str, required: true}
  rules:
    description: Routing policy rules.
    type: list
    elements: dict
    default: []
    suboptions:
      priority: {description: Priority., type: int, required: true}
      from: {description: Source prefix., type: str, required: true}
      to: {description: Destination prefix; empty for all., type: str, required: true}
      action: {description: "V(prohibit), or the table to look into, V(main) or a number.", type: str, required: true}
  sysctls:
    description: Sysctls by name.
    type: dict
    default: {}
  interface_sysctls:
    description: Sysctls of the NIC of every rail; C({interface}) in the name stands for the NIC.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Bring the network to what the inventory describes
  nvmeof.mptcp.mptcp_endpoints: "{{ fabric_networks
    | nvmeof.mptcp.mptcp_plan(hostvars, inventory_hostname, groups['nvme_targets'], groups['nvme_hosts']) }}"

- name: Only an endpoint
  nvmeof.mptcp.mptcp_endpoints:
    rails:
      - {name: rail0, cidr: 198.51.100.0/24, interface: eth1, address: 198.51.100.5}
    endpoints:
      - {address: 198.51.100.5, rail: rail0, id: 1, flags: [subflow]}
    limits: {subflows: 2, add_addr_accepted: 0}
"""

RETURN = r"""
plan:
  description: The commands that were run, or would be in check mode, as a person would type them.
  returned: success
  type: list
  elements: str
  sample: [ip mptcp endpoint add 198.51.100.5 dev eth1 id 1 subflow]
interfaces:
  description: The NIC of each rail.
  returned: success
  type: dict
  sample: {rail0: eth1}
missing:
  description: Rails without a usable NIC, each with what is wrong with it.
  returned: success
  type: list
  elements: str
resets:
  description: Addresses of the endpoints that were replaced or removed; their subflows were reset on every connection.
  returned: success
  type: list
  elements: str
foreign_endpoints:
  description: Endpoints that somebody else made; they were left alone.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import mending
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import converge


def _list(**options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


_TEXT: dict[str, Any] = {"type": "str", "required": True}
_NUMBER: dict[str, Any] = {"type": "int", "required": True}
_FLAGS = {
    "type": "list",
    "elements": "str",
    "required": True,
    "choices": ["signal", "subflow", "backup", "fullmesh"],
}
_NEXTHOPS = {"type": "list", "elements": "dict", "required": True, "options": {"via": _TEXT, "rail": _TEXT}}

ARGUMENTS: dict[str, Any] = {
    "rails": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {"name": _TEXT, "cidr": _TEXT, "interface": _TEXT, "address": _TEXT},
    },
    "endpoints": _list(address=_TEXT, rail=_TEXT, id=_NUMBER, flags=_FLAGS),
    "limits": {"type": "dict", "required": True, "options": {"subflows": _NUMBER, "add_addr_accepted": _NUMBER}},
    "addresses": _list(address=_TEXT, dev=_TEXT),
    "routes": _list(
        type={**_TEXT, "choices": ["unicast", "blackhole"]},
        dst=_TEXT,
        metric=_NUMBER,
        table={"type": "str", "default": "main"},
        nexthops=_NEXTHOPS,
    ),
    "rules": _list(priority=_NUMBER, to=_TEXT, action=_TEXT, **{"from": _TEXT}),
    "sysctls": {"type": "dict", "default": {}},
    "interface_sysctls": {"type": "dict", "default": {}},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        with mending(module.warn):
            result = converge.converge(dict(module.params), check=module.check_mode)
    except Refused as refused:
        applied = [operation.line() for operation in refused.applied]
        module.fail_json(msg=str(refused), applied=applied, changed=bool(applied))
    except converge.ERRORS as error:
        module.fail_json(msg=str(error))
    for problem in result["missing"]:
        module.warn(f"rail without a usable NIC: {problem}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
