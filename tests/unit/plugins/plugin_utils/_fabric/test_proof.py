# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric that is as planned, and each way in which it can be less: the problem has to name its cause."""

from __future__ import annotations

import copy
from typing import Any, Callable

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.proof import proof, ready

NQN = "nqn.2026-11.org.example:vol0"
PLANNED = [{"transport": "mptcp", "traddr": "10.10.255.1", "trsvcid": "4420", "subsysnqn": NQN}]
CONTROLLERS = [{**PLANNED[0], "name": "nvme0", "state": "live", "queue_count": 3}]
RAILS = range(4)
INFO = {"transport": {"present": True, "kernel_release": "7.2.12"}, "node_program": "abc"}
READY = {"host1": {**INFO, "controllers": CONTROLLERS}, "target1": INFO}


def rails(number: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"rail{r}",
            "interface": f"eth{r}",
            "cidr": f"10.10.{r}.0/24",
            "address": f"10.10.{r}.{number}",
            "share": 0.25,
        }
        for r in RAILS
    ]


def reading(done: int, number: int) -> dict[str, Any]:
    flows = [{"local": f"10.10.{r}.101", "established": True} for r in RAILS]
    portal = {"remote": "10.10.255.1", "remote_port": 4420, "fallback": False}
    nic = {"rx_bytes": done * 2**24, "tx_bytes": done * 2**10, "operstate": "up", "carrier": True}
    return {
        "connections": [{**portal, "subflows": copy.deepcopy(flows)} for _queue in range(3)] if number == 101 else [],
        "endpoints": [{"address": f"10.10.{r}.101"} for r in RAILS] if number == 101 else [],
        "interfaces": {f"eth{r}": dict(nic) for r in RAILS},
        "counters": {"MPCapableFallbackACK": 2, "MPJoinRejected": 1},
    }


def machines() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "before": reading(0, number),
            "after": reading(1, number),
            "rails": rails(number),
            "service": service,
        }
        for name, number, service in (("host1", 101, ""), ("target1", 1, "10.10.255.1"))
    }


