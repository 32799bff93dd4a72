# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts are sent to their other paths before a machine goes down, never when just a unit is stopped."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state, systemd
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._node import main
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import withdraw as _nvmet_withdraw
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Machine, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT
from emulated_configfs import ROOT

from _nvmet.test_converge import CONNECTED, machine, simple

GROUPS = [{"grpid": 2, "ana_state": "non-optimized"}, {"grpid": 3, "ana_state": "persistent-loss"}]


def states(on: Machine) -> dict[str, str]:
    found = gather(on.kernel, ROOT).objects
    return {path: item.attributes["ana_state"] for path, item in found.items() if item.kind == "ana_group"}


def withdraw(on: Machine, shutting_down: bool = True) -> list[str]:
    saved = state.load(COMPONENT, on.config_dir)
    return _nvmet_withdraw.withdraw(saved, on, wait=1.5, shutting_down=lambda: shutting_down)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(_nvmet_withdraw.time, "sleep", found.append)
    return found


def test_our_ports_become_inaccessible_and_everything_else_stays(tmp_path: Path, slept: list[float]) -> None:
    on = machine(tmp_path)
    converge(simple(ana_groups=GROUPS), machine=on)
    on.kernel.perform(Operation("mkdir", f"{ROOT}/ports/7"))
    before, links = len(on.kernel.performed), dict(on.kernel.links)
    lines = withdraw(on)
    assert lines == [
        f"printf %s inaccessible > {ROOT}/ports/1/ana_groups/1/ana_state",
        f"printf %s inaccessible > {ROOT}/ports/1/ana_groups/2/ana_state",
    ]
    assert states(on) == {
        "ports/1/ana_groups/1": "inaccessible",
        "ports/1/ana_groups/2": "inaccessible",
        "ports/1/ana_groups/3": "persistent-loss",
        "ports/7/ana_groups/1": "optimized",
    }
    assert len(on.kernel.performed) == before + 2
    assert on.kernel.links == links
    assert withdraw(on) == []
    assert slept == [], "nobody is connected"


def test_connected_hosts_get_the_time_to_hear_of_it(tmp_path: Path, slept: list[float]) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED]
    withdraw(on)
    assert slept == [1.5]
    withdraw(on)
    assert slept == [1.5], "nothing was announced"


def test_a_unit_that_is_stopped_or_restarted_changes_nothing(tmp_path: Path, slept: list[float]) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    before = len(on.kernel.performed)
    assert withdraw(on, shutting_down=False) == ["this machine is not shutting down; what it serves stays as it is"]
    assert len(on.kernel.performed) == before


@pytest.mark.parametrize("groups", [[], [{"grpid": 1, "ana_state": "non-optimized"}, *GROUPS]])
def test_boot_restores_the_states_also_where_the_kernel_went_on(tmp_path: Path, slept, groups: list) -> None:
    """As after `systemctl soft-reboot`; a description without groups means group 1, optimized."""
    on = machine(tmp_path)
    converge(simple(ana_groups=groups), machine=on)
    described, saved = states(on), state.load(COMPONENT, on.config_dir)
    withdraw(on)
    assert set(states(on).values()) <= {"inaccessible", "persistent-loss"}
    boot(saved, wait=0, machine=on)
    assert states(on) == described
    assert described["ports/1/ana_groups/1"] == ("non-optimized" if groups else "optimized")
    assert boot(saved, wait=0, machine=on) == []


def test_boot_sets_the_states_before_the_port_opens(tmp_path: Path) -> None:
    converge(simple(ana_groups=[{"grpid": 1, "ana_state": "inaccessible"}, *GROUPS]), machine=machine(tmp_path))
    rebooted = machine(tmp_path)
    lines = boot(state.load(COMPONENT, rebooted.config_dir), wait=0, machine=rebooted)
    opens = next(number for number, line in enumerate(lines) if line.startswith("ln -s") and "/ports/1/" in line)
    written = [number for number, line in enumerate(lines) if "ana_state" in line]
    assert len(written) == 3
    assert max(written) < opens


@pytest.mark.parametrize(
    ("said", "answer"), [("stopping\n", True), ("running\n", False), ("degraded\n", False), ("", False)]
)
def test_systemd_says_whether_the_machine_goes_down(monkeypatch: pytest.MonkeyPatch, said: str, answer: bool) -> None:
    monkeypatch.setattr(subprocess, "run", lambda argv, **how: subprocess.CompletedProcess(argv, 1, said, ""))
    assert systemd.is_shutting_down() is answer


def test_the_node_program_has_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(state, "load", lambda name: {"target": simple()})
    monkeypatch.setitem(
        main._DO["withdraw"], "target", lambda: (COMPONENT, lambda saved: [str(saved["target"] == simple())])
    )
    assert main.main(["withdraw", "target"]) == 0
    assert capsys.readouterr().out == "target: True\n"
    with pytest.raises(SystemExit):
        main.main(["withdraw", "mptcp"])
    unit = Path(__file__).parents[5] / "roles/nvme_target/files/nvmeof-mptcp-target.service"
    assert "nvmeof-mptcp.pyz withdraw target\n" in unit.read_text()
