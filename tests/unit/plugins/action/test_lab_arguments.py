# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action of the lab accepts exactly what the module of the same name documents."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml
from ansible.plugins.action import ActionBase

PLUGINS = "ansible_collections.nvmeof.mptcp.plugins"


class Stop(Exception):
    """Raised in place of running the action."""


def reduced(options: dict[str, Any], nested: str) -> dict[str, Any]:
    keys = ("type", "elements", "required", "default", "choices")
    return {
        name: {
            **{key: option[key] for key in keys if key in option},
            "options": reduced(option.get(nested, {}), nested),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("name", ["lab_controller", "lab_image", "lab_machines"])
def test_action_accepts_what_its_module_documents(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    caught: dict[str, Any] = {}

    def remember(self: ActionBase, argument_spec: dict[str, Any], **_: Any) -> None:
        caught.update(argument_spec)
        raise Stop

    monkeypatch.setattr(ActionBase, "validate_argument_spec", remember)
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    module = importlib.import_module(f"{PLUGINS}.action.{name}")
    with pytest.raises(Stop):
        object.__new__(module.ActionModule).run()
    documented = yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{name}").DOCUMENTATION)["options"]
    assert reduced(caught, "options") == reduced(documented, "suboptions")