def judge(fabric: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return proof("host1", fabric["host1"]["rails"], PLANNED, CONTROLLERS, fabric)


def test_fabric_as_planned_has_no_problem() -> None:
    result = judge(machines())
    assert result["problems"] == []
    assert result["shares"] == {f"rail{r}": 0.25 for r in RAILS}
    assert any("rail3" in line and "25%" in line for line in result["table"])


def carry(fabric: dict[str, dict[str, Any]], *parts: float) -> None:
    """Make each rail of the host carry its part."""
    for r, part in enumerate(parts):
        counters = fabric["host1"]["after"]["interfaces"][f"eth{r}"]
        counters.update(rx_bytes=int(counters["rx_bytes"] * part), tx_bytes=0)


def test_planned_share_follows_the_speed_of_a_rail() -> None:
    fabric = machines()
    carry(fabric, 10, 1, 1, 1)
    assert len(judge(fabric)["problems"]) == 3
    for rail, share in zip(fabric["host1"]["rails"], (0.7, 0.1, 0.1, 0.1)):
        rail["share"] = share
    result = judge(fabric)
    assert result["problems"] == []
    assert [line.split()[-1] for line in result["table"] if line.startswith("rail") and "eth" in line] == [
        "70%",
        "10%",
        "10%",
        "10%",
    ]


def test_backup_needs_its_subflow_and_no_bytes() -> None:
    fabric = machines()
    carry(fabric, 1, 1, 1, 0)
    for rail, share in zip(fabric["host1"]["rails"], (1 / 3, 1 / 3, 1 / 3, 0)):
        rail["share"] = share
    assert judge(fabric)["problems"] == []
    for connection in fabric["host1"]["after"]["connections"]:
        del connection["subflows"][3]
    assert "have no subflow on rail3" in " ".join(judge(fabric)["problems"])


def test_rail_that_the_target_does_not_have_is_not_expected() -> None:
    fabric = machines()
    carry(fabric, 1, 1, 1, 0)
    for connection in fabric["host1"]["after"]["connections"]:
        del connection["subflows"][3]
    assert len(judge(fabric)["problems"]) == 2
    del fabric["target1"]["rails"][3]
    result = judge(fabric)
    assert result["problems"] == []
    assert result["shares"].keys() == {"rail0", "rail1", "rail2"}


def test_rails_of_the_other_family_are_not_expected() -> None:
    fabric = machines()
    ipv6 = [{**rail, "name": f"{rail['name']}v6", "address": "2001:db8::1"} for rail in rails(101)]
    fabric["host1"]["rails"] += ipv6
    fabric["target1"]["rails"] += ipv6
    result = judge(fabric)
    assert (result["problems"], len(result["shares"])) == ([], 4)


def without_flow(fabric: dict[str, dict[str, Any]]) -> None:
    for connection in fabric["host1"]["after"]["connections"]:
        del connection["subflows"][2]


def removed_endpoint(fabric: dict[str, dict[str, Any]]) -> None:
    without_flow(fabric)
    del fabric["host1"]["after"]["endpoints"][2]


def target_nic_down(fabric: dict[str, dict[str, Any]]) -> None:
    fabric["host1"]["after"]["interfaces"]["eth1"]["rx_bytes"] = 0
    fabric["target1"]["after"]["interfaces"]["eth1"].update(operstate="down", carrier=False)


def host_nic_gone(fabric: dict[str, dict[str, Any]]) -> None:
    without_flow(fabric)
    del fabric["host1"]["after"]["interfaces"]["eth2"]


def rejected(fabric: dict[str, dict[str, Any]]) -> None:
    without_flow(fabric)
    fabric["target1"]["after"]["counters"]["MPJoinRejected"] += 1


def reset(fabric: dict[str, dict[str, Any]]) -> None:
    without_flow(fabric)


def not_established(fabric: dict[str, dict[str, Any]]) -> None:
    fabric["host1"]["after"]["connections"][0]["subflows"][2]["established"] = False


def fell_back_now(fabric: dict[str, dict[str, Any]]) -> None:
    fabric["host1"]["after"]["connections"][0]["fallback"] = True


def fell_back_meanwhile(fabric: dict[str, dict[str, Any]]) -> None:
    fabric["target1"]["after"]["counters"]["MPCapableFallbackACK"] += 1


def plain_tcp_queue(fabric: dict[str, dict[str, Any]]) -> None:
    del fabric["host1"]["after"]["connections"][0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (removed_endpoint, ["3 of 3 connections", "rail2", "endpoint 10.10.2.101 is not set on host1"]),
        (target_nic_down, ["rail1 carried 0%", "NIC eth1 of target1 is down"]),
        (host_nic_gone, ["rail2", "NIC eth2 of host1 does not exist"]),
        (rejected, ["rail2", "limit of subflows"]),
        (reset, ["rail2", "reset"]),
        (not_established, ["1 of 3 connections", "rail2"]),
        (fell_back_now, ["fell back to plain TCP"]),
        (fell_back_meanwhile, ["target1: MPCapableFallbackACK rose by 1"]),
        (plain_tcp_queue, ["2 MPTCP connections", "3 queues"]),
    ],
)
def test_each_damage_is_named(damage: Callable[[dict[str, dict[str, Any]]], None], words: list[str]) -> None:
    fabric = machines()
    damage(fabric)
    said = " / ".join(judge(fabric)["problems"])
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("controllers", "words"),
    [
        ([], "does not exist"),
        ([{**CONTROLLERS[0], "state": "connecting"}], "is connecting, not live"),
        ([{**CONTROLLERS[0], "transport": "tcp"}], "uses tcp, not mptcp"),
    ],
)
def test_controllers_that_are_not_as_planned(controllers: list[dict[str, Any]], words: str) -> None:
    [problem] = ready("host1", PLANNED, {**READY, "host1": {**INFO, "controllers": controllers}}, "abc")
    assert words in problem


@pytest.mark.parametrize("spelling", ["stor1.example.org", "::ffff:10.10.255.1"])
def test_a_target_by_name_or_in_another_spelling(spelling: str) -> None:
    planned = [{**PLANNED[0], "traddr": spelling}]
    assert ready("host1", planned, READY, "abc") == []
    fabric = machines()
    result = proof("host1", fabric["host1"]["rails"], planned, CONTROLLERS, fabric)
    assert result["problems"] == []
    assert any("10.10.255.1:4420" in line for line in result["table"])
    [problem] = ready("host1", planned, {**READY, "host1": {**INFO, "controllers": []}}, "abc")
    assert "does not exist" in problem


def test_fabric_that_is_ready() -> None:
    assert ready("host1", PLANNED, READY, "abc") == []


@pytest.mark.parametrize("machine", ["host1", "target1"])
def test_machine_without_the_transport_is_named(machine: str) -> None:
    without = {**READY, machine: {**READY[machine], "transport": {"present": False, "kernel_release": "7.2.12"}}}
    [problem] = ready("host1", PLANNED, without, "abc")
    assert f"{machine} does not offer the transport mptcp (kernel 7.2.12)" in problem


@pytest.mark.parametrize(("program", "words"), [("", "has no program"), ("def", "has another program than")])
def test_machine_that_boots_otherwise_is_named(program: str, words: str) -> None:
    other = {**READY, "target1": {**INFO, "node_program": program}}
    [problem] = ready("host1", PLANNED, other, "abc")
    assert f"target1 {words}" in problem


def test_run_without_bytes_proves_nothing() -> None:
    fabric = machines()
    fabric["host1"]["after"]["interfaces"] = copy.deepcopy(fabric["host1"]["before"]["interfaces"])
    assert len(judge(fabric)["problems"]) == len(RAILS)
