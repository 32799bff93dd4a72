# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shutdown: nothing waits for a dead path, everything else is left in order, and what is not is named."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import shutdown, sysfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._node import main
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program

UNITS = Path(__file__).parents[5] / "roles/nvme_host/files"

NAMES = [f"mptcp 192.0.2.{number}:4420 {nvme_tree.NQN}" for number in (1, 2)]
SAVED = {"hostnqn": nvme_tree.HOSTNQN}


class Machine(shutdown.Machine):
    """Two controllers of one subsystem whose namespace is used, each by its own target."""

    def __init__(self, root: Path, *states: str) -> None:
        self.root, self.stopping, self.used, self.written, self.slept = root, True, ["mounted on /data"], [], 0
        self.refuse: dict[str, int] = {}
        nvme_tree.subsystem(root)
        for number, state in enumerate(states):
            address = f"traddr=192.0.2.{number + 1},trsvcid=4420"
            nvme_tree.controller(root, number, state=state, address=address)
        self.shutting_down = lambda: self.stopping
        self.look = lambda: sysfs.read(str(root))
        self.users = self._users
        self.perform = self._perform
        self.sleep = self._sleep

    def _users(self, device: str, claims: bool = True) -> list[str]:
        reached = any(one.reaches(device) for one in self.look().controllers)
        assert reached or not claims, "opening a device whose paths are away can hang"
        return self.used

    def _sleep(self, seconds: float) -> None:
        self.slept += 1

    def _perform(self, operation: Operation) -> None:
        path = self.root / operation.path.lstrip("/")
        if path.parent.name in self.refuse:
            raise OSError(self.refuse[path.parent.name], "refused")
        self.written.append((path.parent.name, path.name, operation.value))
        if path.name == "delete_controller":
            shutil.rmtree(path.parent)
        else:
            path.write_text(operation.value + "\n")


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "owned", lambda name: NAMES)
    monkeypatch.setattr(shutdown, "GRACE", 0.05)


def release(machine: Machine) -> list[str]:
    return list(shutdown.release(SAVED, machine))


def withdraw(machine: Machine) -> list[str]:
    return list(shutdown.withdraw(SAVED, machine))


def deleted(machine: Machine) -> list[str]:
    return sorted(name for name, attribute, _value in machine.written if attribute == "delete_controller")


@pytest.mark.parametrize("end", [release, withdraw])
def test_nothing_happens_unless_the_machine_goes_down(tmp_path: Path, end: Any) -> None:
    machine = Machine(tmp_path, "connecting")
    machine.stopping = False
    assert len(end(machine)) == 1
    assert machine.written == []


def test_with_every_target_up_only_the_patience_ends(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "live", "live")
    assert release(machine) == []
    assert machine.written == [("nvme0", "fast_io_fail_tmo", "5"), ("nvme1", "fast_io_fail_tmo", "5")]


def test_a_shorter_patience_stays(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "live")
    (tmp_path / "sys/class/nvme/nvme0/fast_io_fail_tmo").write_text("2\n")
    assert release(machine) == []
    assert machine.written == []


def test_a_second_path_is_enough(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "connecting", "live")
    assert release(machine) == []
    assert deleted(machine) == []


@pytest.mark.parametrize("states", [("connecting", "connecting"), ("live", "resetting")])
def test_what_has_no_path_is_given_up_by_name(tmp_path: Path, states: tuple[str, str]) -> None:
    machine = Machine(tmp_path, *states)
    # Live, but the target has said that it takes no I/O there.
    for path in (tmp_path / "sys/class/nvme").glob("nvme*/nvme0c*n1/ana_state"):
        path.write_text("inaccessible\n")
    assert release(machine) == [
        "/dev/nvme0n1 has no path, mounted on /data: given up, left unclean: what was not written yet is lost"
    ]
    assert deleted(machine) == ["nvme0", "nvme1"]
    assert machine.slept


def test_a_path_that_comes_back_in_time_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, "connecting")
    monkeypatch.setattr(shutdown, "GRACE", 60.0)
    machine.sleep = lambda seconds: (tmp_path / "sys/class/nvme/nvme0/state").write_text("live\n")
    assert release(machine) == []
    assert deleted(machine) == []


def test_others_controllers_are_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "owned", lambda name: NAMES[1:])
    machine = Machine(tmp_path, "connecting", "connecting")
    release(machine)
    machine.used = []
    withdraw(machine)
    assert {name for name, _attribute, _value in machine.written} == {"nvme1"}


def test_after_the_unmounts_everything_is_disconnected(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "live", "live")
    machine.used = []
    assert withdraw(machine) == ["2 controller(s) disconnected"]
    assert deleted(machine) == ["nvme0", "nvme1"]


def test_what_is_still_used_is_left_and_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "live", "live")
    assert withdraw(machine) == [
        "/dev/nvme0n1 is still mounted on /data: not disconnected, left unclean",
        "0 controller(s) disconnected",
    ]
    assert deleted(machine) == []


def test_a_refusal_is_named_and_the_others_go(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "live", "live")
    machine.used, machine.refuse = [], {"nvme0": errno.EBUSY}
    assert withdraw(machine)[0] == "nvme0: delete_controller was refused: refused"
    assert deleted(machine) == ["nvme1"]


def unit(name: str) -> list[str]:
    return [line for line in (UNITS / name).read_text().splitlines() if not line.startswith("#")]


def test_the_units_run_commands_that_the_program_has() -> None:
    lines = unit("nvmeof-mptcp-host.service") + unit("nvmeof-mptcp-host-release.service")
    commands = [line.rpartition("nvmeof-mptcp.pyz ")[2].split() for line in lines if line.startswith("Exec")]
    assert commands == [["converge", "host"], ["withdraw", "host"], ["release", "host"]]
    assert all(name in main._DO[command] for command, name in commands)


def test_what_runs_beside_a_hanging_mount_has_no_name_space_of_mounts() -> None:
    """Making one looks at every mount; an option of these would make one (systemd.exec(5))."""
    makes = ("Protect", "Private", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths", "TemporaryFile")
    assert not [line for line in unit("nvmeof-mptcp-host-release.service") if line.startswith(makes)]
    assert "ExecStop=+" in "\n".join(unit("nvmeof-mptcp-host.service"))


def test_the_program_needs_no_memory_that_is_written_and_run() -> None:
    """ctypes does, and MemoryDenyWriteExecute= forbids it."""
    assert not [path for path, text in _program.sources().items() if "import ctypes" in text]
