# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding, driving and ending the processes of a lab, with stand-ins for QEMU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import process as _lab_process
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import user as _lab_user
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import QEMU
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

ROOT = Path(__file__).resolve().parents[5]
ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def qemu(tmp_path: Path) -> str:
    """A program named like QEMU that only sleeps."""
    program = tmp_path / "bin" / QEMU
    program.parent.mkdir()
    shutil.copy("/bin/sleep", program)
    return str(program)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lab"
    (folder / "target1").mkdir(parents=True)
    yield folder
    _lab_process.stop(folder)


def run(program: str, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen([program, "60"], cwd=folder)


def test_a_lab_s_processes_are_those_in_its_machines_folders(lab: Path, qemu: str) -> None:
    mine = run(qemu, lab / "target1")
    nested = run(qemu, lab / "other" / "target1")
    stranger = subprocess.Popen(["/bin/sleep", "60"], cwd=lab / "target1")
    try:
        deadline = time.monotonic() + 10
        while not _lab_process.find(lab) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _lab_process.find(lab) == {mine.pid: lab / "target1"}
        threading.Thread(target=mine.wait).start()
        assert _lab_process.stop(lab) == 1
        assert _lab_process.find(lab) == {}
        assert (nested.poll(), stranger.poll()) == (None, None)
    finally:
        for process in (nested, stranger):
            process.kill()
            process.wait()


def test_a_suspended_process_is_ended_too_and_sockets_are_removed(lab: Path, qemu: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(lab / "target1", os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/rail0-host1.sock")
        os.close(here)
    process = run(qemu, lab / "target1")
    process.send_signal(signal.SIGSTOP)
    threading.Thread(target=process.wait).start()
    _lab_process.stop(lab)
    assert process.wait(10) == -signal.SIGKILL
    assert list((lab / "target1").iterdir()) == []


@pytest.mark.parametrize("user", ["", pytest.param("nobody", marks=ROOT_ALONE)])
def test_a_tied_process_ends_with_its_starter(lab: Path, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    become: list[str] = []
    if user:
        monkeypatch.setattr(_lab_user, "NAME", user)
        _lab_user.give(lab / "target1")
        become = _lab_user.become("tcg")
    # A stand-in that answers on the control socket, so that start() returns.
    code = (
        "import sys, pathlib, time\n"
        "from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import process\n"
        "folder, server, *become = sys.argv[1:]\n"
        # The distribution's own, which is where another user may go.
        "command = ['/usr/bin/python3', '-I', '-c', server]\n"
        "process.start(command, pathlib.Path(folder), tied=True, become=become)\n"
        "print('started', flush=True); time.sleep(60)\n"
    )
    server = (
        "import os, socket, pathlib, time\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "s = socket.socket(socket.AF_UNIX); s.bind('qmp.sock'); s.listen()\n"
        "c, _ = s.accept(); c.sendall(b'{\"QMP\": {}}\\n'); c.recv(999)\n"
        "c.sendall(b'{\"return\": {}}\\n'); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    command = [sys.executable, "-c", code, str(lab / "target1"), server, *become]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"started\n"
        pid = int((lab / "target1" / "pid").read_text())
        os.kill(pid, 0)
        starter.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/exe").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_process_that_ends_at_once_is_reported_with_what_it_said(lab: Path) -> None:
    with pytest.raises(LabError, match="target1: QEMU ended with 3: no such thing"):
        _lab_process.start(["sh", "-c", "echo no such thing >&2; exit 3"], lab / "target1", tied=False)


def serve(listener: socket.socket, answers: list[dict[str, Any]], heard: list[dict[str, Any]]) -> None:
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as lines:
        connection.sendall(b'{"QMP": {}}\n')
        decoder = json.JSONDecoder()
        text = ""
        for answer in [{"return": {}}, *answers]:
            while True:
                text += lines.read1().decode()
                try:
                    command, end = decoder.raw_decode(text)
                except ValueError:
                    continue
                text = text[end:]
                heard.append(command)
                break
            connection.sendall(b'{"event": "RESUME"}\n' + json.dumps(answer).encode() + b"\n")


def test_commands_get_their_answers_between_events_over_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120) / "target1"
    folder.mkdir(parents=True)
    heard: list[dict[str, Any]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(folder, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/qmp.sock")
        os.close(here)
        listener.listen()
        answers = [{"return": {"status": "running"}}, {"error": {"class": "GenericError", "desc": "no device"}}]
        server = threading.Thread(target=serve, args=(listener, answers, heard))
        server.start()
        monitor = _lab_process.Monitor(folder)
        assert monitor.execute("query-status") == {"status": "running"}
        with pytest.raises(LabError, match="target1: QEMU refused device_del: no device"):
            monitor.execute("device_del", id="nic-rail0")
        monitor.close()
        server.join()
    assert heard[0]["execute"] == "qmp_capabilities"
    assert heard[2] == {"execute": "device_del", "arguments": {"id": "nic-rail0"}}
