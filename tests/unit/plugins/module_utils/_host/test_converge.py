# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import argparse
import base64
import errno
import json
import os
import re
import shutil
import threading
import zlib
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import apply, diff
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect as _nvme_connect
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import round as _connections_round
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as _connections_saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
from emulated_fabrics import CONNECTION, SECRET, Kernel, description, discovering, entry, run, state

WHO = f",hostnqn={nvme_tree.HOSTNQN},hostid={nvme_tree.HOSTID}"


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
    assert _state.owned(COMPONENT) == []


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
    assert _state.load(COMPONENT) is None
    # What was made is ours, although the run failed.
    assert f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}" in _state.owned(COMPONENT)


BAD = {
    "tls is True": {"tls": True},
    "'kato' is no option": {"kato": 5},
    "checksum is wrong": {"dhchap_secret": SECRET.replace("bm90", "bm91")},
    "'nowhere.example.org' cannot be resolved": {"traddr": "nowhere.example.org"},
}


@pytest.mark.parametrize(("message", "changed"), BAD.items())
def test_what_is_wrong_is_told_the_others_are_made_and_nothing_is_lost(
    kernel: Kernel, message: str, changed: dict
) -> None:
    run(kernel, description({**CONNECTION, "traddr": "192.0.2.9"}))
    described = description({**CONNECTION, **changed}, {**CONNECTION, "traddr": "192.0.2.2"}, prune="all")
    before = state(kernel.root)
    with pytest.raises(converging.NotConverged, match=re.escape(message)):
        run(kernel, described, check=True)
    assert state(kernel.root) == before
    with pytest.raises(converging.NotConverged, match=re.escape(message)) as caught:
        run(kernel, described)
    assert len(caught.value.errors) == 1
    assert "connections[0]" in caught.value.errors[0]
    # It is not known which controller the wrong one was to be, so none is pruned.
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.9", "192.0.2.2"]


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (errno.EIO, 'Connect Invalid Data Parameter, subsysnqn "vol7"', "serves no such subsystem"),
        (errno.ECONNREFUSED, "", "nothing listens there"),
        (errno.EIO, "Connect for subsystem vol0 is not allowed, hostnqn: h", "does not allow this host"),
        (errno.EKEYREJECTED, "qid 0: authentication failed, error -129", "dhchap_secret must be the dhchap_key"),
        (errno.ENOKEY, "qid 0: no key", "wants authentication and this connection has no dhchap_secret"),
    ],
)
def test_a_refusal_has_the_kernel_s_reason_and_the_others_are_made(
    kernel: Kernel, code: int, log: str, words: str
) -> None:
    real = kernel.connect

    def connect(options: str) -> str:
        if "traddr=192.0.2.1," in options:
            raise _nvme_connect._failed(OSError(code, "x"), [f"nvme nvme0: {log}"] if log else [])
        return real(options)

    kernel.connect = connect
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    (error,) = caught.value.errors
    assert error.startswith(f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}: {errno.errorcode[code]} ")
    assert words in error
    assert log in error
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.2"]


def test_secrets_are_in_no_line_and_no_diff(kernel: Kernel, tmp_path: Path) -> None:
    told = run(kernel, description({**CONNECTION, "dhchap_secret": SECRET}), check=True)
    done = run(kernel, description({**CONNECTION, "dhchap_secret": SECRET}))
    for outcome in (told, done):
        shown = diff.dump(outcome.before) + diff.dump(outcome.after)
        shown += "".join(operation.line() for operation in outcome.operations)
        assert SECRET not in shown
        assert "********" in shown
    assert f"dhchap_secret={SECRET}" in kernel.asked[0]
    saved = (tmp_path / "etc/host.json").read_text()
    assert "DHHC-1" not in saved
    (key,) = (tmp_path / "etc/keys/host").iterdir()
    assert SECRET in key.read_text()
    assert {os.stat(path).st_mode & 0o777 for path in (key, tmp_path / "etc/host.json")} == {0o600}
    assert os.stat(tmp_path / "sys/class/nvme/nvme0/dhchap_secret").st_mode & 0o777 == 0o600


