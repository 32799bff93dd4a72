# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""See the documentation of the module of the same name."""

from __future__ import annotations

import base64
import typing as t
import zlib

from ansible.plugins.action import ActionBase
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._program import build


class ActionModule(ActionBase):
    """Make the program on the controller, which compiles the sources once and not in every task of every node."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the task."""
        result = super().run(tmp, task_vars)
        program = base64.b64encode(zlib.compress(build(), 9)).decode()
        answer = self._execute_module(module_args={**self._task.args, "program": program}, task_vars=task_vars)
        # Nobody wants to see the program again in a log.
        answer.pop("invocation", None)
        return {**result, **answer}
