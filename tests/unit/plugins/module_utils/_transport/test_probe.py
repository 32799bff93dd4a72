# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import pathlib

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import probe


@pytest.fixture
def nvmet(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder that has nvmet's ports; a new port gets its attribute, and only an empty one can go."""
    mkdir, rmdir = os.mkdir, os.rmdir

    def make(path: str, mode: int = 0o777) -> None:
        mkdir(path, mode)
        (pathlib.Path(path) / "addr_trtype").write_text("")

    def remove(path: str) -> None:
        (pathlib.Path(path) / "addr_trtype").unlink()
        rmdir(path)

    (tmp_path / "ports").mkdir()
    monkeypatch.setattr(os, "mkdir", make)
    monkeypatch.setattr(os, "rmdir", remove)
    return tmp_path


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> list[bytes]:
    """From now on the kernel refuses every write; what was written."""
    written: list[bytes] = []

    def write(handle: int, data: bytes) -> int:
        written.append(data)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", write)
    return written


def test_a_target_that_takes_the_transport(nvmet: pathlib.Path) -> None:
    assert probe.offered_by_target(str(nvmet))
    assert list((nvmet / "ports").iterdir()) == []


def test_a_target_that_refuses_the_transport(nvmet: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refuse(monkeypatch, errno.EINVAL) == []
    assert not probe.offered_by_target(str(nvmet))
    assert list((nvmet / "ports").iterdir()) == []


def test_an_answer_that_says_nothing_is_an_error_and_leaves_no_port(
    nvmet: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EACCES)
    with pytest.raises(probe.ProbeError, match=os.strerror(errno.EACCES)):
        probe.offered_by_target(str(nvmet))
    assert list((nvmet / "ports").iterdir()) == []


def test_the_scratch_port_is_none_of_the_users(nvmet: pathlib.Path) -> None:
    (nvmet / "ports/65535").mkdir()
    (nvmet / "ports/1").mkdir()
    assert probe.offered_by_target(str(nvmet))
    assert sorted(path.name for path in (nvmet / "ports").iterdir()) == ["1", "65535"]


def test_a_target_without_nvmet(tmp_path: pathlib.Path) -> None:
    assert not probe.offered_by_target(str(tmp_path))


@pytest.mark.parametrize(("code", "offered"), [(errno.ENODEV, True), (errno.EINVAL, False)])
def test_a_hosts_answer_is_its_errno(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, code: int, offered: bool
) -> None:
    device = tmp_path / "nvme-fabrics"
    device.write_text("")
    written = refuse(monkeypatch, code)
    assert probe.offered_by_host(str(device)) is offered
    assert b"transport=mptcp," in written[0]


def test_a_host_that_answers_otherwise_is_an_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "nvme-fabrics"
    device.write_text("")
    refuse(monkeypatch, errno.EPERM)
    with pytest.raises(probe.ProbeError, match=os.strerror(errno.EPERM)):
        probe.offered_by_host(str(device))


def test_a_host_without_the_device(tmp_path: pathlib.Path) -> None:
    assert not probe.offered_by_host(str(tmp_path / "nvme-fabrics"))


def test_the_interface_that_the_host_is_asked_for_cannot_exist() -> None:
    # IFNAMSIZ is 16 with its end.
    assert len(probe._NO_INTERFACE) > 15
