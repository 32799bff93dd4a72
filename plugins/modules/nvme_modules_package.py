#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_modules_package
short_description: Build the nvme modules of a Debian kernel with the mptcp transport, as a Debian package
description:
  - Rebuilds C(nvme-fabrics), C(nvme-tcp), C(nvmet) and C(nvmet-tcp) from the source of the kernel's own package plus a
    patch, with the kernel's own compiler, in a Debian 13 chroot. The result is the package
    C(nvme-mptcp-modules-<kernel release>).
  - Runs on a build host, as root. It needs C(mmdebstrap), a Debian mirror, and the first time about a minute and
    0.5 GB of space.
  - Chroots and packages are kept under the hash of everything that made them. Parallel runs for one kernel wait for
    the first and use its package; an interrupted build can be run again.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
  - nvmeof.mptcp._build
attributes:
  diff_mode:
    support: none
options:
  kernel_release:
    description: Release of the kernel to build for, as C(uname -r) prints it.
    type: str
    required: true
  kernel_version:
    description:
      - Version of the kernel's package, which its headers and its source share, for example V(7.2.12-1~bpo13+1).
    type: str
    required: true
  patch:
    description: Text of the patch that adds the transport, for C(patch -p1).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Build the modules for this machine's kernel, on the controller
  nvmeof.mptcp.nvme_modules_package:
    kernel_release: 7.2.12+deb13-cloud-amd64
    kernel_version: 7.2.12-1~bpo13+1
    patch: "{{ lookup('ansible.builtin.file', 'patches/nvme-mptcp.patch') }}"
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The package on the build host; in check mode it may not exist yet.
  returned: success
  type: str
present:
  description: Whether the package exists.
  returned: success
  type: bool
name:
  description: Name of the package.
  returned: success
  type: str
  sample: nvme-mptcp-modules-7.2.12+deb13-cloud-amd64
version:
  description: Version of the package.
  returned: success
  type: str
sha256:
  description: Hash of the package's file, for the machine that installs it; empty in check mode when it is not built.
  returned: success
  type: str
patch_sha256:
  description: Hash of the patch.
  returned: success
  type: str
plan:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap, module_package
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import release as _kernel_release


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kernel_release": {"type": "str", "required": True},
            "kernel_version": {"type": "str", "required": True},
            "patch": {"type": "str", "required": True},
            **mmdebstrap.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        name = checked("kernel release", module.params["kernel_release"], "kernel_release")
        version = checked("version", module.params["kernel_version"], "kernel_version")
    except Refused as error:
        module.fail_json(msg=str(error))
        return
    obstacles = _kernel_release.obstacles(name, version, signed_only=False)
    release = _kernel_release.parse_release(name)
    if obstacles or release is None:
        module.fail_json(msg="kernel_release: " + "; ".join(obstacles))
        return
    cache = pathlib.Path(module.params["cache_dir"])
    package = module_package.describe(cache, release, version, module.params["patch"])
    try:
        _cache.check_owner(cache)
    except OSError as error:
        module.fail_json(msg=f"{package.name} was not built: {error}")
    changed = not package.path.exists()
    if changed and not module.check_mode:
        try:
            mmdebstrap.check_prerequisites()
            mirror = module.params["mirror"] or mmdebstrap.find_mirror("nvme_kernel_mirror")
            module_package.ensure(package, cache, mirror, module.debug)
        except (BuildError, mmdebstrap.MmdebstrapError, OSError) as error:
            module.fail_json(msg=f"{package.name} was not built: {error}")
    try:
        sha256 = module_package.recorded_hash(package)
    except OSError as error:
        module.fail_json(msg=f"{package.name}: {error}")
    module.exit_json(
        changed=changed,
        sha256=sha256,
        path=str(package.path),
        present=package.path.exists(),
        name=package.name,
        version=package.version,
        patch_sha256=package.patch_sha256,
        plan=[f"build {package.path}"] if changed else [],
    )


if __name__ == "__main__":
    main()
