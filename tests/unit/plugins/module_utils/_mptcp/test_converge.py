# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One converge: what it writes, what it refuses and what it tells. The kernel is the model of _mptcp/test_plan."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, converge, feasible
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.saved import COMPONENT
from lock_holders import another_holds

from _mptcp.test_plan import Kernel, bare, description


class Machine(Kernel):
    """The model, put in the place of the real kernel; refuse holds an error for the operations that mention a word."""

    def __init__(self, folder: Path) -> None:
        super().__init__(bare())
        self.folder = folder
        self.done: list[str] = []
        self.refuse: dict[str, OSError] = {}
        self.deaf: str = "\0"

    def do(self, operation: _operation.Operation) -> None:
        for word, error in self.refuse.items():
            if word in operation.line():
                raise error
        self.done.append(operation.line())
        if self.deaf not in operation.line():
            super().do(operation)

    def saved(self) -> dict[str, Any]:
        return {path.name: json.loads(path.read_text()) for path in sorted(self.folder.rglob("*.json"))}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    model = Machine(tmp_path)
    monkeypatch.setattr(actual, "read", lambda: model.actual)
    monkeypatch.setattr(actual, "read_sysctl", lambda path: model.sysctls.get(path, "as booted"))
    monkeypatch.setattr(converge, "apply", lambda plan, why: _operation.apply(plan, why, model.do))
    for function in (state.load, state.save, state.would_save, state.owned, state.own):
        defaults = tuple(str(tmp_path / "etc") for _ in function.__defaults__ or ())
        monkeypatch.setattr(function, "__defaults__", defaults)
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "locks"))
    return model


def test_second_run_changes_nothing(machine: Machine) -> None:
    first = converge.converge(description())
    assert first["changed"]
    assert first["plan"] == machine.done
    assert machine.saved()["mptcp.json"] == description()
    assert "endpoint 10.10.0.5" in machine.saved()["mptcp.owned.json"]
    again = converge.converge(description())
    assert (again["changed"], again["plan"]) == (False, [])
    assert again["diff"]["before"] == again["diff"]["after"] == first["diff"]["after"]


def test_check_mode_tells_the_same_and_writes_nothing(machine: Machine) -> None:
    told = converge.converge(description(), check=True)
    assert list(machine.folder.iterdir()) == []
    assert machine.done == []
    done = converge.converge(description())
    assert told == done


def test_new_description_of_the_same_network_is_a_change(machine: Machine) -> None:
    converge.converge(description())
    renamed = json.loads(json.dumps(description()).replace("rail0", "left"))
    assert converge.converge(renamed, check=True)["changed"]
    assert converge.converge(renamed)["plan"] == []
    assert machine.saved()["mptcp.json"] == renamed


def test_refused_plan_is_not_what_boot_converges_to_and_forgets_nothing(machine: Machine) -> None:
    machine.refuse = {"endpoint add 10.10.1.5": OSError(5, "too many addresses or duplicate one: -34.")}
    with pytest.raises(_operation.Refused) as refused:
        converge.converge(description())
    assert "ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow" in str(refused.value)
    assert "endpoint table is full" in str(refused.value)
    assert "mptcp.json" not in machine.saved()
    assert "endpoint 10.10.0.5" in machine.saved()["mptcp.owned.json"]
    machine.refuse = {}
    assert converge.converge(description())["plan"] == [
        "ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow",
        "ip mptcp endpoint add 10.10.2.5 dev eth2 id 3 subflow",
    ]


@pytest.mark.parametrize(
    ("word", "error", "says"),
    [
        ("route add", OSError(5, "RTNETLINK answers: File exists"), "a route that is not ours has this destination"),
        ("route add", OSError(5, "Error: Nexthop has invalid gateway."), "no address in the network of that next hop"),
        ("limits set", OSError(5, "Error: limit greater than maximum (8)."), "use fewer rails"),
        ("rule add", OSError(5, "RTNETLINK answers: Operation not permitted"), "as root"),
        ("rule add", OSError(5, "RTNETLINK answers: Cannot allocate memory"), "Cannot allocate memory"),
    ],
)
def test_refusal_is_explained(machine: Machine, word: str, error: OSError, says: str) -> None:
    machine.refuse = {word: error}
    with pytest.raises(_operation.Refused, match=says):
        converge.converge(description())


def test_kernel_that_ignores_a_value_is_noticed(machine: Machine) -> None:
    machine.deaf = "endpoint add 10.10.2.5"
    with pytest.raises(converge.NotConverged, match=r"ip mptcp endpoint add 10\.10\.2\.5"):
        converge.converge(description())
    assert "mptcp.json" not in machine.saved()


