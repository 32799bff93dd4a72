# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See the documentation of the module of the same name."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import accelerator as _lab_accelerator
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import machines
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.controller import check_memory
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import BOOTS, DIRECT, define
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import Boot
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.snapshot import Image

_ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "lab_dir": {"type": "path", "required": True},
    "cache_dir": {"type": "path"},
    "images": {"type": "dict"},
    "machines": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "number": {"type": "int", "required": True},
            "memory": {"type": "int", "default": 1280},
            "cpus": {"type": "int", "default": 2},
            "boot": {"type": "str", "choices": list(BOOTS), "default": DIRECT},
            "networks": {"type": "list", "elements": "str"},
            "disks": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "serial": {"type": "str", "required": True},
                    "size": {"type": "str", "required": True},
                },
            },
        },
    },
    "networks": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "cidr": {"type": "str", "required": True},
            "rate": {"type": "str"},
            "mtu": {"type": "int"},
        },
    },
}


class ActionModule(ActionBase):
    """Start and end the machines on the controller; an action, so that its progress is seen while it runs."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the task."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec=_ARGUMENTS,
            required_if=[("state", "present", ("machines", "networks"))],
        )
        progress = Progress(Display().display)
        # Machines are recognised by their folder, so its one true name is used.
        folder = pathlib.Path(arguments["lab_dir"]).resolve()
        try:
            if self._task.check_mode:
                if arguments["state"] == "absent":
                    return {**result, "changed": False}
                lab = define(arguments["machines"], arguments["networks"])
                return {**result, "changed": False, "boot": lab.boots()}
            if arguments["state"] == "absent":
                return {**result, "changed": machines.absent(folder, progress)}
            changed = _present(folder, arguments, progress)
        except LabError as error:
            raise AnsibleActionFail(str(error)) from None
        progress.say("{} machines are up; ssh -F {}/ssh_config".format(len(arguments["machines"]), folder))
        return {**result, "changed": changed, "ssh_config": str(folder / "ssh_config")}


def _present(folder: pathlib.Path, arguments: dict[str, t.Any], progress: Progress) -> bool:
    lab = define(arguments["machines"], arguments["networks"])
    for name in ("images", "cache_dir"):
        if not arguments[name]:
            raise LabError(f"{name} is missing: the machines start from an image, and snapshots are kept in the cache")
    cache = pathlib.Path(arguments["cache_dir"]).resolve()
    folders = {boot: _image_folder(arguments["images"], boot) for boot in lab.boots()}
    accelerator = _lab_accelerator.choose(cache, next(iter(folders.values())) / "vmlinuz", progress)
    images = {boot: Image(path, _boot(path, boot, accelerator)) for boot, path in folders.items()}
    if machines.read_record(folder) is None:
        meminfo = pathlib.Path("/proc/meminfo").read_text(encoding="utf-8")
        check_memory(sum(machine.memory for machine in lab.machines), meminfo)
    return machines.present(folder, cache, lab, images, progress)


def _image_folder(images: dict[str, str], boot: str) -> pathlib.Path:
    if boot not in images:
        raise LabError(f"images has none for machines with boot {boot}: give lab_image the same list of boot")
    path = pathlib.Path(images[boot])
    if not (path / "image.json").exists():
        raise LabError(f"image {path} is no lab image: take the paths that lab_image returns")
    return path


def _boot(image: pathlib.Path, boot: str, accelerator: str) -> Boot:
    if boot == DIRECT:
        return Boot(accelerator, kernel=str(image / "vmlinuz"), initrd=str(image / "initrd"))
    return Boot(accelerator, firmware=str(image / "code.fd"))
