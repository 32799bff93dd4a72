# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a kernel on trial, on a clock and a machine that are made up."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import guard as _trial_guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger

RUNNING = os.uname().release


class Rebooted(Exception):
    """The machine is gone."""


class Machine:
    """Its clock goes on while the guard sleeps; happens says what comes to pass at a second of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock, self.happens = folder, 12.0, dict[float, Any]()
        self.asked: list[list[str]] = []
        for name, value in {"kernel/panic": "0", "kernel/panic_on_oops": "0"}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{value}\n")
        for name in ("watchdog", "trigger"):
            (folder / name).touch()

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        for when in [when for when in self.happens if when <= self.clock]:
            self.happens.pop(when)()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def guard(self, timeout: int = 100, release: str = RUNNING) -> list[str]:
        trial = {**ledger.new_trial(release, "old", timeout), "boot": "1"}
        ledger.write({"trial": trial, "proven": [], "installed": {}})
        return list(_trial_guard.guard(ledger.read()))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine(tmp_path)
    monkeypatch.setattr(_trial_guard, "WATCHDOG", str(tmp_path / "watchdog"))
    monkeypatch.setattr(_trial_guard, "TRIGGER", str(tmp_path / "trigger"))
    monkeypatch.setattr(_trial_guard, "SYSCTLS", str(tmp_path))
    monkeypatch.setattr(_trial_guard, "UNITS", str(tmp_path))
    monkeypatch.setattr(_trial_guard, "uptime", lambda: found.clock)
    monkeypatch.setattr(_trial_guard.time, "sleep", found.sleep)
    # The child that asks for the reboot is the one that goes on here, unless a test says otherwise.
    monkeypatch.setattr(os, "fork", lambda: 1)
    for function in (ledger.read, ledger.write):
        monkeypatch.setattr(function, "__defaults__", (str(tmp_path),))
    before = signal.getsignal(signal.SIGTERM)
    yield found
    signal.signal(signal.SIGTERM, before)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_another_kernel_is_left_alone(machine: Machine) -> None:
    assert machine.guard(release="7.9.9-another") == ["no kernel on trial runs"]
    assert machine.read("watchdog") == ""
    assert machine.read("kernel/panic_on_oops") == "0\n"


def test_a_kernel_that_nobody_keeps_is_left_in_order_first_and_by_force_then(machine: Machine) -> None:
    machine.guard(timeout=100)
    assert machine.read("trigger") == "sb"
    assert 100 + _trial_guard.GRACE <= machine.clock < 100 + _trial_guard.GRACE + 2 * _trial_guard.TICK
    # Fed all the time: it must not reset a machine that is about to shut down in order.
    assert machine.read("watchdog").count("\0") >= (100 + _trial_guard.GRACE - 12) / _trial_guard.TICK


def test_the_reason_is_there_for_the_next_play(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def gone(*argv: Any) -> None:
        raise Rebooted(argv)

    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "execvp", gone)
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "locks"))
    with pytest.raises(Rebooted, match="systemctl"):
        machine.guard(timeout=100)
    assert "not kept within 100 s" in ledger.read()["trial"]["guard"]


def test_a_kernel_that_is_kept_meanwhile_stays(machine: Machine) -> None:
    def kept() -> None:
        ledger.write({"trial": None, "proven": [RUNNING], "installed": {}})
        stop()

    machine.happens[50.0] = kept
    assert machine.guard()[-1] == "kept"
    # The magic character with which a watchdog is closed for good, and the machine's own settings again.
    assert machine.read("watchdog").endswith("\0V")
    assert machine.read("kernel/panic_on_oops").startswith("0")
    assert machine.read("trigger") == ""


def test_a_kernel_that_was_kept_by_a_play_that_died_then_is_not_left(machine: Machine) -> None:
    trial = {**ledger.new_trial(RUNNING, "old", 100), "kept": True}
    machine.happens[50.0] = lambda: ledger.write({"trial": trial, "proven": [], "installed": {}})
    assert machine.guard(timeout=100)[-1] == "kept"
    assert machine.read("trigger") == ""
    # Otherwise it would reset the machine a minute later.
    assert machine.read("watchdog").endswith("\0V")
    assert machine.read("kernel/panic_on_oops").startswith("0")
    # Nor in any boot of it that follows.
    assert list(_trial_guard.guard(ledger.read())) == ["no kernel on trial runs"]


def test_stopping_the_guard_leaves_the_watchdog_ticking(machine: Machine) -> None:
    machine.happens[50.0] = stop
    with pytest.raises(SystemExit):
        machine.guard()
    assert set(machine.read("watchdog")) == {"\0"}


def test_a_ledger_that_is_damaged_meanwhile_takes_no_kernel_down_before_its_time(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.happens[50.0] = lambda: (machine.folder / "kernel.json").write_text("{")
    machine.guard(timeout=100)
    assert machine.clock >= 100 + _trial_guard.GRACE
    assert machine.read("trigger") == "sb"
    assert "kernel.json is not valid JSON" in capsys.readouterr().err


def test_while_a_kernel_is_on_trial_it_does_not_limp_on(machine: Machine) -> None:
    seen = []
    machine.happens[20.0] = lambda: seen.append(machine.read("kernel/panic_on_oops")[0])
    machine.guard()
    assert seen == ["1"]


def test_a_watchdog_that_somebody_else_feeds_is_left_to_him(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trial_guard, "WATCHDOG", str(machine.folder))
    handle, said = _trial_guard.open_watchdog()
    assert handle == -1
    assert "is in use" in said


def test_a_watchdog_that_a_daemon_will_want_is_left_to_it(machine: Machine) -> None:
    (machine.folder / "multi-user.target.wants").mkdir()
    (machine.folder / "multi-user.target.wants/sbd.service").touch()
    handle, said = _trial_guard.open_watchdog()
    assert handle == -1
    assert "is left to sbd.service" in said


def test_a_driver_that_boot_loads_a_little_later_is_waited_for(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_trial_guard.subprocess, "run", lambda *argv, **more: pytest.fail("softdog is loaded"))
    (machine.folder / "watchdog").unlink()
    machine.happens[16.0] = (machine.folder / "watchdog").touch
    handle, _ = _trial_guard.open_watchdog()
    assert handle >= 0
    os.close(handle)