def secret(number: int) -> str:
    key = bytes([number]) * 32
    return f"DHHC-1:01:{base64.b64encode(key + zlib.crc32(key).to_bytes(4, 'little')).decode()}:"


def with_secret(number: int, *targets: int, **more: object) -> dict:
    return description(
        *({**CONNECTION, "traddr": f"192.0.2.{target}", "dhchap_secret": secret(number), **more} for target in targets)
    )


def test_another_secret_is_written_into_live_controllers_one_after_the_other(kernel: Kernel, tmp_path: Path) -> None:
    run(kernel, with_secret(1, 1, 2))
    assert not run(kernel, with_secret(1, 1, 2)).changed
    told = run(kernel, with_secret(2, 1, 2), check=True)
    done = run(kernel, with_secret(2, 1, 2))
    lines = [operation.line() for operation in done.operations]
    assert lines == [f"printf %s '********' > /sys/class/nvme/nvme{number}/dhchap_secret" for number in (0, 1)]
    assert [operation.line() for operation in told.operations] == lines
    for number in (0, 1):
        assert (tmp_path / f"sys/class/nvme/nvme{number}/dhchap_secret").read_text().strip() == secret(2)
    (key,) = (tmp_path / "etc/keys/host").iterdir()
    assert secret(2) in key.read_text()
    assert len(kernel.asked) == 2
    assert not run(kernel, with_secret(2, 1, 2)).changed


def test_a_secret_that_the_target_rejects_is_named_and_the_old_one_stays_saved(kernel: Kernel, tmp_path: Path) -> None:
    run(kernel, with_secret(1, 1, 2))
    kernel.rejected.add("nvme0")
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, with_secret(2, 1, 2))
    (error,) = caught.value.errors
    assert error.startswith("mptcp 192.0.2.1:4420")
    assert "the target rejected the new secret" in error
    assert "qid 0: authentication failed" in error
    restored = _connections_saved.load(str(tmp_path / "etc"))
    assert {one["dhchap_secret"] for one in restored["connections"]} == {secret(1)}
    # The target has the key now: the next run proves it, although sysfs has the secret already.
    kernel.rejected.clear()
    run(kernel, with_secret(2, 1, 2))
    restored = _connections_saved.load(str(tmp_path / "etc"))
    assert {one["dhchap_secret"] for one in restored["connections"]} == {secret(2)}


def test_boot_does_not_write_back_the_secrets_of_before_a_change_that_failed(kernel: Kernel, tmp_path: Path) -> None:
    run(kernel, with_secret(1, 1, 2))
    kernel.rejected.add("nvme0")
    with pytest.raises(converging.NotConverged):
        run(kernel, with_secret(2, 1, 2))
    assert not run(kernel, _connections_saved.load(str(tmp_path / "etc"))).operations
    for number in (0, 1):
        assert (tmp_path / f"sys/class/nvme/nvme{number}/dhchap_secret").read_text().strip() == secret(2)


def test_a_controller_that_is_lost_in_the_window_is_connected_with_the_new_secret(kernel: Kernel) -> None:
    run(kernel, with_secret(1, 1, 2))
    write = kernel.authenticate

    def authenticate(controller: Path) -> None:
        write(controller)
        if controller.name == "nvme1":
            shutil.rmtree(controller)

    kernel.authenticate = authenticate
    kernel.rejected.add("nvme1")
    run(kernel, with_secret(2, 1, 2))
    assert f"dhchap_secret={secret(2)}" in kernel.asked[-1]
    assert len(converging.look().controllers) == 2


