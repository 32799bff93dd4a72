# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A trial that is interrupted anywhere: what boots next is never in doubt, and another run goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import checks, steps
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.steps import TrialError

OLD, NEW = "7.2.12", "7.3.4"


class Killed(Exception):
    """The play, or the machine."""


class Machine:
    """A loader whose default a new kernel takes when its packages are installed, as with GRUB_DEFAULT=0."""

    name = "loader"

    def __init__(self) -> None:
        self.installed, self.pinned, self.once = {OLD}, "", ""
        self.ledger: dict[str, Any] = {"trial": None, "proven": [], "installed": {}}
        self.guarded, self.left = True, -1
        self.command_line = ["ro", "panic=10"]

    def entries(self) -> dict[str, str]:
        return {release: release for release in self.installed}

    def default(self) -> str:
        return self.pinned or max(self.installed)

    def options(self, release: str) -> list[str]:
        return self.command_line

    def next(self) -> str:
        return self.once

    def keep_default(self, release: str) -> list[Operation]:
        return [] if self.pinned == release else [Operation("run", argv=("pin", release))]

    def boot_once(self, release: str) -> list[Operation]:
        return [] if self.once == release else [Operation("run", argv=("once", release))]

    def boot_default(self) -> list[Operation]:
        return [Operation("run", argv=("once", ""))] if self.once else []

    def obstacles(self) -> list[str]:
        return []

    def folders(self) -> list[str]:
        return []

    def step(self) -> None:
        """One more thing that changes the machine."""
        if self.left == 0:
            raise Killed
        self.left -= 1

    def do(self, operation: Operation) -> None:
        self.step()
        if operation.verb == "put":
            Path(operation.path).write_text(operation.value)
            return
        if operation.verb == "unlink":
            Path(operation.path).unlink()
            return
        verb, release = operation.argv[0], operation.argv[-1]
        if verb == "pin":
            self.pinned = release
        elif verb == "once":
            self.once = release
        elif operation.argv[: len(packages.INSTALL)] == packages.INSTALL:
            self.installed.add(release)
        elif operation.argv[: len(packages.PURGE)] == packages.PURGE:
            self.installed -= set(operation.argv)

    def write(self, ledger: dict[str, Any]) -> None:
        self.step()
        self.ledger = ledger

    def unguard(self, name: str) -> bool:
        self.step()
        self.guarded = False
        return True

    def undecided(self) -> bool:
        """Whether the guard would reboot it."""
        trial = self.ledger["trial"]
        return self.guarded and bool(trial) and not trial["kept"]

    def boot(self) -> str:
        """The kernel that comes up."""
        release, self.once = self.once or self.default(), ""
        return release


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    found = Machine()
    monkeypatch.setattr(steps, "APT_SETTINGS", str(tmp_path / "apt"))
    monkeypatch.setattr(packages, "installed_version", lambda name: "1" if name in found.installed else "")
    monkeypatch.setattr(checks, "removal", lambda command: list(command[len(packages.PURGE) :]))
    monkeypatch.setattr(_operation.apply, "__defaults__", (found.do,))
    monkeypatch.setattr(_trial_ledger, "write", found.write)
    monkeypatch.setattr(unit, "current", lambda name: "[Unit]" if found.guarded else "")
    monkeypatch.setattr(unit, "remove", found.unguard)
    return found


def arm(machine: Machine) -> None:
    trial = _trial_ledger.new_trial(NEW, OLD, 600)
    missing = {} if NEW in machine.installed else {NEW: NEW}
    steps.arm(machine, machine.ledger, trial, missing, list(missing), "boot-1")


@pytest.mark.parametrize("left", range(10))
def test_until_it_is_armed_the_old_kernel_boots(machine: Machine, left: int) -> None:
    machine.left = left
    try:
        arm(machine)
        killed = False
    except Killed:
        killed = True
    assert machine.default() == OLD
    stands = _trial_ledger.verdict(machine.ledger["trial"], OLD, "boot-1")
    if machine.once:
        # Written before it is done: whoever comes next knows that it may have been tried.
        assert stands == "armed"
    if killed:
        machine.left = -1
        arm(machine)
    assert (machine.boot(), machine.boot()) == (NEW, OLD)
    assert _trial_ledger.verdict(machine.ledger["trial"], NEW, "boot-2") == "running"
    assert _trial_ledger.verdict(machine.ledger["trial"], OLD, "boot-3") == "failed"


def test_the_cases_above_reach_the_end(machine: Machine) -> None:
    machine.left = 10
    arm(machine)
    assert 0 < 10 - machine.left < 10


def test_packages_without_an_entry_in_the_menu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "entries", lambda: {OLD: OLD})
    with pytest.raises(TrialError, match=f"has no entry for it .*default is still {OLD}"):
        arm(machine)
    assert machine.boot() == OLD


