# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""QEMU processes: found by their working directory, driven over QMP, ended without a trace.

A machine's process is the QEMU whose working directory is the machine's folder. No pid file can say that better: it
cannot go stale, name a stranger, or miss a process whose starter was killed at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import QEMU
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError


def find(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """pid → working directory of each QEMU that runs in `folder` or in a folder directly in it."""
    root = folder.resolve()
    found: dict[int, pathlib.Path] = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end while we look, and other users' processes are not ours to read.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            program = os.path.basename(os.readlink(entry / "exe").split(" (deleted)")[0])
            where = pathlib.Path(os.readlink(entry / "cwd"))
            if program == QEMU and (root in (where, where.parent)):
                found[int(entry.name)] = where
    return found


def start(
    command: t.Sequence[str],
    folder: pathlib.Path,
    tied: bool,
    keep: t.Sequence[int] = (),
    become: t.Sequence[str] = (),
) -> None:
    """Run QEMU in `folder`; returns when its control socket answers.

    tied: it ends with this process, as a machine that is only an intermediate step must.
    keep: file descriptors that it inherits. become: the words that make it another user's.
    """
    # Last, for it does not outlive a change of the user. Otherwise a session of its own, so that an interrupt at the
    # terminal is not for it.
    prefix = [*become, *(["setpriv", "--pdeathsig", "KILL"] if tied else [])]
    log = folder / "qemu.log"
    # Made anew: the folder may be that of a user who is not root, and who has put a link there.
    with log.open("xb") as stream:
        process = subprocess.Popen(
            [*prefix, *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            pass_fds=keep,
            start_new_session=True,
        )
    while True:
        with contextlib.suppress(OSError):
            Monitor(folder).close()
            return
        if process.poll() is not None:
            text = log.read_text(errors="replace").strip()
            raise LabError(f"{folder.name}: QEMU ended with {process.returncode}: {text}")
        time.sleep(0.05)


def stop(folder: pathlib.Path) -> int:
    """End every QEMU that find() finds and remove their sockets; the answer is how many there were."""
    found = find(folder)
    for where in found.values():
        with contextlib.suppress(OSError, LabError):
            # One that does not answer at once, suspended for example, is killed below.
            Monitor(where, timeout=5.0).execute("quit")
    deadline = time.monotonic() + 5
    while find(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in find(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while find(folder):
        time.sleep(0.05)
    for path in folder.glob("*/*.sock"):
        path.unlink()
    return len(found)


class Monitor:
    """A machine's control socket (QEMU Machine Protocol)."""

    def __init__(self, folder: pathlib.Path, timeout: float = 60.0) -> None:
        """folder: the machine's. timeout: seconds for one answer. Raises OSError when nobody listens or answers."""
        self._name = folder.name
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout)
        # Through /proc, because the path of the folder may be longer than a socket's name can be.
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/qmp.sock")
            self._lines = self._socket.makefile("r", encoding="utf-8")
            self._lines.readline()
            self.execute("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(descriptor)

    def execute(self, command: str, handle: int | None = None, **arguments: t.Any) -> t.Any:
        """Run one command and give its return value; LabError with QEMU's reason when it is refused.

        handle: a file descriptor that goes with it.
        """
        text = json.dumps({"execute": command, "arguments": arguments}).encode()
        socket.send_fds(self._socket, [text], [] if handle is None else [handle])
        while True:
            line = self._lines.readline()
            if not line:
                raise LabError(f"{self._name}: QEMU ended during {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise LabError("{}: QEMU refused {}: {}".format(self._name, command, answer["error"]["desc"]))
            if "return" in answer:
                return answer["return"]

    def close(self) -> None:
        """Close the connection; the machine goes on."""
        self._lines.close()
        self._socket.close()


def save(folder: pathlib.Path) -> None:
    """Write the state of the machine in `folder` to its file `state` and end it; its disks belong to that state."""
    monitor = Monitor(folder)
    # The machine runs on until the last pages are written, and so does the restored one.
    # The default limits the rate to what a network should bear; this goes to a file.
    monitor.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
    # QEMU may start no program that writes it.
    with (folder / "state").open("xb") as stream:
        monitor.execute("getfd", stream.fileno(), fdname="state")
    monitor.execute("migrate", uri="fd:state")
    while True:
        status = monitor.execute("query-migrate")
        if status["status"] == "completed":
            break
        if status["status"] in ("failed", "cancelled"):
            raise LabError(
                "{}: the snapshot failed: {}".format(folder.name, status.get("error-desc", status["status"]))
            )
        time.sleep(0.05)
    monitor.close()
    stop(folder)


def restore(states: t.Mapping[pathlib.Path, int]) -> None:
    """Have the machines run on from their saved states. states: machine's folder → file descriptor that its QEMU has.

    QEMU 7.2 crashes when a machine announces itself on a cable whose other end is not there yet, so all processes have
    to be there first. The two commands before are two turns of QEMU's main loop, in which it accepts those connections.
    """
    monitors = {folder: Monitor(folder) for folder in states}
    for monitor in monitors.values():
        monitor.execute("query-status")
    for folder, monitor in monitors.items():
        monitor.execute("migrate-incoming", uri=f"fd:{states[folder]}")
    for folder, monitor in monitors.items():
        while (status := monitor.execute("query-status")["status"]) == "inmigrate":
            time.sleep(0.05)
        if status != "running":
            raise LabError(f"{folder.name}: the snapshot was not restored: QEMU says {status}")
        monitor.close()