def test_a_first_secret_takes_a_new_connection_one_path_at_a_time(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections_round, "users", lambda device: ["mounted on /srv"])
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    real = kernel.write

    def write(operation: object) -> None:
        live = converging.look().controllers
        assert not operation.path.endswith("delete_controller") or len(live) == 2
        real(operation)

    monkeypatch.setattr(apply, "perform_other", write)
    told = run(kernel, with_secret(1, 1, 2), check=True)
    done = run(kernel, with_secret(1, 1, 2))
    assert told.disconnects == done.disconnects
    assert len(done.disconnects) == 2
    assert [f"dhchap_secret={secret(1)}" in options for options in kernel.asked] == [False, False, True, True]


def test_an_option_that_sysfs_does_not_show_is_changed_once(kernel: Kernel) -> None:
    run(kernel, description({**CONNECTION, "nr_io_queues": 4}))
    done = run(kernel, description({**CONNECTION, "nr_io_queues": 2}))
    assert len(done.disconnects) == 1
    assert len(kernel.asked) == 2


def test_a_key_file_that_others_could_read_holds_back_its_connections_alone(kernel: Kernel, tmp_path: Path) -> None:
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2", "dhchap_secret": SECRET}))
    (key,) = (tmp_path / "etc/keys/host").iterdir()
    key.chmod(0o644)
    shutil.rmtree(tmp_path / "sys")
    with pytest.raises(converging.NotConverged, match="has mode 0644"):
        run(kernel, _connections_saved.load(str(tmp_path / "etc")))
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]


def test_a_name_is_resolved_at_every_run_and_keeps_its_address_while_it_has_it(kernel: Kernel) -> None:
    named = description({**CONNECTION, "traddr": "stor1.example.org"})
    kernel.names["stor1.example.org"] = ["192.0.2.1", "192.0.2.2"]
    run(kernel, named)
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]
    kernel.names["stor1.example.org"] = ["192.0.2.2", "192.0.2.1"]
    assert not run(kernel, named).changed
    assert _state.load(COMPONENT)["connections"][0]["traddr"] == "stor1.example.org"
    kernel.names.clear()
    with pytest.raises(converging.NotConverged, match="cannot be resolved"):
        run(kernel, named)
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]
    kernel.names["stor1.example.org"] = ["192.0.2.3"]
    run(kernel, named)
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.3"]


def test_a_path_that_dies_while_others_are_connected_is_seen_before_one_is_taken_away(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connections_round, "users", lambda device: ["mounted on /srv"])
    monkeypatch.setattr(converging, "SCAN", 0.0)
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    real = kernel.connect

    def connect(options: str) -> str:
        # It takes a while, and meanwhile the path dies that was to stay; the new one has no namespace yet.
        (kernel.root / "sys/class/nvme/nvme1/state").write_text("connecting")
        name = real(options)
        shutil.rmtree(kernel.root / f"sys/class/nvme/{name}/nvme0c2n1")
        return name

    kernel.connect = connect
    with pytest.raises(converging.NotConverged, match="it is the last live path"):
        run(kernel, description({**CONNECTION, "traddr": "192.0.2.2"}, {**CONNECTION, "traddr": "192.0.2.3"}))
    assert "nvme0" in [one.name for one in converging.look().controllers]


def test_disconnects_run_side_by_side_and_one_that_is_refused_stops_no_other(kernel: Kernel) -> None:
    both = [{**CONNECTION, "traddr": f"192.0.2.{number}"} for number in (1, 2, 3)]
    run(kernel, description(*both))
    meeting = threading.Barrier(3, timeout=10)
    real = kernel.write

    def write(operation: object) -> None:
        meeting.wait()
        if "nvme1/" in operation.path:
            raise OSError(errno.EPERM, "Operation not permitted")
        real(operation)

    kernel.write = write
    with pytest.raises(Refused, match="EPERM") as caught:
        run(kernel, {**description(), "connections": []})
    assert len(caught.value.applied) == 2
    assert [one.name for one in converging.look().controllers] == ["nvme1"]


def test_a_disruption_is_allowed_for_one_run(kernel: Kernel) -> None:
    run(kernel, description(allow_disruption=[nvme_tree.NQN]))
    assert "allow_disruption" not in json.dumps(_state.load(COMPONENT))


