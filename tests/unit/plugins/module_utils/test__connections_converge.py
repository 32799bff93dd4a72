# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _connections_converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_shape import dump
from emulated_fabrics import CONNECTION, Kernel, description, run, state

SECRET = "DHHC-1:00:bm90IGEgcmVhbCBrZXkgYXQgYWxs:"


def test_connect_again_and_disconnect(kernel: Kernel, tmp_path: Path) -> None:
    first = run(kernel, description(iopolicy="queue-depth"))
    lines = [operation.line() for operation in first.operations]
    assert [line.rpartition("> ")[2] for line in lines] == [
        "/etc/nvme/hostnqn",
        "/etc/nvme/hostid",
        "/dev/nvme-fabrics",
        "/sys/class/nvme-subsystem/nvme-subsys0/iopolicy",
    ]
    assert first.changed
    assert first.before["connections"] == {}
    assert next(iter(first.after["connections"].values()))["iopolicy"] == "queue-depth"
    again = run(kernel, description(iopolicy="queue-depth"))
    assert (again.changed, again.operations) == (False, [])
    assert again.before == again.after
    gone = run(kernel, {**description(), "connections": []})
    assert gone.disconnects == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]
    assert _state.owned("host") == []


def test_check_mode_writes_nothing_and_says_what_a_run_does(kernel: Kernel, tmp_path: Path) -> None:
    before = state(tmp_path)
    told = run(kernel, description(), check=True)
    assert state(tmp_path) == before
    assert not (tmp_path / "lock").exists()
    done = run(kernel, description())
    assert [one.line() for one in told.operations] == [one.line() for one in done.operations]
    assert told.changed


def test_what_fails_is_named_the_others_are_made_and_nothing_is_saved(kernel: Kernel) -> None:
    kernel.refuse["192.0.2.2"] = errno.ECONNREFUSED
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, description({**CONNECTION, "traddr": "192.0.2.2"}, CONNECTION))
    (error,) = caught.value.errors
    assert error.startswith("mptcp 192.0.2.2:4420")
    assert [one.name for one in converging.look().controllers] == ["nvme0"]
    assert _state.load("host") is None
    # What was made is ours, although the run failed.
    assert f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}" in _state.owned("host")


def test_bad_input_leaves_everything_as_it_is(kernel: Kernel, tmp_path: Path) -> None:
    before = state(tmp_path)
    with pytest.raises(Invalid, match="tls is True"):
        run(kernel, description({**CONNECTION, "tls": True}))
    assert state(tmp_path) == before
    assert kernel.asked == []


def test_secrets_are_in_no_line_and_no_diff(kernel: Kernel, tmp_path: Path) -> None:
    told = run(kernel, description({**CONNECTION, "dhchap_secret": SECRET}), check=True)
    done = run(kernel, description({**CONNECTION, "dhchap_secret": SECRET}))
    for outcome in (told, done):
        shown = dump(outcome.before) + dump(outcome.after)
        shown += "".join(operation.line() for operation in outcome.operations)
        assert SECRET not in shown
        assert "********" in shown
    assert f"dhchap_secret={SECRET}" in kernel.asked[0]
    assert os.stat(tmp_path / "etc/host.json").st_mode & 0o777 == 0o600


def test_a_disruption_is_allowed_for_one_run(kernel: Kernel) -> None:
    run(kernel, description(allow_disruption=[nvme_tree.NQN]))
    assert "allow_disruption" not in json.dumps(_state.load("host"))
