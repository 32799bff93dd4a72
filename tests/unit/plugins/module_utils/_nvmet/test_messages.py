# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads: of a run that costs the hosts something, of one that must wait, and of secrets nothing."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge as _nvmet_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Disruptive, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse
from ansible_collections.nvmeof.mptcp.plugins.modules import nvmet_config
from nvmet_descriptions import KEYS

from _nvmet.test_converge import CONNECTED, HOST, VOL, machine, simple

NEW = VOL.replace("vol0", "renamed")


def renamed() -> dict:
    (port,) = simple()["ports"]
    return {"subsystems": [{**simple()["subsystems"][0], "nqn": NEW}], "ports": [{**port, "subsystems": [NEW]}]}


def test_a_renamed_subsystem_is_allowed_by_the_nqn_that_it_has(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED]
    for allowed in ([], [NEW]):
        with pytest.raises(Disruptive, match=f"Stop the use, or list {VOL} in allow_disruption$"):
            converge(renamed(), machine=on, allow_disruption=allowed)
    assert converge(renamed(), machine=on, allow_disruption=[VOL]).changed


@pytest.mark.parametrize(("allowed", "refused"), [([], True), ([NEW], True), ([VOL], False)])
def test_check_mode_tells_the_cost_and_what_a_run_would_refuse(
    tmp_path: Path, monkeypatch, allowed: list, refused: bool
) -> None:
    on, out = machine(tmp_path), io.StringIO()
    converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED]
    before = len(on.kernel.performed)
    monkeypatch.setattr(_nvmet_converge, "Machine", lambda: on)
    warnings: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda self, warning: warnings.append(warning))
    args = {**renamed(), "allow_disruption": allowed, "_ansible_check_mode": True}
    with patch_module_args(args), redirect_stdout(out), pytest.raises(SystemExit):
        nvmet_config.main()
    found = json.loads(out.getvalue())
    assert [one["subsystem"] for one in found["disconnects"]] == [VOL]
    (warning,) = warnings
    assert warning.startswith(f"subsystem {VOL} is in use by 10.10.0.101 and this drops every controller on port 1")
    assert (f"A run refuses that: stop the use, or list {VOL} in allow_disruption" in warning) == refused
    assert len(on.kernel.performed) == before


def test_no_object_shows_a_key_by_its_fields(tmp_path: Path) -> None:
    on = machine(tmp_path)
    keys = {"dhchap_key": KEYS[0], "dhchap_ctrl_key": KEYS[1]}
    description = {**simple(), "hosts": [{"nqn": HOST, **keys}]}
    results = [converge(description, machine=on), converge(description, machine=on)]
    assert results[1].before.objects[f"hosts/{HOST}"].attributes["dhchap_key"] == KEYS[0]
    shown = "".join(f"{one!r} {one} {one.before!r} {one.after!r}" for one in results) + repr(parse(description))
    assert "A1" in shown
    assert "'dhchap_key': '********'" in shown
    assert not [key for key in KEYS if key[8:] in shown]
