#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_kernel_trial
short_description: Install a kernel beside the running one, boot it once, and keep it when it is proven
description:
  - Arming a trial makes the running kernel the boot loader's default, installs the packages of another one beside it,
    and lets the loader boot that one at the next boot alone. The module itself never reboots.
  - A trial kernel that panics, hangs or is not kept in time leaves by itself, by C(panic=), a watchdog and the unit
    C(nvmeof-mptcp-kernel-trial.service), which has to be installed before a trial is armed. The next boot is the old
    kernel's.
  - GRUB and systemd-boot are known. Whatever stands in the way is looked up before anything is installed.
  - From then on the loader's default is the kernel that was proven last, not the newest one.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  release:
    description: Release of the kernel, as C(uname -r) prints it.
    type: str
    required: true
  state:
    description:
      - V(armed) installs the kernel and boots it next. A trial that the machine has come back from with the old kernel
        is an error, see M(nvmeof.mptcp.nvme_transport_info).
      - V(kept) makes the kernel, which has to be running, the default, and removes kernels that are too many.
      - V(ended) forgets the trial while another kernel runs. What was installed stays.
    type: str
    choices: [armed, kept, ended]
    required: true
  packages:
    description: The packages of the kernel, for O(state=armed). In check mode their files need not exist yet.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      version:
        description: Version of the package.
        type: str
        required: true
      path:
        description: Its file where it was made; the machine has one of the same name in O(folder).
        type: str
        required: true
      sha256:
        description: The file's hash. Another file is not installed.
        type: str
        required: true
  folder:
    description: Where the machine has the packages' files. They are removed once they are installed.
    type: path
    default: /var/cache
  timeout:
    description: Within how many seconds of its start the kernel has to be kept, for O(state=armed).
    type: int
    default: 600
  keep:
    description:
      - How many of the kernels that were installed on trial stay installed, the running one among them, for
        O(state=kept). Others of the machine are never removed, nor is the kernel that was proven last.
    type: int
    default: 2
seealso:
  - module: nvmeof.mptcp.nvme_kernel_download
  - module: nvmeof.mptcp.nvme_transport_info
"""

EXAMPLES = r"""
- name: Let the next boot try another kernel
  nvmeof.mptcp.nvme_kernel_trial:
    release: 7.3.4+deb13-cloud-amd64
    state: armed
    packages:
      - name: linux-image-7.3.4+deb13-cloud-amd64
        version: 7.3.4-1~bpo13+1
        path: /root/.cache/nvmeof-mptcp/linux-image.deb
        sha256: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
running:
  description: Release of the running kernel.
  returned: success
  type: str
loader:
  description: The boot loader; empty for one that is not known.
  returned: success
  type: str
  sample: GRUB
"""

import os
import pathlib
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.debs import DebError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import checks, steps
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import loader as _loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.steps import TrialError


def arm(module: AnsibleModule, loader: _loader.Loader | None, ledger: dict[str, t.Any]) -> list[str]:
    """Check everything, then install what is not installed and let the kernel boot next; what was done."""
    release, folder = module.params["release"], module.params["folder"]
    running, boot_id = os.uname().release, _trial_ledger.boot_id()
    stands = _trial_ledger.verdict(ledger["trial"], running, boot_id)
    if running == release:
        return []
    if stands == "failed":
        tried = ledger["trial"]["release"]
        raise TrialError(f"kernel {tried} was tried, and the machine came back with {running}: end that trial first")
    wanted = {package["name"]: package for package in module.params["packages"]}
    for name, package in wanted.items():
        checked("package", name, "name of a package")
        checked("version", package["version"], f"version of package {name}")
        checked("file name", os.path.basename(package["path"]), f"path of package {name}")
    before = {name: packages.installed_version(name) for name in wanted}
    files = {name: os.path.join(folder, os.path.basename(package["path"])) for name, package in wanted.items()}
    missing = {name: file for name, file in files.items() if before[name] != wanted[name]["version"]}
    # In check mode they need not be there yet.
    sources = [source for source in missing.values() if os.path.exists(source) or not module.check_mode]
    if not module.check_mode:
        verify(missing, wanted)
    obstacles = find_obstacles(release, running, loader, ledger, sources, complete=len(sources) == len(missing))
    if obstacles or loader is None:
        raise TrialError(f"kernel {release} cannot be tried on this machine: {'; '.join(obstacles)}")
    operations = [*loader.keep_default(running), *packages.install(list(missing.values()), "the kernel's packages")]
    lines = [operation.line() for operation in operations]
    if loader.next() != release or stands != "armed":
        lines.append(f"boot kernel {release} once, by {loader.name}; after that {running} again")
    if lines and not module.check_mode:
        trial = _trial_ledger.new_trial(release, running, module.params["timeout"])
        new = [name for name in missing if not before[name]]
        steps.arm(loader, ledger, trial, missing, new, boot_id)
    if not module.check_mode:
        for file in filter(os.path.exists, files.values()):
            os.unlink(file)
    return lines


def verify(files: t.Mapping[str, str], wanted: t.Mapping[str, t.Mapping[str, str]]) -> None:
    """Raises OSError for a package's file that is not the one that was built or downloaded."""
    for name, file in files.items():
        cache.check_hash(pathlib.Path(file), wanted[name]["sha256"])


