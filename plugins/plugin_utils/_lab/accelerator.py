# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""KVM if a guest really boots with it, else TCG: /dev/kvm may exist and run nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import user
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import QEMU, SANDBOX
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import Progress

_DEVICE = "/dev/kvm"
# A kernel says its first line within a second where KVM works.
_TIMEOUT = 20.0


def choose(cache: pathlib.Path, kernel: pathlib.Path, progress: Progress) -> str:
    """kvm or tcg; tried once per boot of this machine and remembered in the cache."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        progress.say(f"no usable {_DEVICE}: the machines are emulated (TCG)")
        return "tcg"
    remembered = cache / "kvm.json"
    question = {
        "boot_id": pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
        "qemu": qemu_version(),
    }
    answer = json.loads(remembered.read_text(encoding="utf-8")) if remembered.exists() else {}
    if {key: answer.get(key) for key in question} != question:
        progress.say("trying whether KVM boots a guest here")
        answer = {**question, "works": _boots(kernel)}
        partial = remembered.with_suffix(".new")
        partial.write_text(json.dumps(answer), encoding="utf-8")
        os.replace(partial, remembered)
    if answer["works"]:
        progress.say("KVM works: the machines are virtualised")
        return "kvm"
    progress.say("KVM is present but boots no guest: the machines are emulated (TCG)")
    return "tcg"


def qemu_version() -> str:
    """QEMU's own line about itself; a snapshot belongs to the QEMU that made it."""
    return subprocess.run([QEMU, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def _boots(kernel: pathlib.Path) -> bool:
    """Whether a kernel without a disk says its first line under KVM."""
    with contextlib.ExitStack() as stack:
        handed = stack.enter_context(user.Handed())
        command = [
            *(*user.become("kvm"), "setpriv", "--pdeathsig", "KILL", QEMU, "-nodefaults", "-no-user-config"),
            *("-display", "none", "-sandbox", SANDBOX),
            *("-machine", "pc", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256"),
            *("-serial", "stdio", "-no-reboot"),
            *("-kernel", handed.name(kernel), "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"),
        ]
        process = stack.enter_context(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=handed.handles,
            )
        )
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        said = b""
        deadline = time.monotonic() + _TIMEOUT
        while b"Linux version" not in said and process.poll() is None and time.monotonic() < deadline:
            said += process.stdout.read() or b""
            time.sleep(0.1)
        said += process.stdout.read() or b""
        process.kill()
    return b"Linux version" in said