def test_a_default_that_does_not_hold_is_refused_before_anything_is_installed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "default", lambda: max(machine.installed))
    machine.installed.add("7.2.99")
    with pytest.raises(TrialError, match=r"boots 7[.]2[.]99 by default"):
        arm(machine)
    assert (machine.once, NEW in machine.installed) == ("", False)


def test_a_default_that_the_new_kernel_takes_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "default", lambda: max(machine.installed))
    with pytest.raises(TrialError, match=f"boots {NEW} by default"):
        arm(machine)
    assert machine.once == ""


@pytest.mark.parametrize("options", [[], ["panic=0"], ["panic=10", "panic=0"], ["panic="]])
def test_a_kernel_that_would_stand_still_when_it_panics_is_not_booted(machine: Machine, options: list[str]) -> None:
    machine.command_line = options
    with pytest.raises(TrialError, match=r"panic=.*/etc/default/grub\.d"):
        arm(machine)
    assert machine.boot() == OLD
    assert _trial_ledger.verdict(machine.ledger["trial"], OLD, "boot-2") == "none"


def test_another_kernel_that_was_armed_before_does_not_boot(machine: Machine) -> None:
    arm(machine)
    machine.once, machine.left = "7.9", 1
    with pytest.raises(Killed):
        arm(machine)
    assert machine.boot() == OLD


def test_the_way_back_is_not_removed_by_apt_while_a_kernel_is_on_trial(machine: Machine, tmp_path: Path) -> None:
    arm(machine)
    assert (tmp_path / "apt").read_text() == 'APT::NeverAutoRemove { "^linux-.*-7\\.2\\.12(-unsigned)?$"; };\n'
    machine.boot()
    steps.keep(machine, machine.ledger, NEW, 2, perform=True)
    assert not (tmp_path / "apt").exists()


@pytest.mark.parametrize("left", [-1, *range(6)])
def test_a_kernel_that_was_proven_is_the_default_before_its_guard_goes(machine: Machine, left: int) -> None:
    arm(machine)
    machine.boot()
    machine.left = left
    try:
        steps.keep(machine, machine.ledger, NEW, 2, perform=True)
    except Killed:
        # The guard would reboot it for ever.
        assert not (machine.undecided() and machine.default() == NEW)
        assert machine.guarded or machine.default() == NEW
        machine.left = -1
        steps.keep(machine, machine.ledger, NEW, 2, perform=True)
    assert machine.boot() == NEW
    assert machine.ledger["proven"] == [NEW]
    assert not machine.guarded
    assert steps.keep(machine, machine.ledger, NEW, 2, perform=True) == []


def test_kernels_that_are_too_many_go_with_their_packages(machine: Machine) -> None:
    machine.ledger["installed"] = {"7.1": ["7.1"], "7.2": ["7.2"]}
    machine.installed |= {"7.1", "7.2"}
    arm(machine)
    machine.boot()
    lines = steps.keep(machine, machine.ledger, NEW, 2, perform=False)
    assert NEW not in machine.ledger["proven"]
    assert any(line.endswith("purge -- 7.1") for line in lines)
    steps.keep(machine, machine.ledger, NEW, 2, perform=True)
    assert machine.installed == {OLD, "7.2", NEW}
    assert set(machine.ledger["installed"]) == {"7.2", NEW}


@pytest.mark.parametrize(
    ("installed", "along", "gone"), [(set(), [], {"7.1"}), ({"7.1"}, ["linux-image-amd64"], set())]
)
def test_a_kernel_is_removed_by_name_where_it_is_there_and_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, installed: set[str], along: list[str], gone: set[str]
) -> None:
    monkeypatch.setattr(checks, "removal", lambda command: ["7.1", *along])
    machine.ledger["installed"] = {"7.1": ["7.1"], "7.2": ["7.2"]}
    machine.installed |= {"7.2", *installed}
    arm(machine)
    machine.boot()
    lines = steps.keep(machine, machine.ledger, NEW, 2, perform=True)
    assert not any("purge" in line for line in lines)
    assert machine.installed == {OLD, "7.2", NEW, *installed}
    assert set(machine.ledger["installed"]) == {"7.1", "7.2", NEW} - gone


def test_a_trial_that_ends_is_forgotten_and_what_it_installed_is_not_booted(machine: Machine) -> None:
    arm(machine)
    assert steps.end(machine, machine.ledger, perform=True)[-1] == "end the trial"
    assert machine.boot() == OLD
    assert machine.ledger["trial"] is None
    assert not machine.guarded
    assert machine.ledger["installed"] == {NEW: [NEW]}
    assert steps.end(machine, machine.ledger, perform=True) == []
