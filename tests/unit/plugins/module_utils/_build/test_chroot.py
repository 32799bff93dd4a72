# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from typing import Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot

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


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """A folder that everybody can write; those of pytest are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield pathlib.Path(name)


@pytest.fixture
def chroot(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A chroot with this machine's programs, and a folder build/source that is given to the builder."""
    for folder in ("usr", "proc", "tmp", "dev", "build/source"):
        (tmp_path / folder).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        (tmp_path / link).symlink_to("usr/" + link)
    (tmp_path / "tmp").chmod(0o1777)
    os.mknod(tmp_path / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "dev/null").chmod(0o666)
    tmp_path.chmod(0o755)
    subprocess.run(["mount", "--bind", "/usr", str(tmp_path / "usr")], check=True)
    _chroot.give(tmp_path / "build/source")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path / "usr")], check=True)


# What a Makefile or a Kconfig can have run; it prints what it achieved, and ends well if that is nothing.
HOSTILE = """\
import ctypes, os, re, signal, socket
libc, done = ctypes.CDLL(None, use_errno=True), []

def attempt(name, action):
    try:
        action()
        done.append(name)
    except OSError:
        pass

def syscall(number, *arguments):
    if libc.syscall(number, *arguments) != 0 and ctypes.get_errno() not in (FAULTS):
        raise OSError(ctypes.get_errno(), "refused")

attempt("write in the chroot's programs", lambda: open("/usr/MARK", "w"))
attempt("write in the chroot", lambda: open("/MARK", "w"))
attempt("write as the first process sees files", lambda: open("/proc/1/root/MARK", "w"))
attempt("set what the kernel runs for a core", lambda: open("/proc/sys/kernel/core_pattern", "a"))
attempt("reboot", lambda: open("/proc/sysrq-trigger", "w"))
attempt("make a device", lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(254, 0)))
attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) and syscall(-1))
attempt("become root", lambda: os.setuid(0))
attempt("kill a process of the host", lambda: os.kill(VICTIM, signal.SIGKILL))
attempt("reach a service of the host", lambda: socket.socket().connect(("127.0.0.1", PORT)))
attempt("leave the chroot", lambda: os.chroot("/tmp"))
# No module is at address 0, which a kernel says that would load one.
attempt("load a module", lambda: syscall(INIT_MODULE, None, 8, b""))
# CLONE_NEWUSER, in which it would have all capabilities, CLONE_NEWNS
for flag in (0x10000000, 0x20000):
    attempt("unshare %x" % flag, lambda: libc.unshare(flag) and syscall(-1))
status = dict(re.findall("(.*):\\t(.*)", open("/proc/self/status").read()))
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    int(status[name], 16) == 0 or done.append(name)
status["NoNewPrivs"] == "1" or done.append("NoNewPrivs")
len(os.listdir("/proc/self/fd")) <= 4 or done.append("files of others")
print(done)
raise SystemExit(bool(done))
"""


@root
def test_what_is_compiled_has_no_power_over_the_machine(chroot: pathlib.Path) -> None:
    source = chroot / "build/source"
    mark = f"mark-{os.getpid()}"
    number = {"x86_64": 175, "aarch64": 105}[os.uname().machine]
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "100"]) as victim:
        words = {"VICTIM": victim.pid, "PORT": server.getsockname()[1], "INIT_MODULE": number, "MARK": mark}
        words["FAULTS"] = f"{errno.EFAULT}, {errno.ENOEXEC}"
        script = HOSTILE
        for word, value in words.items():
            script = script.replace(word, str(value))
        (source / "hostile.py").write_text(script)
        # As Kconfig and Kbuild do, when they are read and when they are carried out.
        makefile = "SEEN := $(shell python3 hostile.py)\nall:\n\t@echo $(SEEN)\n\tpython3 hostile.py\n\techo x > own\n"
        (source / "Makefile").write_text(makefile)
        try:
            said = _chroot.run(chroot, "make", "--directory=/build/source")
            assert victim.poll() is None
        finally:
            victim.kill()
            marks = [*pathlib.Path("/usr").glob(mark), *chroot.glob(mark)]
            for path in marks:
                path.unlink()
    assert said.splitlines()[1] == "[]"
    assert marks == []
    assert (source / "own").stat().st_uid == _chroot.BUILDER


@pytest.mark.parametrize("mode", ["rb", "wb", "ab"])
@pytest.mark.parametrize("planted", ["file", "folder", "pipe"])
def test_what_a_build_left_does_not_lead_out_of_the_chroot(tmp_path: pathlib.Path, planted: str, mode: str) -> None:
    host, base = tmp_path / "host", tmp_path / "base"
    host.mkdir()
    (host / "nvmet.ko").write_text("a secret of the host")
    base.mkdir()
    (base / "out").symlink_to(host)
    if planted != "folder":
        (base / "out").unlink()
        (base / "out").mkdir()
    if planted == "file":
        (base / "out/nvmet.ko").symlink_to(host / "nvmet.ko")
    if planted == "pipe":
        os.mkfifo(base / "out/nvmet.ko")
    with pytest.raises((_chroot.BuildError, OSError)):
        _chroot.opened(base, base / "out/nvmet.ko", mode)
    assert (host / "nvmet.ko").read_text() == "a secret of the host"


@root
def test_a_command_that_fails_says_its_last_words() -> None:
    with pytest.raises(_chroot.CommandError, match=r"ended with 3: two$"):
        _chroot.run(pathlib.Path("/"), "sh", "-c", "echo one; echo two; exit 3", lines=1)
    assert _chroot.run(pathlib.Path("/"), "cat", stdin="said") == "said"


@root
def test_nothing_that_a_command_started_outlives_us(open_folder: pathlib.Path) -> None:
    beat = open_folder / "beat"
    script = f"sh -c 'while :; do date +%N > {beat}; sleep 0.05; done' & wait"
    code = (
        "import pathlib\nfrom ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot\n"
        f"chroot.run(pathlib.Path('/'), 'sh', '-c', {script!r})"
    )
    path = str(pathlib.Path(__file__).parents[5] / "collections")
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
