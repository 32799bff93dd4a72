# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.filter.subsystems import subsystems
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse

VOL = "nqn.2026-11.org.example:vol0"
HOSTVARS = {
    "target1": {},
    "target2": {},
    **{name: {"nvme_host_hostnqn": "nqn.2026-11.org.example:host1"} for name in ("host1", "clone")},
}
ONE = {"nqn": VOL, "allowed_hosts": ["host1"], "namespaces": [{"nsid": 1, "device_path": "/dev/x", "scratch": True}]}


def test_a_target_gets_names_and_identities_that_are_the_same_everywhere() -> None:
    found = subsystems([ONE], "target1", HOSTVARS)
    assert found == subsystems([ONE], "target2", HOSTVARS)
    assert found[0]["allowed_hosts"] == ["nqn.2026-11.org.example:host1"]
    namespace = found[0]["namespaces"][0]
    assert set(namespace) == {"nsid", "device_path", "uuid", "nguid"}
    assert namespace["uuid"] != namespace["nguid"]
    assert len(found[0]["serial"]) == 20
    assert f"subsystems/{VOL}/namespaces/1" in parse({"subsystems": found}).objects
    other = subsystems([{**ONE, "nqn": VOL + "b"}], "target1", HOSTVARS)
    assert other[0]["namespaces"][0]["uuid"] != namespace["uuid"]


def test_what_is_written_wins() -> None:
    one = {**ONE, "serial": "S", "namespaces": [{"nsid": 1, "uuid": "u"}]}
    found = subsystems([one], "target1", HOSTVARS)
    assert (found[0]["serial"], found[0]["namespaces"][0]["uuid"]) == ("S", "u")


def test_targets_choose() -> None:
    fabric = [{**ONE, "targets": ["target2"]}, {"nqn": VOL + "b"}]
    assert [item["nqn"] for item in subsystems(fabric, "target1", HOSTVARS)] == [VOL + "b"]
    assert [item["nqn"] for item in subsystems(fabric, "target2", HOSTVARS)] == [VOL, VOL + "b"]
    twice = [{**ONE, "targets": [name]} for name in ("target1", "target2")]
    assert len(subsystems(twice, "target1", HOSTVARS)) == 1
    assert "targets" not in subsystems(fabric, "target2", HOSTVARS)[0]


def ranges(fabric: list, targets: list, nqn: str = VOL) -> list:
    """What each target of the inventory hands out of controller IDs; None for all, nothing for who does not serve."""
    machines = {**HOSTVARS, **{name: {} for name in targets}}
    found = [item for name in targets for item in subsystems(fabric, name, machines, targets) if item["nqn"] == nqn]
    return [(item["cntlid_min"], item["cntlid_max"]) if "cntlid_min" in item else None for item in found]


@pytest.mark.parametrize("count", [2, 3, 16, 17, 100])
def test_targets_of_one_nqn_hand_out_controller_ids_that_never_meet(count: int) -> None:
    names = [f"target{number}" for number in range(count)]
    found = ranges([{"nqn": VOL}], names)
    assert len(found) == count
    assert found[0][0] == 1
    assert found[-1][1] <= 0xFFEF
    assert all(low <= high for low, high in found)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))
    assert min(high - low for low, high in found) > 600, "hosts enough for any target"
    if count < 16:
        assert ranges([{"nqn": VOL}], [*names, "more"])[:-1] == found, "nobody's range moves"


def test_controller_ids_are_divided_only_where_several_serve_and_nobody_wrote_them() -> None:
    assert ranges([{"nqn": VOL}], ["target1"]) == [None]
    assert ranges([{"nqn": VOL, "targets": ["target2"]}], ["target1", "target2"]) == [None]
    two = [(1, 4094), (4095, 8188)]
    assert ranges([{"nqn": VOL, "targets": ["target2", "target1"]}], ["target1", "target2"]) == two[::-1]
    # One entry for each target of the same subsystem.
    apart = [{"nqn": VOL, "targets": ["target1"]}, {"nqn": VOL, "targets": ["target2"]}, {"nqn": VOL + "b"}]
    assert ranges(apart, ["target1", "target2"]) == two
    for written in ({"cntlid_min": 7}, {"cntlid_max": 9}, {"cntlid_min": 7, "cntlid_max": 9}):
        item = subsystems([{"nqn": VOL, **written}], "target1", HOSTVARS, ["target1"])[0]
        assert {name: value for name, value in item.items() if name.startswith("cntlid")} == written
    parse({"subsystems": subsystems([{"nqn": VOL}], "target2", HOSTVARS, ["target1", "target2"])})


