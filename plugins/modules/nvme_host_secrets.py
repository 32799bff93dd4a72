#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_host_secrets
short_description: Let a host try other DH-HMAC-CHAP secrets too, while its targets get their keys
description:
  - Keeps secrets beside those of the connections that were saved. Where a target rejects a connection with its own
    secrets, the unit C(nvmeof-mptcp-host) tries these, so that a host finds its way back to every target whichever of
    the two keys that one has.
  - They are forgotten as soon as M(nvmeof.mptcp.nvme_connections) succeeds, which proves the secrets that it is given.
    Live controllers are not touched. Nothing is kept on a host that has no saved connections.
  - The playbook C(rotate.yml) calls it before the first target is changed.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  dhchap_secret:
    description: DH-HMAC-CHAP key of this host, in the form V(DHHC-1:0x:<base64>:).
    type: str
    aliases: [dhchap_key]
    required: true
  dhchap_ctrl_secret:
    description: DH-HMAC-CHAP key that the controller must prove, in the same form.
    type: str
    aliases: [dhchap_ctrl_key]
"""

EXAMPLES = r"""
- name: Let the host try the new secrets too
  nvmeof.mptcp.nvme_host_secrets:
    dhchap_secret: "{{ fabric_dhchap_secret }}"
"""

RETURN = r"""
path:
  description: The saved description beside whose secrets these are kept.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.arguments import by_name
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import malformed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import turns as _host_turns


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dhchap_secret": {"type": "str", "required": True, "no_log": True, "aliases": ["dhchap_key"]},
            "dhchap_ctrl_secret": {"type": "str", "no_log": True, "aliases": ["dhchap_ctrl_key"]},
        },
        supports_check_mode=True,
    )
    secrets = {name: value for name, value in by_name(module.params, module.argument_spec).items() if value}
    for name, value in secrets.items():
        if malformed(value):
            module.fail_json(msg=f"{name} {malformed(value)}")
    try:
        turns = _host_turns.looking if module.check_mode else _host_turns.describing
        with turns() as turn, turn():
            changed = saved.expect([secrets], state.CONFIG_DIR, module.check_mode)
    except (lock.Busy, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    path = state.description_file(saved.COMPONENT, state.CONFIG_DIR)
    shown = f"{path}: other secrets to try\n" if changed else ""
    module.exit_json(changed=changed, path=path, diff={"before": "", "after": shown})


if __name__ == "__main__":
    main()