def find_obstacles(
    release: str,
    running: str,
    loader: _loader.Loader | None,
    ledger: dict[str, t.Any],
    sources: list[str],
    complete: bool,
) -> list[str]:
    """Everything that stands in the way. complete: whether all that is to be installed can be looked at."""
    found = checks.machine(loader, running, ledger["trial"])
    debs, image = checks.read_all(sources)
    if complete:
        found += checks.packages(release, debs, image, checks.architecture())
    folders = loader.folders() if loader else []
    found += checks.space(release, debs, image, checks.ram_disk(running), folders, checks.free)
    if sources and not found:
        found += checks.installation((*packages.INSTALL, *sources))
    return found


def keep(module: AnsibleModule, loader: _loader.Loader | None, ledger: dict[str, t.Any]) -> list[str]:
    """Keep the running kernel; what was done."""
    release, running = module.params["release"], os.uname().release
    if release != running:
        raise TrialError(f"kernel {release} does not run, {running} does: only a running kernel is kept")
    if loader is None:
        raise TrialError(f"kernel {release} cannot be made the default: {_loader.UNKNOWN}")
    return steps.keep(loader, ledger, release, module.params["keep"], not module.check_mode)


def end(module: AnsibleModule, loader: _loader.Loader | None, ledger: dict[str, t.Any]) -> list[str]:
    """Forget a trial; what was done."""
    trial = ledger["trial"]
    if trial is not None and trial["release"] == os.uname().release:
        if trial.get("kept"):
            # It stays; the next run does what is left to do for that.
            return []
        raise TrialError(f"kernel {trial['release']} is running on trial: boot the old one, then end the trial")
    return steps.end(loader, ledger, not module.check_mode)


STEPS = {"armed": arm, "kept": keep, "ended": end}


def main() -> None:
    package = {
        "name": {"type": "str", "required": True},
        "version": {"type": "str", "required": True},
        "path": {"type": "str", "required": True},
        "sha256": {"type": "str", "required": True},
    }
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["armed", "kept", "ended"], "required": True},
            "packages": {"type": "list", "elements": "dict", "default": [], "options": package},
            "folder": {"type": "path", "default": "/var/cache"},
            "timeout": {"type": "int", "default": 600},
            "keep": {"type": "int", "default": 2},
        },
        supports_check_mode=True,
    )
    damaged: list[str] = []
    try:
        checked("kernel release", module.params["release"], "release")
        with lock.lock("kernel"), state.mending(damaged.append):
            loader, ledger = _loader.find(), _trial_ledger.read()
            lines = STEPS[module.params["state"]](module, loader, ledger)
            if damaged:
                lines.append("write the record of trials anew")
                if not module.check_mode:
                    _trial_ledger.write(_trial_ledger.read())
    except (TrialError, DebError, Refused, _operation.Refused, lock.Busy, state.Damaged, OSError) as error:
        module.fail_json(msg=str(error))
    for line in damaged:
        module.warn(line)
    module.exit_json(
        changed=bool(lines),
        plan=lines,
        running=os.uname().release,
        loader=loader.name if loader else "",
        diff={"before": "", "after": "".join(f"{line}\n" for line in lines)},
    )


if __name__ == "__main__":
    main()
