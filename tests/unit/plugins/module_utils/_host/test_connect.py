# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect


def operation(target: int, volume: int = 0) -> Operation:
    return Operation(
        "write", "/dev/nvme-fabrics", f"traddr=192.0.2.{target},trsvcid=4420,nqn=v{volume}", about=f"{target}/{volume}"
    )


class Kernel:
    """Answers connects from a script: a list of errnos (0 for success) for each target."""

    def __init__(self, **script: list[int]) -> None:
        self.script = {key[1:]: list(answers) for key, answers in script.items()}
        self.asked: list[str] = []
        self.now = 0.0

    def ask(self, options: str) -> str:
        self.asked.append(options)
        answers = self.script[options.split(",")[0].rpartition(".")[2]]
        code = answers.pop(0) if len(answers) > 1 else answers[0]
        if code:
            raise connect.ConnectFailed(code, "no.", code not in connect.TRANSIENT)
        return "nvme0"

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def connector(self, timeout: float) -> connect.Connector:
        return connect.Connector(timeout, 1.0, self.ask, lambda: self.now, self.sleep)


def test_a_target_that_comes_back_is_connected_and_nothing_is_reported() -> None:
    kernel = Kernel(t1=[errno.ECONNREFUSED, errno.ETIMEDOUT, 0], t2=[0])
    connector = kernel.connector(20)
    assert [one.about for one in connector.run([operation(1), operation(2)])] == ["2/0", "1/0"]
    assert (connector.failures, len(kernel.asked)) == ([], 4)


def test_a_dead_target_is_reported_with_its_tries_and_the_others_are_made() -> None:
    kernel = Kernel(t1=[errno.EHOSTUNREACH], t2=[0])
    connector = kernel.connector(5)
    assert [one.about for one in connector.run([operation(1), operation(2)])] == ["2/0"]
    (failure,) = connector.failures
    assert failure.text() == "1/0: EHOSTUNREACH (tried 5 times): no."
    assert kernel.now < 5


def test_a_refusal_that_would_be_the_same_is_not_tried_again() -> None:
    kernel = Kernel(t1=[errno.EINVAL], t2=[0])
    connector = kernel.connector(20)
    list(connector.run([operation(1), operation(2)]))
    assert [one.text() for one in connector.failures] == ["1/0: EINVAL (tried once): no."]
    assert kernel.now == 0


def test_a_dead_target_costs_one_timeout_a_round() -> None:
    kernel = Kernel(t1=[errno.ETIMEDOUT])
    connector = kernel.connector(0)
    list(connector.run([operation(1, volume) for volume in range(8)]))
    assert (len(kernel.asked), len(connector.failures)) == (1, 8)


@pytest.mark.parametrize(
    ("code", "log", "words", "permanent"),
    [
        (errno.EINVAL, ["nvme_fabrics: no handler found for transport mptcp."], "role nvme_kernel", True),
        (errno.EIO, ["nvme nvme0: Connect for subsystem v0 is not allowed, hostnqn: h"], "allowed_hosts", True),
        (errno.EIO, ['nvme nvme0: Connect Invalid Data Parameter, subsysnqn "v0"'], "no such subsystem", True),
        (errno.EKEYREJECTED, ["nvme nvme0: qid 0: authentication failed"], "dhchap_secret", True),
        (errno.ECONNREFUSED, [], "nothing listens there", False),
        (errno.ETIMEDOUT, [], "did not answer in time", False),
        (errno.EIO, ["nvme nvme0: Connect command failed: host path error"], "host path error", False),
        (errno.EINVAL, [], "role nvme_kernel", True),
    ],
)
def test_the_kernel_s_reason_and_what_to_do(code: int, log: list[str], words: str, permanent: bool) -> None:
    found = connect._failed(OSError(code, "x"), log)
    assert words in str(found.strerror)
    assert all(line in str(found.strerror) for line in log)
    assert (found.errno, found.permanent) == (code, permanent)


def test_no_device_is_told(tmp_path: Path) -> None:
    with pytest.raises(connect.ConnectFailed, match="nvme-fabrics is not loaded"):
        connect.connect("x", str(tmp_path / "nvme-fabrics"), str(tmp_path / "kmsg"))


def test_a_controller_that_is_gone_is_disconnected(tmp_path: Path) -> None:
    connect.perform_other(Operation("write", str(tmp_path / "delete_controller"), "1"))
    with pytest.raises(FileNotFoundError):
        connect.perform_other(Operation("write", str(tmp_path / "iopolicy"), "numa"))
