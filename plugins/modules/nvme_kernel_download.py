#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_kernel_download
short_description: Download the packages of a kernel from a Debian archive
description:
  - Takes the named package and those that it needs of its own version, which are the other parts of the same kernel. In
    place of a package that only follows the newest kernel, such as C(linux-image-amd64), that kernel is taken.
  - Runs on a build host with apt, whose own sources are not touched. Signatures and hashes are always checked.
  - Packages are kept in the cache under the hash of what they are. In check mode nothing but the archive's indices is
    downloaded.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
  - nvmeof.mptcp._build
attributes:
  diff_mode:
    support: none
options:
  package:
    description: Name of the package of a kernel, or of one that stands for it.
    type: str
    required: true
  repository:
    description:
      - Sources to take it from, in the form of deb822, with C(Signed-By) a file on the build host or the key itself.
      - If empty, Debian 13 and its backports.
      - A paragraph that needs no signature, by C(Trusted) for example, is refused without the line
        C(X-Unsigned) with the value C(accepted).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Have the newest kernel of Debian's backports, on the controller
  nvmeof.mptcp.nvme_kernel_download:
    package: linux-image-cloud-amd64
  delegate_to: localhost
"""

RETURN = r"""
release:
  description: Release of the kernel, as C(uname -r) will print it.
  returned: success
  type: str
  sample: 7.3.4+deb13-cloud-amd64
version:
  description: Version of its packages.
  returned: success
  type: str
packages:
  description: The packages; in check mode their files may not exist yet.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the package.
      type: str
    version:
      description: Version of the package.
      type: str
    path:
      description: Its file on the build host.
      type: str
    sha256:
      description: The file's hash in the archive's signed index.
      type: str
obstacles:
  description: Why the collection's modules cannot be rebuilt for it; empty when they can.
  returned: success
  type: list
  elements: str
plan:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
"""

import pathlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import archive as _kernel_archive
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.archive import ArchiveError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, shown
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import release as _kernel_release


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "package": {"type": "str", "required": True},
            "repository": {"type": "str", "default": ""},
            **mmdebstrap.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    name, repository = module.params["package"], module.params["repository"]
    cache = pathlib.Path(module.params["cache_dir"])
    try:
        _cache.check_owner(cache)
        mirror = module.params["mirror"] or (repository or mmdebstrap.find_mirror("nvme_kernel_mirror"))
        archive = _kernel_archive.Archive(cache, mirror, repository)
        found = archive.resolve(name, module.debug)
        release = _kernel_archive.kernel_of(found, name)
        # One that only stands for the newest kernel would be at odds with the next one.
        packages = sorted((package for package in found if release in package.name), key=lambda package: package.name)
        entry = cache / "kernels" / _cache.content_hash([(package.file, package.sha256) for package in packages])
        changed = not entry.is_dir()
        if changed and not module.check_mode:
            waiting = "waiting for another process that downloads this kernel"
            _cache.ensure(entry, lambda folder: archive.download(packages, folder), lambda: module.debug(waiting))
        for package in packages if entry.is_dir() else ():
            _cache.check_hash(entry / package.file, package.sha256)
    except (ArchiveError, Refused, mmdebstrap.MmdebstrapError, OSError) as error:
        module.fail_json(msg=f"kernel {shown(name)} was not downloaded: {error}")
    version = packages[0].version
    size = sum(package.size for package in packages)
    module.exit_json(
        changed=changed,
        release=release,
        version=version,
        obstacles=_kernel_release.obstacles(release, version, signed_only=False),
        packages=[
            {
                "name": package.name,
                "version": package.version,
                "path": str(entry / package.file),
                "sha256": package.sha256,
            }
            for package in packages
        ],
        plan=[f"download {len(packages)} packages of kernel {release}, {size >> 20} MiB"] if changed else [],
    )


if __name__ == "__main__":
    main()
