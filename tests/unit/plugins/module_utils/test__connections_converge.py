# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import collections
import errno
import functools
import json
import os
import shutil
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _connections_converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _host_identity, _nvme_connect, _nvme_sysfs, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._connections_plan import Invalid

CONNECTION = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": nvme_tree.NQN}
SECRET = "DHHC-1:00:bm90IGEgcmVhbCBrZXkgYXQgYWxs:"
CONVERGE = converging.converge


class Kernel:
    """The driver's side: a write to the fabrics device makes a controller in the emulated sysfs, or is refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refuse: dict[str, int] = {}
        self.asked: list[str] = []

    def connect(self, options: str) -> str:
        self.asked.append(options)
        given = dict(word.partition("=")[::2] for word in options.split(","))
        code = self.refuse.get(given["traddr"])
        if code:
            raise _nvme_connect.ConnectFailed(code, "no.", code not in _nvme_connect.TRANSIENT)
        number = (
            len(list((self.root / "sys/class/nvme").glob("nvme*"))) if (self.root / "sys/class/nvme").exists() else 0
        )
        if not (self.root / "sys/class/nvme-subsystem").exists():
            nvme_tree.subsystem(self.root)
        nvme_tree.controller(
            self.root,
            number,
            address=f"traddr={given['traddr']},trsvcid={given['trsvcid']}",
            hostnqn=given["hostnqn"],
            hostid=given["hostid"],
        )
        return f"nvme{number}"

    def write(self, operation) -> None:
        path = self.root / operation.path.lstrip("/")
        assert path.exists() or path.name == "delete_controller", path
        if path.name == "delete_controller":
            shutil.rmtree(path.parent)
        else:
            path.write_text(operation.value + "\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """This machine is below tmp_path: its sysfs, its /etc and what we keep."""
    root = str(tmp_path)
    found = Kernel(tmp_path)
    monkeypatch.setattr(converging, "read", functools.partial(_nvme_sysfs.read, root))
    monkeypatch.setattr(converging, "users", lambda device: [])
    monkeypatch.setattr(converging, "_loaded", lambda module: True)
    monkeypatch.setattr(converging, "perform_other", found.write)
    monkeypatch.setattr(_host_identity, "find", functools.partial(_host_identity.find, root))
    monkeypatch.setattr(_host_identity, "write", functools.partial(_host_identity.write, root=root))
    for keeps in (_state.load, _state.save, _state.would_save):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "etc"),))
    for keeps in (_state.owned, _state.own):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "own"),))
    monkeypatch.setattr(_state, "lock", functools.partial(_state.lock, os.path.join(root, "lock")))
    return found


def description(*connections: dict, **more: object) -> dict:
    return {"connections": list(connections) or [CONNECTION], "hostnqn": nvme_tree.HOSTNQN, **more}


def run(kernel: Kernel, described: dict, check: bool = False) -> converging.Outcome:
    return CONVERGE(lambda: described, check, 0.0, functools.partial(_nvme_connect.Connector, ask=kernel.connect))


def state(root: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(root.rglob("*")) if path.is_file() and path.name != "lock"}


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
        shown = converging.dump(outcome.before) + converging.dump(outcome.after)
        shown += "".join(operation.line() for operation in outcome.operations)
        assert SECRET not in shown
        assert "********" in shown
    assert f"dhchap_secret={SECRET}" in kernel.asked[0]
    assert os.stat(tmp_path / "etc/host.json").st_mode & 0o777 == 0o600


def test_boot_goes_on_until_every_connection_is_made(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    saved = _state.load("host")
    shutil.rmtree(kernel.root / "sys")
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]
        if len(slept) == 6:
            kernel.refuse.clear()

    class Events:
        """A controller goes once; the second wait ends the test."""

        waits = 0

        def wait_removed(self) -> str:
            assert len(converging.look().controllers) == 2
            self.waits += 1
            if self.waits == 2:
                raise KeyboardInterrupt
            shutil.rmtree(kernel.root / "sys/class/nvme/nvme1")
            return "nvme1"

    monkeypatch.setattr(converging.time, "sleep", sleep)
    monkeypatch.setattr(converging, "Uevents", Events)
    monkeypatch.setattr(converging, "converge", lambda described, timeout: run(kernel, described()))
    told: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        collections.deque(map(told.append, converging.boot(saved)))
    assert slept == [2.0, 3.0, 4.5, 6.75, 10.0, 10.0]
    assert sum(line.startswith("waiting: mptcp 192.0.2.2:4420") for line in told) == 1
    assert told.count("2 connection(s) as described") == 2
    assert told.count("nvme1 was removed") == 1


def test_a_disruption_is_allowed_for_one_run(kernel: Kernel) -> None:
    run(kernel, description(allow_disruption=[nvme_tree.NQN]))
    assert "allow_disruption" not in json.dumps(_state.load("host"))
