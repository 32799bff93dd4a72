# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.keys import NotServed, give
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT, restored
from emulated_configfs import ROOT
from lock_holders import another_holds
from nvmet_descriptions import KEYS

from _nvmet.test_converge import HOST, machine
from _nvmet.test_saved import OTHER, authenticated, key_files


def test_one_host_gets_other_keys_and_nothing_else_changes(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    before = state.load(COMPONENT, on.config_dir)
    told = give(HOST, {"dhchap_key": KEYS[1]}, check=True, machine=on)
    done = give(HOST, {"dhchap_key": KEYS[1]}, machine=on)
    assert [one.path for one in done.plan] == [f"{ROOT}/hosts/{HOST}/dhchap_key"]
    assert [one.line() for one in told.plan] == [one.line() for one in done.plan]
    assert KEYS[1] not in done.plan[0].line()
    after = state.load(COMPONENT, on.config_dir)
    assert {**after, "keys": before["keys"]} == before
    (file,) = key_files(on)
    assert json.loads(file.read_text()) == {"dhchap_key": KEYS[1]}
    assert not give(HOST, {"dhchap_key": KEYS[1]}, machine=on).changed
    # What the playbook describes is the same now.
    assert not converge(authenticated(dhchap_key=KEYS[1]), machine=on).changed


def test_a_first_key_for_a_host_that_is_only_allowed(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    give(OTHER, {"dhchap_key": KEYS[1], "dhchap_ctrl_key": KEYS[2]}, machine=on)
    description, unreadable = restored(state.load(COMPONENT, on.config_dir), on.config_dir)
    keys = {host["nqn"]: host["dhchap_key"] for host in description["hosts"]}
    assert (keys, unreadable) == ({HOST: KEYS[0], OTHER: KEYS[1]}, {})


def test_what_cannot_have_keys_is_told(tmp_path: Path) -> None:
    on = machine(tmp_path)
    with pytest.raises(NotServed, match=r"run targets\.yml first"):
        give(HOST, {"dhchap_key": KEYS[1]}, machine=on)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    with pytest.raises(NotServed, match=r"lets no host nqn.* in"):
        give("nqn.2026-11.org.example:nobody", {"dhchap_key": KEYS[1]}, machine=on)
    (file,) = key_files(on)
    file.chmod(0o644)
    with pytest.raises(NotServed, match="has mode 0644"):
        give(OTHER, {"dhchap_key": KEYS[1]}, machine=on)


def test_asking_tells_that_another_run_has_the_lock_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    monkeypatch.setattr(lock, "lock", functools.partial(lock.lock, timeout=0.0))
    done = len(on.kernel.performed)
    with another_holds(on.locks, "target"), pytest.raises(lock.Busy, match="has the lock of target"):
        give(HOST, {"dhchap_key": KEYS[1]}, check=True, machine=on)
    assert len(on.kernel.performed) == done
    assert give(HOST, {"dhchap_key": KEYS[1]}, check=True, machine=on).changed
