# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""See the documentation of the module of the same name."""

from __future__ import annotations

import pathlib
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import controller
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import BOOTS, DIRECT
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError


class ActionModule(ActionBase):
    """Check the controller; change nothing."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the task."""
        result = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "lab_dir": {"type": "path", "required": True},
                "cache_dir": {"type": "path", "required": True},
                "boot": {"type": "list", "elements": "str", "choices": list(BOOTS), "default": [DIRECT]},
            }
        )
        try:
            controller.check_here()
            controller.check_spaces(pathlib.Path(arguments["cache_dir"]), pathlib.Path(arguments["lab_dir"]))
        except LabError as error:
            raise AnsibleActionFail(str(error)) from None
        missing = controller.missing_packages(arguments["boot"])
        return {**result, "changed": False, "missing_packages": missing}
