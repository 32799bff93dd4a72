#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_transport
short_description: Load the nvme modules on disk in place of other builds, and prove that they offer mptcp
description:
  - Replaces loaded builds of C(nvme-fabrics), C(nvme-tcp), C(nvmet) and C(nvmet-tcp) that are not those on disk,
    without a reboot, and loads those that are missing. Then asks the kernel for the transport and fails unless both
    sides have it.
  - Nothing is unloaded while a controller, an object of nvmet or another module uses it. The error names what does.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options: {}
seealso:
  - module: nvmeof.mptcp.nvme_transport_info
  - module: nvmeof.mptcp.nvme_modules_package
"""

EXAMPLES = r"""
- name: Load the modules that were installed
  nvmeof.mptcp.nvme_transport:
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode, as commands.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils import (
    _module_files,
    _module_swap,
    _operation,
    _transport_state,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport_probe import ProbeError


def refuse_while_in_use(module: AnsibleModule, modules: list[_module_files.Module]) -> None:
    """Fail, naming the objects, when a module that has to go is used."""
    going = [found for found in modules if found.stale]
    uses = sorted({use for found in _module_swap.holders(going, _module_files.users).values() for use in found})
    if uses:
        module.fail_json(
            msg=f"another build of {', '.join(found.name for found in going)} than the one on disk is loaded and in "
            f"use by {', '.join(uses)}: disconnect or remove these first, or reboot the machine"
        )


def prove(module: AnsibleModule) -> None:
    """Ask the kernel; fail with what is loaded unless both sides offer the transport."""
    try:
        state = _transport_state.read(probe=True)
    except (ProbeError, OSError) as error:
        module.fail_json(msg=f"the mptcp transport cannot be probed: {error}")
    if not state["present"]:
        sides = ", ".join(side for side, answer in state["offered"].items() if not answer)
        files = ", ".join(found["file"] or f"no {found['name']}" for found in state["modules"])
        module.fail_json(
            msg=f"kernel {state['kernel_release']} does not offer the mptcp transport to the {sides} side with these "
            f"modules: {files}. {' '.join(state['missing'])}".strip()
        )


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    modules = [_module_files.read(name) for name in _module_files.MODULES]
    plan = _module_swap.plan(modules)
    refuse_while_in_use(module, modules)
    if not module.check_mode:
        try:
            _operation.apply(plan, lambda operation, error: None)
        except _operation.Refused as error:
            module.fail_json(msg=str(error))
        prove(module)
    loaded = "".join(f"{found.name} {found.loaded or 'not loaded'}\n" for found in modules)
    on_disk = "".join(f"{found.name} {found.on_disk}\n" for found in modules)
    module.exit_json(
        changed=bool(plan),
        plan=[operation.line() for operation in plan],
        diff={"before": loaded, "after": on_disk if plan else loaded},
    )


if __name__ == "__main__":
    main()
