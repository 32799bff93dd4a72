# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See the documentation of the module of the same name."""

from __future__ import annotations

import pathlib
import typing as t
from dataclasses import asdict

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.mmdebstrap import MmdebstrapError, find_mirror
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.archive import resolve_kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import BOOTS, DIRECT
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.image import ensure_images
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress


class ActionModule(ActionBase):
    """Build the image on the controller; an action, so that its progress is seen while it runs."""

    _requires_connection = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the task."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "cache_dir": {"type": "path", "required": True},
                "packages": {"type": "list", "elements": "str", "required": True},
                "mirror": {"type": "str"},
                "kernel_series": {"type": "str", "default": "newest"},
                "boot": {"type": "list", "elements": "str", "choices": list(BOOTS), "default": [DIRECT]},
            }
        )
        progress = Progress(Display().display)
        cache = pathlib.Path(arguments["cache_dir"])
        try:
            mirror = arguments["mirror"] or find_mirror("lab_mirror")
            kernel = resolve_kernel(mirror.rstrip("/"), cache, arguments["kernel_series"], progress)
            folders, built = ensure_images(
                cache, mirror.rstrip("/"), kernel, arguments["packages"], arguments["boot"], progress
            )
        except (LabError, MmdebstrapError) as error:
            raise AnsibleActionFail(str(error)) from None
        names = ", ".join(dict.fromkeys(folder.name for folder in folders.values()))
        progress.say(f"image {names}, Linux {kernel.release} ({kernel.package} {kernel.version})")
        paths = {boot: str(folder) for boot, folder in folders.items()}
        return {**result, "changed": built, "paths": paths, "kernel": asdict(kernel), "mirror": mirror}
