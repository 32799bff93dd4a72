# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.unseen import unseen

ROOT = Path(__file__).resolve().parents[5]


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def controller(folder: Path, name: str, mode: int = 0o644) -> Path:
    """As the kernel makes one: with secrets that everyone may read."""
    (folder / name).mkdir()
    for option in ("dhchap_secret", "dhchap_ctrl_secret"):
        (folder / name / option).write_text("DHHC-1:")
        (folder / name / option).chmod(mode)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ctl").mkdir(mode=0o755)
    return tmp_path / "ctl"


@pytest.mark.parametrize(
    ("before", "after"), [(0o755, 0o755), (0o700, 0o700), (0o750, 0o750), (0o1700, 0o755)], ids="{:04o}".format
)
def test_it_is_closed_meanwhile_and_as_it_was_afterwards(folder: Path, before: int, after: int) -> None:
    """A run that was killed left it at 01700; what an administrator closed stays closed."""
    folder.chmod(before)
    with unseen(str(folder)):
        assert mode(folder) & 0o077 == 0
        made = controller(folder, "nvme3")
    assert mode(folder) == after
    assert [mode(made / name) for name in ("dhchap_secret", "dhchap_ctrl_secret")] == [0o600, 0o600]


def test_it_stays_closed_while_a_secret_cannot_be_hidden(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chmod = os.chmod

    def refuse(path: str, mode: int) -> None:
        if "secret" in path:
            raise PermissionError(errno.EPERM, "no", path)
        chmod(path, mode)

    def make() -> None:
        with unseen(str(folder)):
            controller(folder, "nvme3")
            monkeypatch.setattr(os, "chmod", refuse)

    with pytest.raises(PermissionError):
        make()
    assert mode(folder) & 0o077 == 0


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A pipe in place of /dev/nvme-fabrics, which has answered already."""
    os.mkfifo(tmp_path / "device")
    (tmp_path / "kmsg").write_text("")
    return tmp_path / "device"


@pytest.mark.parametrize("secret", ["dhchap_secret=DHHC-1:,", "dhchap_ctrl_secret=DHHC-1:,", ""])
def test_a_connect_closes_it_for_a_secret_alone(device: Path, folder: Path, secret: str, monkeypatch) -> None:
    asked = []

    def write(handle: int, options: bytes) -> int:
        asked.append(mode(folder))
        controller(folder, "nvme7")
        return len(options)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "read", lambda handle, size: b"instance=7,cntlid=1")
    assert connect.connect(f"{secret}traddr=x", str(device), str(device.parent / "kmsg"), str(folder)) == "nvme7"
    assert [one & 0o077 for one in asked] == [0 if secret else 0o055]
    assert mode(folder) == 0o755


def test_a_connect_that_fails_opens_it_again(device: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(handle: int, options: bytes) -> int:
        raise OSError(errno.ETIMEDOUT, "timed out")

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(connect.ConnectFailed, match="did not answer in time"):
        connect.connect("dhchap_secret=x", str(device), str(device.parent / "kmsg"), str(folder))
    assert mode(folder) == 0o755


def test_no_secret_goes_to_the_kernel_while_it_cannot_be_closed(device: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("the kernel was asked"))
    with pytest.raises(connect.ConnectFailed, match="nowhere cannot be closed") as caught:
        connect.connect("dhchap_secret=x", str(device), str(tmp_path / "kmsg"), str(tmp_path / "nowhere"))
    assert caught.value.permanent


#: In a name space of its own: what nobody reads of a folder of the kernel's, by its path and by a link, and from inside
#: and through a handle that were there before.
PROGRAM = """
import os, sys
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.unseen import unseen
FOLDER = "/sys/devices/virtual/net/lo"
os.chdir(FOLDER)
handle = os.open(FOLDER, os.O_PATH | os.O_DIRECTORY)
ways = [(FOLDER + "/mtu", None), ("/sys/class/net/lo/mtu", None), ("mtu", None), ("mtu", handle)]
def look():
    if os.fork() == 0:
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        for path, at in ways:
            try:
                os.close(os.open(path, os.O_RDONLY, dir_fd=at))
                print("read", end=" ")
            except PermissionError:
                print("refused", end=" ")
        print(flush=True)
        os._exit(0)
    os.wait()
look()
with unseen(FOLDER):
    look()
look()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_folder_of_sysfs_is_closed_to_whoever_was_in_it() -> None:
    mounted = f"mount -t sysfs sysfs /sys && exec {sys.executable} -c '{PROGRAM}'"
    ran = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", mounted],
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.stdout.splitlines() == ["read " * 4, "refused " * 4, "read " * 4], ran.stderr
