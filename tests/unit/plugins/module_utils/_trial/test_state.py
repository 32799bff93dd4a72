# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel that boots next, and a trial that is not judged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state as _transport_state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import state as _trial_state

RUNNING, OTHER = os.uname().release, "7.3.4+deb13-amd64"


class Loader:
    def __init__(self, default: str) -> None:
        self._default = default

    def default(self) -> str:
        if self._default == "broken":
            raise OSError("bootctl list: no EFI system partition")
        return self._default


def boots_next(
    monkeypatch: pytest.MonkeyPatch, default: str, aliases: tuple[str, ...] = (), stale: bool = False
) -> Any:
    def read_file(name: str, release: str) -> modules.Module:
        assert release == (default or RUNNING)
        return modules.Module(name, f"/{name}.ko", "", "id", aliases, "")

    monkeypatch.setattr(modules, "read_file", read_file)
    monkeypatch.setattr(_transport_state, "kernel_version", lambda release: "7.3.4-1")
    return _trial_state.next_kernel(Loader(default), stale)


@pytest.mark.parametrize("default", [RUNNING, "", "broken"])
def test_nothing_to_say_where_the_running_kernel_boots_or_nobody_knows(
    monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    assert boots_next(monkeypatch, default) is None


def test_a_kernel_that_boots_next_is_judged_by_its_own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = boots_next(monkeypatch, OTHER)
    assert (lacks["release"], lacks["version"], lacks["offers"]) == (OTHER, "7.3.4-1", False)
    assert boots_next(monkeypatch, OTHER, ("nvmet-transport-4",))["offers"]


@pytest.mark.parametrize("default", [RUNNING, ""])
def test_the_running_kernel_boots_without_the_modules_that_were_removed_from_its_disk(
    monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    found = boots_next(monkeypatch, default, stale=True)
    assert (found["release"], found["offers"]) == (RUNNING, False)
    assert boots_next(monkeypatch, default, ("nvmet-transport-4",), stale=True)["offers"]


@pytest.mark.parametrize(
    ("release", "boot", "verdict"),
    [(RUNNING, "an earlier boot", "running"), (OTHER, "an earlier boot", "failed"), (OTHER, "", None)],
)
def test_a_trial_that_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, boot: str, verdict: str | None
) -> None:
    monkeypatch.setattr(ledger.read, "__defaults__", (str(tmp_path),))
    assert _trial_state.trial() is None
    trial = {**ledger.new_trial(release, "old", 600), "boot": boot, "guard": "not kept in time"}
    ledger.write({"trial": trial, "proven": [], "installed": {}}, str(tmp_path))
    found = _trial_state.trial()
    assert (found and found["verdict"]) == verdict
    if found:
        assert ("not kept in time" in found["seen"]) == (verdict == "failed")