@pytest.mark.parametrize(
    ("fabric", "message"),
    [
        ({"nqn": VOL}, "fabric_subsystems: .* must be a list"),
        (["x"], r"fabric_subsystems\[0\]: 'x' must be a dictionary"),
        ([{"serial": 1}], r"fabric_subsystems\[0\]: .*nqn"),
        ([{"nqn": VOL, "targets": ["t9"]}], r"fabric_subsystems\[0\].targets: 't9' is not a machine"),
        ([{"nqn": VOL, "targets": []}], r"fabric_subsystems\[0\].targets: is empty"),
        ([{"nqn": VOL, "allowed_hosts": "host1"}], r"fabric_subsystems\[0\].allowed_hosts: 'host1' must be a list"),
        ([{"nqn": VOL, "allowed_hosts": ["h9"]}], r"fabric_subsystems\[0\].allowed_hosts: 'h9' is neither"),
        ([{"nqn": VOL, "namespaces": [{"nsid": 1, "scratch": "yes"}]}], r"namespaces\[0\].scratch: 'yes' must be"),
        ([ONE, {"nqn": VOL + "b"}, ONE], f"fabric_subsystems of target1: nqn '{VOL}' is written twice"),
        ([{"nqn": VOL, "namespaces": [{"nsid": 7}, {"nsid": 7}]}], rf"fabric_subsystems \({VOL}\): nsid 7 is written"),
        ([{"nqn": VOL, "allow_any_host": "no"}], r"fabric_subsystems\[0\].allow_any_host: 'no' must be true or false"),
        (
            [{"nqn": VOL, "allowed_hosts": ["host1", "clone"]}],
            "'host1' and 'clone' have the same host NQN nqn.2026-11.org.example:host1; a cloned machine",
        ),
        ([{"nqn": VOL, "namespaces": [{}]}], r"fabric_subsystems\[0\].namespaces\[0\]: {} must be"),
    ],
)
def test_mistakes_name_the_variable(fabric, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        subsystems(fabric, "target1", HOSTVARS)


def apart(first: dict, second: dict) -> list:
    """An entry of the subsystem for each of two targets."""
    return [{"nqn": VOL, "targets": [name], **one} for name, one in (("target1", first), ("target2", second))]


def namespace(nsid: int = 1, **options) -> dict:
    return {"namespaces": [{"nsid": nsid, "device_path": "/dev/x", **options}]}


UUID = "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"
APART = [
    ([{"nqn": VOL, "cntlid_min": 7}], "target1 has the controller IDs 7 to 65519 .* and target2 those from 7 to 65519"),
    ([{"nqn": VOL, "cntlid_min": 1, "cntlid_max": 9}], "IDs 1 to 9 .* write an entry for each target with a range"),
    # Without a range, the other's own begins at 4095.
    (
        apart({"cntlid_max": 5000}, {}),
        "target1 has the controller IDs 1 to 5000 .* and target2 those from 4095 to 8188",
    ),
    (apart({}, {"cntlid_max": 9}), "target2 has the controller IDs 1 to 9 .* and target1 those from 1 to 4094"),
    (apart({"cntlid_min": "x"}, {}), "cntlid_min 'x' of target1 must be a whole number"),
    (apart({"serial": "A"}, {"serial": "B"}), "serial is 'A' on target1 and 'B' on target2"),
    (apart({"serial": "A"}, {}), "serial is 'A' on target1 and '[0-9a-f]{20}' on target2"),
    (apart(namespace(uuid=UUID), namespace()), f"namespace 1 uuid is '{UUID}' on target1 and '"),
    (apart(namespace(), namespace(nguid=UUID)), f"namespace 1 nguid is '.*' on target1 and '{UUID}' on target2"),
    (apart(namespace(uuid=UUID), namespace(2, uuid=UUID)), f"uuid {UUID} nsid is '1' on target1 and '2' on target2"),
    (apart(namespace(uuid="u"), {}), "uuid 'u' of target1 must be 32 hexadecimal digits"),
]


@pytest.mark.parametrize(("fabric", "message"), APART)
@pytest.mark.parametrize("target", ["target1", "target2"])
def test_targets_that_a_host_could_not_use_together_are_refused_on_each(fabric, message: str, target: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"^fabric_subsystems: subsystem {VOL}: .*{message}"):
        subsystems(fabric, target, HOSTVARS, ["target1", "target2"])


@pytest.mark.parametrize(
    "fabric",
    [
        apart({"cntlid_max": 9}, {"cntlid_min": 10}),
        apart({"serial": "A"}, {"serial": "A "}),
        apart(namespace(uuid=UUID), namespace(uuid=UUID.upper().replace("-", ""))),
        apart(namespace(1), namespace(2)),
        # Another subsystem may have the same controller IDs.
        [{"nqn": VOL + name[-1], "targets": [name], "cntlid_min": 7} for name in ("target1", "target2")],
    ],
)
def test_targets_that_a_host_can_use_together_are_served(fabric: list) -> None:
    for target in ("target1", "target2"):
        assert len(subsystems(fabric, target, HOSTVARS, ["target1", "target2"])) == 1


def test_the_mistake_of_a_subsystem_that_another_target_serves_is_theirs() -> None:
    fabric = [{**one, "targets": [name]} for one, name in zip(apart({"serial": "A"}, {}), ("target2", "target3"))]
    machines = {**HOSTVARS, "target3": {}}
    assert subsystems([*fabric, {"nqn": VOL + "b"}], "target1", machines, ["target1", "target2", "target3"])


def test_none_is_not_written() -> None:
    empty = {"nqn": VOL, "serial": None, "cntlid_min": None, **namespace(uuid=None)}
    for target in ("target1", "target2"):
        found, plain = (
            subsystems([one], target, HOSTVARS, ["target1", "target2"]) for one in (empty, {"nqn": VOL, **namespace()})
        )
        assert found == plain