def test_the_last_path_of_what_is_used_moves_create_first(kernel: Kernel) -> None:
    run(kernel, description())
    kernel.used["nvme0n1"] = ["mounted on /data"]
    moved = description({**CONNECTION, "traddr": "192.0.2.2"})
    told = run(kernel, moved, check=True)
    assert told.disconnects == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    with pytest.raises(converging.NotConverged, match="ETIMEDOUT"):
        run(kernel, moved)
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]
    kernel.refuse.clear()
    done = run(kernel, moved)
    assert [one.line() for one in done.operations] == [one.line() for one in told.operations]
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.2"]


def test_what_takes_the_place_of_a_last_path_has_to_reach_the_namespace(kernel: Kernel, monkeypatch) -> None:
    monkeypatch.setattr(converging, "SCAN", 0.0)
    run(kernel, description())
    kernel.used["nvme0n1"] = ["mounted on /data"]
    connect = kernel.connect

    def without_paths(options: str) -> str:
        name = connect(options)
        for path in (kernel.root / "sys/class/nvme" / name).glob("nvme*"):
            shutil.rmtree(path)
        return name

    monkeypatch.setattr(kernel, "connect", without_paths)
    with pytest.raises(converging.NotConverged, match="it is the last live path: /dev/nvme0n1 is mounted on /data"):
        run(kernel, description({**CONNECTION, "traddr": "192.0.2.2"}))
    assert sorted(one.traddr for one in converging.look().controllers) == ["192.0.2.1", "192.0.2.2"]


def test_a_transport_without_its_module_does_not_keep_back_the_others(kernel: Kernel, monkeypatch) -> None:
    monkeypatch.setattr(_connections_round, "_loaded", lambda module: module != "nvme_rdma")

    def write(operation) -> None:
        if operation.verb == "run":
            raise OSError(errno.EIO, "modprobe: FATAL: Module nvme-rdma not found")
        kernel.write(operation)

    monkeypatch.setattr(apply, "perform_other", write)
    kernel.refuse["192.0.2.7"] = errno.EINVAL
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, description({**CONNECTION, "transport": "rdma", "traddr": "192.0.2.7"}, CONNECTION))
    assert [error.partition(":")[0] for error in caught.value.errors] == ["transport rdma", "rdma 192.0.2.7"]
    assert "Module nvme-rdma not found. The role nvme_kernel brings the kernel's modules" in caught.value.errors[0]
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.1"]
    assert _state.load(COMPONENT) is None


@pytest.mark.parametrize("earlier", ["ours", "made by others"])
def test_a_controller_without_sockets_is_not_made_again_where_sysfs_says_tcp(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, earlier: str
) -> None:
    sockets = [argparse.Namespace(remote="192.0.2.1", remote_port=4420)]
    monkeypatch.setattr(sock_diag, "connections", lambda: sockets)
    if earlier == "ours":
        run(kernel, description())
    else:
        kernel.connect(f"transport=mptcp,traddr=192.0.2.1,trsvcid=4420,nqn={nvme_tree.NQN}{WHO}")
    nvme_tree.write(kernel.root / "sys/class/nvme/nvme0", transport="tcp")
    assert not [one for one in run(kernel, description()).operations if one.path == "/dev/nvme-fabrics"]
    nvme_tree.write(kernel.root / "sys/class/nvme/nvme0", state="connecting")
    sockets.clear()
    if earlier != "ours":
        shutil.rmtree(kernel.root / "own")
        shutil.rmtree(kernel.root / "etc")
    for check in (True, False):
        done = run(kernel, description(), check=check)
        assert [one for one in done.operations if "nvme-fabrics" in one.path] == []
    assert len(kernel.asked) == 1
    gone = run(kernel, {**description(), "connections": []})
    assert gone.disconnects == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]


