#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvmet_info
short_description: Read what the kernel's NVMe target serves
description:
  - Reads the whole of nvmet's configfs as one tree.
  - RV(config) is what M(nvmeof.mptcp.nvmet_config) accepts, so that a target that was set up by other means can be
    taken over. DH-HMAC-CHAP keys are never returned.
  - nvmet holds more than M(nvmeof.mptcp.nvmet_config) accepts, like a subsystem whose name is not an NQN or a port
    without a transport. Such an object is left out of RV(config) with all it holds and named in RV(undescribable).
    M(nvmeof.mptcp.nvmet_config) treats it as not described.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes.info
options: {}
seealso:
  - module: nvmeof.mptcp.nvmet_config
"""

EXAMPLES = r"""
- name: Read the target
  nvmeof.mptcp.nvmet_info:
  register: target

- name: Show what it serves
  ansible.builtin.debug:
    var: target.config.subsystems
"""

RETURN = r"""
loaded:
  description: Whether nvmet is there; RV(config) is empty when it is not.
  returned: success
  type: bool
config:
  description: The tree, as M(nvmeof.mptcp.nvmet_config) takes it.
  returned: success
  type: dict
  sample:
    hosts: [{nqn: "nqn.2026-11.org.example:host1"}]
    subsystems:
      - nqn: nqn.2026-11.org.example:vol0
        allowed_hosts: ["nqn.2026-11.org.example:host1"]
        namespaces: [{nsid: 1, device_path: /dev/disk/by-id/virtio-vol0, enable: true}]
    ports:
      - portid: 1
        trtype: mptcp
        adrfam: ipv4
        traddr: 10.10.255.1
        trsvcid: "4420"
        subsystems: ["nqn.2026-11.org.example:vol0"]
undescribable:
  description: Objects that RV(config) leaves out with all they hold, each with the reason.
  returned: success
  type: dict
  sample: {"port 2": "trtype is missing; write the transport, like mptcp"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import Live, gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.describable import describable
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        found = gather(Live())
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}; reading nvmet needs root")
    try:
        config, undescribable = describable(found)
    except Invalid as error:
        module.fail_json(msg=f"nvmet has what cannot be described: {error}")
    module.exit_json(changed=False, loaded=bool(found.objects), config=config, undescribable=undescribable)


if __name__ == "__main__":
    main()