def test_too_many_rails_for_the_running_kernel_are_refused_before_anything_is_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = subprocess.CompletedProcess([], 1, "", "Error: limit greater than maximum (8).")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: said)
    wanted = {**description(), "limits": {"subflows": 10, "add_addr_accepted": 0}}
    with pytest.raises(feasible.TooManyRails, match=r"limit of 10 subflows .* maximum \(8\)"):
        converge.converge(wanted, check=True)
    assert machine.done == []


@pytest.mark.parametrize("check", [True, False])
def test_sysctl_that_the_kernel_lacks_is_refused_before_anything_is_changed(
    machine: Machine, check: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actual, "read_sysctl", lambda path: None if path.endswith("rto_max_ms") else "as booted")
    wanted = {**description(), "sysctls": {"net.mptcp.enabled": "1", "net.ipv4.tcp_rto_max_ms": "5000"}}
    with pytest.raises(ValueError, match=r"kernel has no /proc/sys/net/ipv4/tcp_rto_max_ms; nothing was changed"):
        converge.converge(wanted, check=check)
    assert machine.done == []


def others(count: int) -> list[dict[str, Any]]:
    return [
        {"address": f"192.0.2.{number}", "id": number, "flags": ["subflow"], "dev": "", "port": 0}
        for number in range(1, count + 1)
    ]


def test_endpoint_for_which_no_id_is_left_is_refused_before_anything_is_changed(machine: Machine) -> None:
    machine.actual["endpoints"] += others(255)
    with pytest.raises(ValueError, match=r"endpoints: 10\.10\.0\.5 needs an id, and all 255 are taken"):
        converge.converge(description())
    assert machine.done == []
    del machine.actual["endpoints"][7:9]
    with pytest.raises(ValueError, match=r"10\.10\.2\.5 needs an id"):
        converge.converge(description())
    assert machine.done == []


def test_table_of_endpoints_that_would_overflow_is_refused_before_anything_is_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(argv: list[str], **options: Any) -> Any:
        asked.append(options["input"])
        return subprocess.CompletedProcess(argv, 1, "", "Error: too many addresses.\nCommand failed -:9\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    machine.actual["endpoints"] += others(6)
    with pytest.raises(
        feasible.TooManyEndpoints, match=r"^9 MPTCP endpoints .* \(Error: too many addresses\.\); 6 of them are"
    ) as refused:
        converge.converge(description())
    assert "192.0.2.6" in str(refused.value)
    assert len(asked[0].splitlines()) == 9
    assert machine.done == []
    machine.actual["endpoints"].pop()
    converge.converge(description())
    assert len(asked) == 1, "eight endpoints have room in every kernel"


def test_table_that_others_have_filled_further_is_no_obstacle_when_nothing_is_added(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    converge.converge(description())
    machine.actual["endpoints"] += [{**one, "id": one["id"] + 10} for one in others(20)]
    monkeypatch.setattr(subprocess, "run", lambda *_argv, **_options: pytest.fail("asked without need"))
    assert converge.converge(description())["plan"] == []


def test_boot_asks_in_no_other_namespace(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save(COMPONENT, {**description(), "limits": {"subflows": 10, "add_addr_accepted": 0}})
    machine.actual["endpoints"] += others(10)
    monkeypatch.setattr(subprocess, "run", lambda *_argv, **_options: pytest.fail("asked without need"))
    assert "ip mptcp limits set subflows 10 add_addr_accepted 0" in converge.converge(None)["plan"]


def test_what_the_description_no_longer_has_is_forgotten(machine: Machine) -> None:
    converge.converge(description())
    result = converge.converge(description(server=False))
    assert result["plan"] == ["ip address del 10.10.255.5/32 dev lo"]
    assert not any("address" in name for name in machine.saved()["mptcp.owned.json"])


def test_saved_description_is_read_under_the_lock(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match="nothing was saved"):
        converge.converge(None)
    converge.converge(description())
    machine.actual["endpoints"].clear()
    saved = machine.saved()
    assert len(converge.converge(None)["plan"]) == 3
    assert machine.saved() == saved
    held: list[bool] = []

    def load(_name: str) -> Any:
        with pytest.raises(BlockingIOError), another_holds(lock.FOLDER, "network"):
            held.append(False)
        held.append(True)
        return description()

    monkeypatch.setattr(state, "load", load)
    converge.converge(None)
    assert held == [True]