@pytest.mark.parametrize("prune", ["none", "all"])
def test_what_a_policy_leaves_stays_ours_and_what_others_made_does_not_become_it(kernel: Kernel, prune: str) -> None:
    other = {**CONNECTION, "traddr": "192.0.2.2", "hostnqn": "nqn.2026-11.org.example:h2"}
    run(kernel, description(CONNECTION, other))
    kernel.connect(f"transport=mptcp,traddr=192.0.2.3,trsvcid=4420,nqn={nvme_tree.NQN},hostnqn=nqn.x,hostid=x")
    run(kernel, description(CONNECTION, prune=prune))
    assert len(converging.look().controllers) == 3
    done = run(kernel, description(CONNECTION))
    assert done.disconnects == [f"mptcp 192.0.2.2:4420 {nvme_tree.NQN} hostnqn=nqn.2026-11.org.example:h2"]
    assert _state.owned(COMPONENT) == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]


def test_what_a_failed_run_has_made_is_left_to_the_next_playbook(kernel: Kernel, tmp_path: Path) -> None:
    run(kernel, description(CONNECTION))
    saved = _connections_saved.load(str(tmp_path / "etc"))
    other = {**CONNECTION, "traddr": "192.0.2.2"}
    with pytest.raises(converging.NotConverged):
        run(kernel, description(CONNECTION, other, {**CONNECTION, "traddr": "no name"}))
    assert len(converging.look().controllers) == 2
    # The service, which an event wakes.
    assert run(kernel, saved).disconnects == []
    assert len(converging.look().controllers) == 2
    assert run(kernel, description(CONNECTION)).disconnects == [f"mptcp 192.0.2.2:4420 {nvme_tree.NQN}"]


def test_what_is_left_and_then_goes_by_itself_is_ours_no_more(kernel: Kernel) -> None:
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    run(kernel, description(CONNECTION, prune="none"))
    assert len(_state.owned(COMPONENT)) == 2
    shutil.rmtree(kernel.root / "sys/class/nvme/nvme1")
    run(kernel, description(CONNECTION, prune="none"))
    assert _state.owned(COMPONENT) == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]


def test_what_a_log_named_stays_ours_without_pruning(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1"))
    run(kernel, {**description(prune="none"), "connections": []})
    assert len(converging.look().controllers) == 2
    done = run(kernel, {**description(), "connections": []})
    assert len(done.disconnects) == 2
    assert _state.owned(COMPONENT) == _state.owned(_connections_round.NAMED) == []


def test_what_is_written_on_a_namespace_counts_as_use_while_a_path_is_live(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    kernel.carried["nvme0n1"] = ["carrying an LVM physical volume (nvme0n1)"]
    run(kernel, description(CONNECTION))
    with pytest.raises(
        converging.NotConverged, match="last live path: /dev/nvme0n1 is carrying an LVM physical volume"
    ):
        run(kernel, {**description(), "connections": []})
    (state_file,) = (kernel.root / "sys/class/nvme").glob("*/state")
    state_file.write_text("connecting\n")
    monkeypatch.setattr(_connections_round, "members", lambda device: pytest.fail("a read from a dead path would hang"))
    run(kernel, {**description(), "connections": []})
    assert converging.look().controllers == ()


def test_what_is_written_on_a_namespace_goes_when_its_subsystem_is_named(kernel: Kernel) -> None:
    run(kernel, description())
    kernel.carried["nvme0n1"] = ["carrying the superblock of an md array (nvme0n1)"]
    assert run(kernel, {**description(allow_disruption=[nvme_tree.NQN]), "connections": []}).disconnects


def test_what_left_the_logs_stays_for_what_is_written_on_it_unless_it_is_named(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1", gone="disconnect"))
    kernel.logs["192.0.2.1"] = []
    kernel.carried["nvme1n1"] = ["carrying an LVM physical volume (nvme1n1)"]
    (note,) = run(kernel, discovering("192.0.2.1", gone="disconnect")).notes
    assert "kept as long as it is used: /dev/nvme1n1 is carrying an LVM physical volume" in note
    done = run(kernel, discovering("192.0.2.1", gone="disconnect", allow_disruption=[nvme_tree.NQN]))
    assert done.disconnects == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]
