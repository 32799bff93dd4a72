#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_program
short_description: Install the program that converges a node at boot and on events
description:
  - configfs, MPTCP endpoints and controllers are gone after a reboot. The boot units of this collection run one small
    program that converges the node to the descriptions saved under C(/etc/nvmeof-mptcp).
  - The program is a zipapp made of the same files that run in the collection's modules, so that boot takes the code
    path of the playbook. It needs the Python standard library only.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options: {}
"""

EXAMPLES = r"""
- name: Install the node program
  nvmeof.mptcp.node_program:
"""

RETURN = r"""
path:
  description: Where the program is.
  returned: success
  type: str
  sample: /usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz
sha256:
  description: Hash of the program that this version of the collection installs.
  returned: success
  type: str
"""

import hashlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._program import PATH, build, digest, install


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    content = build()
    wanted, found = hashlib.sha256(content).hexdigest(), digest()
    changed = wanted != found
    if changed and not module.check_mode:
        install(content)
    diff = {
        "before_header": PATH,
        "after_header": PATH,
        "before": f"sha256 {found}\n" if found else "",
        "after": f"sha256 {wanted}\n",
    }
    module.exit_json(changed=changed, path=PATH, sha256=wanted, diff=diff)


if __name__ == "__main__":
    main()
