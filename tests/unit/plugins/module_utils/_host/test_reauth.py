# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect, unseen
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import (
    PATIENCE,
    Rewriter,
    Unproven,
    is_rewrite,
    secret,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.kernel_log import KernelLog

AGAIN = "re-authenticating controller"
HOST = "qid 0: authenticated with hash hmac(sha256) dhgroup ffdhe2048"
BOTH = "qid 0: controller authenticated"
FAILED = "qid 0: authentication failed"
OPERATION = Operation("write", "/sys/class/nvme/nvme0/dhchap_secret", nvme_tree.SECRET, about="x", secret=True)


class Machine:
    """A controller and a kernel log that says a line more each time somebody waits."""

    readable = True

    def __init__(self, root: Path, lines: list[str], later: list[str], ctrl_secret: str = "none") -> None:
        self.folder = nvme_tree.controller(root, dhchap_ctrl_secret=ctrl_secret)
        self.said, self.later, self.now = [f"nvme nvme0: {line}" for line in lines], list(later), 0.0
        self.written: list[str] = []
        self.root = root

    def lines(self) -> list[str]:
        found, self.said = self.said, []
        return found

    def close(self) -> None:
        self.said = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.later:
            self.said.append(f"nvme nvme0: {self.later.pop(0)}")

    def rewrite(self) -> None:
        write = lambda operation: self.written.append(operation.path)  # noqa: E731
        Rewriter(write, lambda: self, lambda: self.now, self.sleep, str(self.root)).rewrite([OPERATION])


def test_only_a_secret_is_one() -> None:
    assert is_rewrite(OPERATION)
    assert not is_rewrite(Operation("chmod", OPERATION.path, "0600"))
    assert not is_rewrite(Operation("write", "/sys/class/nvme/nvme0/reconnect_delay", "2"))


def test_the_proof_is_what_the_kernel_says(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [AGAIN], [HOST])
    machine.rewrite()
    assert machine.written == [OPERATION.path]


def test_a_target_that_authenticates_itself_must_have_done_so(tmp_path: Path) -> None:
    Machine(tmp_path, [AGAIN], [HOST, BOTH], nvme_tree.SECRET).rewrite()
    with pytest.raises(Unproven, match="did not authenticate this host within the time"):
        Machine(tmp_path / "b", [AGAIN, HOST], [], nvme_tree.SECRET).rewrite()


def test_a_target_that_drops_the_controller_and_takes_it_back(tmp_path: Path) -> None:
    Machine(tmp_path, [AGAIN], [FAILED, HOST, "qid 0: authenticated"]).rewrite()


def test_what_is_not_accepted_in_time_is_told_with_the_kernel_s_words(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [AGAIN, FAILED], [])
    with pytest.raises(Unproven) as caught:
        machine.rewrite()
    assert "the target rejected the new secret" in caught.value.strerror
    assert FAILED in caught.value.strerror
    assert PATIENCE <= machine.now < PATIENCE + 1
    machine = Machine(tmp_path / "b", [], [])
    machine.readable = False
    with pytest.raises(Unproven, match="log cannot be read"):
        machine.rewrite()


def test_another_controller_s_words_prove_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [AGAIN], [])
    machine.said.append(f"nvme nvme7: {HOST}")
    with pytest.raises(Unproven):
        machine.rewrite()


def test_a_controller_that_goes_is_no_failure(tmp_path: Path) -> None:
    machine = Machine(tmp_path, [AGAIN], [FAILED])
    (machine.folder / "state").unlink()
    machine.later = [HOST]
    machine.rewrite()


def test_a_secret_in_sysfs(tmp_path: Path) -> None:
    folder = nvme_tree.controller(tmp_path, dhchap_secret=nvme_tree.SECRET)
    path = folder / "dhchap_secret"
    path.chmod(0o644)
    found = secret(str(path))
    assert (found.value, found.exposed) == (nvme_tree.SECRET, True)
    assert nvme_tree.SECRET not in repr(found)
    unseen._hide(str(path))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert not secret(str(path)).exposed
    assert secret(str(folder / "no")).value == ""
    unseen._hide(str(folder / "no"))


def test_lines_of_other_controllers_are_not_a_connect_s_reason(tmp_path: Path) -> None:
    nvme_tree.controller(tmp_path, 5)
    lines = ["nvme nvme5: qid 0: authentication failed", "nvme nvme6: Connect command failed", "nvme_tcp: x"]
    assert connect._own([*lines, lines[1]], str(tmp_path / "sys/class/nvme")) == lines[1:]


def test_the_log_has_no_key_and_no_noise(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    path.write_text("")
    log = KernelLog(str(path))
    records = [
        "nvme nvme0: a.",
        "usb: b",
        "nvme_fabrics: Invalid DH-CHAP secret DHHC-1:x",
        "nvme_fabrics: will reconnect forever",
    ]
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(handle, f"6,1,2,-;{records[0]}\n".encode())
    assert log.lines() == ["nvme nvme0: a"]
    for record in records[1:]:
        os.write(handle, f"6,1,2,-;{record}\n".encode())
        assert log.lines() == []
    os.close(handle)
    log.close()
    assert not log.readable
    assert KernelLog(str(tmp_path / "none")).lines() == []
