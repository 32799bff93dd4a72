#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvmet_host_keys
short_description: Give a target other DH-HMAC-CHAP keys of one host
description:
  - Writes the keys of one host into nvmet and into what boot converges to, and leaves everything else as it is.
  - The kernel keeps one key for a host. What is connected stays connected; the host authenticates by the new one from
    now on, so its controllers have to get the new secret at once. The playbook C(rotate.yml) does both, host by host.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  nqn:
    description: Host NQN, which the target lets in already.
    type: str
    required: true
  dhchap_key:
    description: DH-HMAC-CHAP key of the host, in the form V(DHHC-1:0x:<base64>:).
    type: str
    aliases: [dhchap_secret]
    required: true
  dhchap_ctrl_key:
    description: DH-HMAC-CHAP key by which the target authenticates itself to the host. nvmet keeps one that it has when
      this is left out, until it restarts.
    type: str
    aliases: [dhchap_ctrl_secret]
"""

EXAMPLES = r"""
- name: Give a target the new key of a host
  nvmeof.mptcp.nvmet_host_keys:
    nqn: nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01
    dhchap_key: "{{ fabric_dhchap_secret }}"
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode, as lines that a person could type. Keys are asterisks.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.arguments import by_name
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import malformed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.lock import Busy
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Disruptive, NotConverged
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.keys import NotServed, give
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import render


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nqn": {"type": "str", "required": True},
            "dhchap_key": {"type": "str", "required": True, "no_log": True, "aliases": ["dhchap_secret"]},
            "dhchap_ctrl_key": {"type": "str", "no_log": True, "aliases": ["dhchap_ctrl_secret"]},
        },
        supports_check_mode=True,
    )
    given = by_name(module.params, module.argument_spec)
    keys = {name: value for name, value in given.items() if name != "nqn" and value}
    for name, value in keys.items():
        if malformed(value):
            module.fail_json(msg=f"{name} {malformed(value)}")
    try:
        result = give(module.params["nqn"], keys, module.check_mode)
    except Invalid as error:
        module.fail_json(msg="; ".join(error.problems))
    except (Refused, NotServed, Disruptive, NotConverged, Busy, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=result.changed,
        plan=[operation.line() for operation in result.plan],
        diff={"before": render(result.before), "after": render(result.after)},
    )


if __name__ == "__main__":
    main()
