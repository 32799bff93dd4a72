#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_kernel_build
short_description: Build a Linux kernel from source, as a Debian package
description:
  - Takes a commit of a git repository, an archive or a folder, applies patches, configures and compiles it in a
    Debian 13 chroot (C(make bindeb-pkg)), and keeps the package C(linux-image-<release>).
  - The release ends in a hash of everything that the kernel is made of. The package records the same in
    C(/lib/modules/<release>/nvmeof-mptcp.json), and the nvme modules in a field C(nvmeof_mptcp) that C(modinfo) shows.
  - Runs on a build host, as root, with C(mmdebstrap), a Debian mirror, and C(git) for a repository. A kernel with
    Debian's configuration takes hours of a processor, one for a known machine ten minutes.
  - Packages are kept under the hash of what made them, so the same input is not compiled twice; of other input the
    compiler's cache answers for what did not change. Parallel runs for one kernel wait for the first and use its
    package.
  - In check mode a ref is looked up and a local archive or folder is read, but nothing is downloaded, and a signature
    is not looked at.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
  - nvmeof.mptcp._build
attributes:
  diff_mode:
    support: none
options:
  source:
    description: Where the source comes from, one of O(source.git), O(source.tarball) and O(source.tree).
    type: dict
    required: true
    suboptions:
      git:
        description:
          - URL of a git repository (C(https://), C(http://), C(ssh://), C(git://), C(file://)) or its absolute path. No
            configuration of git on the build host is read.
        type: str
      ref:
        description: Tag, branch or full name of a commit in O(source.git).
        type: str
      commit:
        description:
          - The commit that O(source.ref) has to stand for; anything else is an error. A tag or branch without it and
            without O(source.signed_by) is refused, also in check mode; the error has the command that prints it.
        type: str
      signed_by:
        description:
          - Public keys, as C(gpg --export --armor) prints them. O(source.ref) has to be a tag that one of them signed.
        type: str
      tarball:
        description: URL of an archive, or its path on the build host. What it holds is in one folder.
        type: str
      sha256:
        description: Hash of O(source.tarball).
        type: str
      tree:
        description: Path of a folder on the build host. It is copied, and not changed.
        type: path
  patches:
    description: Patches in the order in which they are applied, for C(patch -p1), without fuzz.
    type: list
    elements: dict
    default: []
    suboptions: &text
      name:
        description: What an error calls it.
        type: str
        required: true
      text:
        description: Its text.
        type: str
        required: true
  config_base:
    description:
      - A target of the source's C(make), for example V(x86_64_defconfig) or V(tinyconfig), or the text of a
        configuration.
      - A line of it is C(CONFIG_NAME=) with V(y), V(m), V(n), a number or a text in double quotes, or a comment. A
        text that make or a shell would act upon, one with C($), C(`), C(;) and the like, is refused.
    type: str
    required: true
  config_fragments:
    description:
      - Lines C(CONFIG_NAME=value) that are added to the base, in order; a later one overrides an earlier one. Each has
        to have its value afterwards. What may be in a line is said at O(config_base).
    type: list
    elements: dict
    default: []
    suboptions: *text
  architecture:
    description: Architecture of the machines that the kernel is for, as C(uname -m) prints it.
    type: str
    default: x86_64
"""

EXAMPLES = r"""
- name: Build a tag with the configuration of this machine's kernel, on the controller
  nvmeof.mptcp.nvme_kernel_build:
    source:
      git: https://git.example.org/linux.git
      ref: v7.3.4
      commit: 0123456789abcdef0123456789abcdef01234567
    patches:
      - name: nvme-mptcp.patch
        text: "{{ lookup('ansible.builtin.file', 'patches/nvme-mptcp.patch', rstrip=false) }}"
    config_base: x86_64_defconfig
    config_fragments:
      - name: transport
        text: CONFIG_MPTCP=y
  delegate_to: localhost
"""

RETURN = r"""
present:
  description: Whether the kernel's package exists.
  returned: success
  type: bool
release:
  description:
    - The kernel's release. In check mode, when it is not built yet, C(<version>) stands for what the source decides.
  returned: success
  type: str
  sample: 7.3.4-mptcp.4f1c9a3e
localversion:
  description: The end of the release, a hash of everything that the kernel is made of.
  returned: success
  type: str
  sample: -mptcp.4f1c9a3e
packages:
  description: What a machine installs, each with C(name), C(version), C(path) on the build host and C(sha256).
  returned: success
  type: list
  elements: dict
record:
  description: What the kernel was made of, with source, patches, hash of the configuration, and compiler.
  returned: success
  type: dict
log:
  description: File on the build host that the build prints to while it runs.
  returned: success
  type: str
plan:
  description: What was done, or would be done in check mode, with an estimate.
  returned: success
  type: list
  elements: str
"""

import os
import pathlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import git, kernel_package, mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import source as _kernel_source
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, shown

_SUPPORTED = "x86_64"


def download(url: str, target: pathlib.Path) -> None:
    try:
        with open_url(url, timeout=60, http_agent="nvmeof-mptcp") as response, open(target, "wb") as stream:
            for block in iter(lambda: response.read(1 << 20), b""):
                stream.write(block)
    except OSError as error:
        raise BuildError(f"{git.shown(url)} cannot be downloaded: {error}") from None


def texts(given: t.Sequence[t.Mapping[str, str]]) -> list[Text]:
    return [Text(one["name"], one["text"]) for one in given]


def obstacle(architecture: str, here: str) -> str:
    """Why this machine cannot build for that architecture; empty when it can."""
    if architecture != _SUPPORTED:
        return f"a kernel for {shown(architecture)} cannot be built: method source is made for {_SUPPORTED} alone"
    if here != architecture:
        return f"the build host is {here}: a kernel for {architecture} is built on a machine of that architecture"
    return ""


def main() -> None:
    text = {"name": {"type": "str", "required": True}, "text": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            "source": {
                "type": "dict",
                "required": True,
                "options": {
                    "git": {"type": "str"},
                    "ref": {"type": "str"},
                    "commit": {"type": "str"},
                    "signed_by": {"type": "str"},
                    "tarball": {"type": "str"},
                    "sha256": {"type": "str"},
                    "tree": {"type": "path"},
                },
                "required_one_of": [["git", "tarball", "tree"]],
                "mutually_exclusive": [["git", "tarball", "tree"]],
                "required_by": {"git": ["ref"], "tarball": ["sha256"]},
            },
            "patches": {"type": "list", "elements": "dict", "default": [], "options": text},
            "config_base": {"type": "str", "required": True},
            "config_fragments": {"type": "list", "elements": "dict", "default": [], "options": text},
            "architecture": {"type": "str", "default": "x86_64"},
            **mmdebstrap.ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(**run(module))
    except (BuildError, Refused, mmdebstrap.MmdebstrapError, OSError) as error:
        module.fail_json(msg=f"the kernel was not built: {error}")


def run(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    reason = obstacle(given["architecture"], os.uname().machine)
    if reason:
        raise BuildError(reason)
    cache = pathlib.Path(given["cache_dir"])
    _cache.check_owner(cache)
    wanted = {name: value for name, value in given["source"].items() if value}
    source = _kernel_source.find(wanted, cache, download, look_only=module.check_mode)
    patches, fragments = texts(given["patches"]), texts(given["config_fragments"])
    kernel = kernel_package.describe(cache, source, patches, given["config_base"], fragments)
    built, plan = kernel.built(), []
    if built is None:
        minutes = kernel_package.minutes(kernel.base, fragments, os.cpu_count() or 1)
        plan = [f"build {source.identity}: {minutes} minutes or less on this machine, see it grow in {kernel.log}"]
        if not module.check_mode:
            mmdebstrap.check_prerequisites()
            mirror = given["mirror"] or mmdebstrap.find_mirror("nvme_kernel_mirror")
            kernel_package.ensure(kernel, cache, mirror, module.debug)
            built = kernel.built()
    return {
        "changed": bool(plan),
        "present": built is not None,
        "localversion": kernel.localversion,
        "log": str(kernel.log),
        "plan": plan,
        **(built or {"release": "<version>" + kernel.localversion, "packages": [], "record": {}}),
    }


if __name__ == "__main__":
    main()
