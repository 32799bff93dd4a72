# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _chroot

PATCH = """\
--- a/drivers/host.c
+++ b/drivers/host.c
@@ -1,3 +1,3 @@
 one
-{old}
+{new}
 three
"""


def local(chroot: pathlib.Path, *command: str, stdin: str | None = None, lines: int = 15) -> str:
    """run() without the chroot, which takes root."""
    result = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if result.returncode:
        raise _chroot.CommandError(f"{command[0]} ended with {result.returncode}: {result.stdout}")
    return result.stdout


@pytest.fixture
def source(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(_chroot, "run", local)
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers/host.c").write_text("one\ntwo\nthree\n")
    return tmp_path


def test_a_patch_is_applied(source: pathlib.Path) -> None:
    _chroot.apply(pathlib.Path("/"), source, PATCH.format(old="two", new="2"))
    assert (source / "drivers/host.c").read_text() == "one\n2\nthree\n"


def test_a_patch_that_does_not_apply_is_named_by_its_hunk(source: pathlib.Path) -> None:
    with pytest.raises(_chroot.BuildError, match=r"^drivers/host\.c hunk 1 at line 1$"):
        _chroot.apply(pathlib.Path("/"), source, PATCH.format(old="zwei", new="2"))


def test_all_hunks_that_do_not_apply_are_named_with_their_file() -> None:
    output = (
        "patch --strip=1 ended with 1: patching file drivers/nvme/host/fabrics.c\n"
        "Hunk #1 FAILED at 1222.\n1 out of 1 hunk FAILED -- saving rejects to file drivers/nvme/host/fabrics.c.rej\n"
        "patching file drivers/nvme/host/tcp.c\nHunk #1 succeeded at 16.\nHunk #7 FAILED at 1971.\n"
    )
    assert _chroot.describe_failure(output) == (
        "drivers/nvme/host/fabrics.c hunk 1 at line 1222, drivers/nvme/host/tcp.c hunk 7 at line 1971"
    )


def test_a_failure_without_hunks_is_shown_as_it_is() -> None:
    assert _chroot.describe_failure("patch: **** Only garbage was found\n") == "patch: **** Only garbage was found"


root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="a chroot takes root")


@root
def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(_chroot.CommandError, match=r"ended with 3: two$"):
        _chroot.run(pathlib.Path("/"), "sh", "-c", "echo one; echo two; exit 3", lines=1)
    assert _chroot.run(pathlib.Path("/"), "cat", stdin="said") == "said"


@root
def test_nothing_that_a_command_started_outlives_us(tmp_path: pathlib.Path) -> None:
    beat = tmp_path / "beat"
    script = f"sh -c 'while :; do date +%N > {beat}; sleep 0.05; done' & wait"
    code = (
        "import pathlib\nfrom ansible_collections.nvmeof.mptcp.plugins.module_utils import _chroot\n"
        f"_chroot.run(pathlib.Path('/'), 'sh', '-c', {script!r})"
    )
    path = str(pathlib.Path(__file__).parents[4] / "collections")
    # Without a handler of ours: SIGKILL is what a lost connection and an impatient person have in common.
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}) as process:
        deadline = time.monotonic() + 60
        while not beat.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    time.sleep(1)
    last = beat.read_text()
    time.sleep(1)
    assert beat.read_text() == last
