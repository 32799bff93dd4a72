# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The guard of a kernel on trial: the machine leaves that kernel unless somebody keeps it in time.

It starts before anything that can hang, needs nothing but the root file system, and reboots the machine. The next boot
is the old kernel's, for the loader has forgotten the one on trial already. It asks for an orderly reboot first and does
without it after a while; when it cannot even do that, it no longer feeds the watchdog, and the hardware resets.
"""

from __future__ import annotations

import fcntl
import glob
import os
import signal
import struct
import subprocess
import sys
import time
from typing import Any, Iterable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import line
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger

WATCHDOG = "/dev/watchdog"
TRIGGER = "/proc/sysrq-trigger"
SYSCTLS = "/proc/sys"
#: Where units are enabled, and those that have the watchdog for themselves.
UNITS = "/etc/systemd/system"
DAEMONS = ("watchdog.service", "wd_keepalive.service", "sbd.service")
#: For how many seconds boot may still be loading the driver that the site has named.
DRIVERS = 10
#: After how many seconds without a word from us the watchdog resets the machine.
MARGIN = 60
#: How long an orderly reboot may take.
GRACE = 90
#: How often the watchdog is fed.
TICK = 5.0
# _IOWR('W', 6, int) of linux/watchdog.h.
_SETTIMEOUT = 0xC0045706
#: A kernel that is in trouble must not limp on while it is on trial.
STRICT = {"kernel/panic": "10", "kernel/panic_on_oops": "1", "kernel/softlockup_panic": "1"}


def guard(saved: Mapping[str, Any]) -> Iterable[str]:
    """Watch over the kernel on trial; yields what was done. Returns when it was kept or is not the one that runs."""
    trial = saved.get("trial")
    if not trial or trial.get("kept") or trial["release"] != os.uname().release:
        yield "no kernel on trial runs"
        return
    # Opened now: a machine whose disk is gone can still write to it.
    trigger = os.open(TRIGGER, os.O_WRONLY | os.O_CLOEXEC)
    before = _be_strict()
    watchdog, said = open_watchdog()
    signal.signal(signal.SIGTERM, _stopped)
    yield f"Linux {trial['release']} is on trial: it has to be kept within {trial['timeout']} s of its start; {said}"
    try:
        _feed_until(trial["timeout"], watchdog)
    except SystemExit:
        if _undecided(trial):
            # The machine goes down, or somebody stopped us: the watchdog stays, in case that does not end well.
            raise
    if not _undecided(trial):
        if watchdog >= 0:
            # Closed without this it goes on and resets the machine.
            os.write(watchdog, b"V")
        for name, value in before.items():
            _set(name, value)
        yield "kept"
        return
    reason = f"it was not kept within {trial['timeout']} s of its start, so the guard rebooted the machine"
    # The level of an error, for whoever reads the journal of this boot (sd-daemon(3)).
    print("<3>" + line(f"kernel: Linux {trial['release']}: {reason}"), flush=True)
    # A process of its own: writing to a disk that is gone never ends.
    if os.fork() == 0:
        _note(reason)
        os.execvp("systemctl", ["systemctl", "reboot"])
    _feed_until(trial["timeout"] + GRACE, watchdog)
    os.write(trigger, b"s")
    time.sleep(2)
    os.write(trigger, b"b")


def open_watchdog() -> tuple[int, str]:
    """A handle of the watchdog, -1 for none, and what to say of it."""
    path = WATCHDOG
    for name in DAEMONS:
        if glob.glob(os.path.join(UNITS, "*", name)):
            return -1, f"{path} is left to {name}, which is enabled here"
    # The driver of a hardware watchdog, where the site has it loaded, comes a little later than we do.
    until = uptime() + DRIVERS
    while not os.path.exists(path) and uptime() < until:
        time.sleep(1)
    if not os.path.exists(path):
        # The distribution loads no driver of a watchdog by itself. Reason for a command: only kmod loads modules.
        subprocess.run(["modprobe", "softdog", f"soft_margin={MARGIN}"], check=False, capture_output=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1, f"there is no {path} and no softdog: a kernel that hangs as a whole is not reset"
    except OSError as error:
        # RuntimeWatchdogSec= of systemd: PID 1 feeds it, and stops when it hangs.
        return -1, f"{path} is in use ({error.strerror}), whoever has it feeds it"
    try:
        fcntl.ioctl(handle, _SETTIMEOUT, struct.pack("i", MARGIN))
        said = f"{path} resets it when it hangs for {MARGIN} s"
    except OSError as error:
        said = f"{path} resets it when it hangs, after its own time ({error.strerror})"
    return handle, said


def uptime() -> float:
    """Seconds since the kernel started, whatever its clock says."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _feed_until(seconds: float, watchdog: int) -> None:
    while uptime() < seconds:
        if watchdog >= 0:
            os.write(watchdog, b"\0")
        time.sleep(min(TICK, max(seconds - uptime(), 0.1)))


def _undecided(trial: Mapping[str, Any]) -> bool:
    try:
        now = _trial_ledger.read()["trial"]
    except state.Damaged as error:
        # Nobody keeps a kernel without writing it down, and that mends the file.
        print(f"kernel: {error}", file=sys.stderr, flush=True)
        return True
    return now is not None and now["release"] == trial["release"] and not now.get("kept")


def _note(reason: str) -> None:
    """Leave the reason for the next play, as far as that can be done."""
    try:
        with lock.lock("kernel", timeout=5):
            ledger = _trial_ledger.read()
            if ledger["trial"]:
                ledger["trial"]["guard"] = reason
                _trial_ledger.write(ledger)
    except Exception as error:  # nothing may keep it from rebooting
        print(line(f"the reason could not be noted: {error}"), file=sys.stderr, flush=True)


def _be_strict() -> dict[str, str]:
    return {name: found for name, value in STRICT.items() for found in [_set(name, value)] if found}


def _set(name: str, value: str) -> str:
    """Set a sysctl; its value before, empty where the kernel does not have it."""
    path = os.path.join(SYSCTLS, name)
    try:
        with open(path, "r+", encoding="ascii") as stream:
            found = stream.read().strip()
            stream.seek(0)
            stream.write(value)
    except OSError:
        return ""
    return found


def _stopped(number: int, frame: Any) -> None:
    raise SystemExit(0)
