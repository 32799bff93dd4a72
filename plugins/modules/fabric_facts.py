#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_facts
short_description: Read the NICs, the addresses and the host NQN that the plans are made from
description:
  - Sets the few of the facts of M(ansible.builtin.setup) that this collection's plans need, in the same names and
    shape, in less than half of its time. Facts that setup or a fact cache has given serve as well.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Read this machine
  nvmeof.mptcp.fabric_facts:
  when: ansible_facts['interfaces'] is not defined
"""

RETURN = r"""
ansible_facts:
  description: The facts; beside these one for each NIC, under its name with C(_) for every C(-), C(.) and C(:).
  returned: success
  type: dict
  contains:
    interfaces:
      description: Names of the NICs.
      type: list
      elements: str
    fio:
      description: Path of fio, empty when it is not installed.
      type: str
    hostnqn:
      description: What C(/etc/nvme/hostnqn) says, empty when it does not exist.
      type: str
"""

import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import find
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.actual import ip_json, nic_facts


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        facts = {**nic_facts(ip_json("address", "show")), "hostnqn": find().hostnqn}
        facts["fio"] = shutil.which("fio") or ""
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
