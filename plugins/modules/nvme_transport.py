#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_transport
short_description: Install and load nvme modules in place of other builds, and prove that they offer mptcp
description:
  - Installs a package of modules that was copied to the machine, unless that version is installed. Where apt may remove
    the kernel that they are for, it may remove them with it.
  - Replaces loaded builds of C(nvme-fabrics), C(nvme-tcp), C(nvmet) and C(nvmet-tcp) that are not those on disk,
    without a reboot, and loads those that are missing. Then asks the kernel for the transport and fails unless both
    sides have it.
  - Nothing is installed or unloaded while a controller, an object of nvmet or another module uses what would have to
    go. The error names what does. With O(load=false) nothing has to go.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  package:
    description: Name of the package of modules, as M(nvmeof.mptcp.nvme_modules_package) returns it.
    type: str
    required: true
  version:
    description: Version of the package.
    type: str
    required: true
  src:
    description: The package's file on the machine. In check mode it need not exist yet.
    type: path
    required: true
  sha256:
    description:
      - Hash of that file, as M(nvmeof.mptcp.nvme_modules_package) returns it. Another file is not installed. In check
        mode it may be empty, when nothing is built yet.
    type: str
    required: true
  load:
    description:
      - Whether to load the modules and to ask the kernel. Otherwise the next boot loads them, be it of another kernel.
    type: bool
    default: true
seealso:
  - module: nvmeof.mptcp.nvme_transport_info
  - module: nvmeof.mptcp.nvme_modules_package
"""

EXAMPLES = r"""
- name: Install the modules and load them
  nvmeof.mptcp.nvme_transport:
    package: nvme-mptcp-modules-7.2.12+deb13-cloud-amd64
    version: 7.2.12-1~bpo13+1+mptcp.d399046983a1
    src: /var/cache/nvme-mptcp-modules.deb
    sha256: "{{ built.sha256 }}"

- name: Install the modules of the kernel that boots next
  nvmeof.mptcp.nvme_transport:
    package: nvme-mptcp-modules-7.2.13+deb13-cloud-amd64
    version: 7.2.13-1~bpo13+1+mptcp.d399046983a1
    src: /var/cache/nvme-mptcp-modules.deb
    sha256: "{{ built.sha256 }}"
    load: false
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode, as commands.
  returned: success
  type: list
  elements: str
"""

import os
import pathlib
import typing as t
from dataclasses import replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked, shown
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules as _module_files
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state as _transport_state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import swap as _module_swap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.probe import ProbeError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import MODULES_PACKAGE


def in_use(modules: list[_module_files.Module]) -> str:
    """Which modules have to go, and the objects that use them; empty when nothing does."""
    going = [found for found in modules if found.stale]
    uses = sorted({use for found in _module_swap.holders(going, _module_files.users).values() for use in found})
    if not uses:
        return ""
    names = ", ".join(found.name for found in going)
    return f"another build of {names} than the one on disk is loaded and in use by {', '.join(uses)}"


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


def carry_out(module: AnsibleModule, plan: list[_operation.Operation]) -> None:
    try:
        _operation.apply(plan, lambda operation, error: None)
    except _operation.Refused as error:
        module.fail_json(msg=str(error))


def read_all() -> list[_module_files.Module]:
    return [_module_files.read(name) for name in _module_files.MODULES]


def installation(package: str, before: str, version: str, source: str) -> list[_operation.Operation]:
    """Bring a package of modules to a version, and have apt remove it with its kernel."""
    plan = packages.install([source], package) if before != version else []
    # Installed by name, the modules would keep a kernel that apt otherwise removes once it is old, until /boot is full.
    kernel = package.replace(MODULES_PACKAGE, "linux-image-", 1)
    if packages.is_automatic(kernel) and (plan or not packages.is_automatic(package)):
        plan.append(_operation.Operation("run", argv=("apt-mark", "auto", "--", package), about=package))
    return plan


def bring(module: AnsibleModule) -> dict[str, t.Any]:
    """Install, load and prove the modules; the module's result."""
    package, version, load = module.params["package"], module.params["version"], module.params["load"]
    found, before = read_all() if load else [], packages.installed_version(package)
    install = installation(package, before, version, module.params["src"])
    expected = found
    if before != version:
        # What is loaded now will be another build than the one that the package puts on disk.
        expected = [replace(each, on_disk=version) if each.on_disk != "builtin" else each for each in found]
    reason = in_use(expected)
    if reason:
        module.fail_json(msg=f"{reason}: disconnect or remove these first, or reboot the machine")
    plan = install + (_module_swap.plan(expected) if load else [])
    if not module.check_mode:
        if before != version:
            cache.check_hash(pathlib.Path(module.params["src"]), module.params["sha256"])
        carry_out(module, install)
        if load:
            # Not while apt works: until here nothing that runs is touched.
            with lock.lock("target", "host", timeout=lock.ONE_CONNECT):
                swap(module)
    return {
        "changed": bool(plan),
        "plan": [operation.line() for operation in plan],
        "diff": {
            "before": f"{package} {before}\n" + "".join(f"{each.name} {each.loaded}\n" for each in found),
            "after": f"{package} {version}\n" + "".join(f"{each.name} {each.on_disk}\n" for each in expected),
        },
    }


def swap(module: AnsibleModule) -> None:
    """Load the modules that are installed by now, and prove them."""
    installed = read_all()
    # The installation took its time, and rmmod would disconnect without asking what has connected meanwhile.
    reason = in_use(installed)
    if reason:
        module.fail_json(
            msg=f"{module.params['package']} {module.params['version']} is installed, but {reason}, which came "
            "meanwhile: the next run after these are disconnected or removed loads it, or a reboot does"
        )
    carry_out(module, _module_swap.plan(installed))
    prove(module)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "src": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "load": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    try:
        checked("package", module.params["package"], "package")
        checked("version", module.params["version"], "version")
        if not os.path.isabs(module.params["src"]):
            raise Refused(f"src is {shown(module.params['src'])}, which is no absolute path of a file; name one")
        with lock.lock("kernel"):
            result = bring(module)
    except (Refused, lock.Busy, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
