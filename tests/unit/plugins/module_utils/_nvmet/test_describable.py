# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvmet holds and no description can ask for is named and left out, and the rest is a description."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.describable import describable
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, describe
from emulated_configfs import ROOT
from hypothesis import given
from nvmet_descriptions import descriptions

from _nvmet.test_converge import PROPERTY, VOL, machine, simple

BY_HAND: list[tuple[list[tuple[str, ...]], dict[str, str]]] = [
    (
        [
            ("mkdir", "subsystems/testnqn"),
            ("mkdir", "subsystems/testnqn/namespaces/1"),
            ("symlink", "ports/1/subsystems/testnqn", f"{ROOT}/subsystems/testnqn"),
        ],
        {"subsystem testnqn": "NVMe Qualified Name"},
    ),
    (
        [("mkdir", "hosts/h"), ("symlink", f"subsystems/{VOL}/allowed_hosts/h", f"{ROOT}/hosts/h")],
        {"host h": "NVMe Qualified Name"},
    ),
    ([("mkdir", "ports/2")], {"port 2": "trtype is missing"}),
    ([("mkdir", "ports/2"), ("write", "ports/2/addr_trtype", "tcp")], {"port 2": "adrfam is missing"}),
    ([("mkdir", "ports/007")], {"port 007": "called '7'"}),
    ([("mkdir", "ports/1/referrals/a b")], {"port 1 referral a b": "must be 1 to 64 letters"}),
    ([("mkdir", "ports/1/ana_groups/128")], {"port 1 ana_group 128": "from 1 to 127"}),
    ([("write", f"subsystems/{VOL}/namespaces/1/ana_grpid", "2")], {f"subsystem {VOL} namespace 1": "none of its"}),
    (
        [("write", "discovery_nqn", "nqn.2026-11.org.other"), ("mkdir", "subsystems/nqn.2026-11.org.other:x")],
        {"subsystem nqn.2026-11.org.other:x": "discovery_nqn"},
    ),
]


@pytest.mark.parametrize(("steps", "reasons"), BY_HAND)
def test_what_no_description_can_ask_for_is_named_and_stays(tmp_path: Path, steps, reasons: dict[str, str]) -> None:
    on = machine(tmp_path)
    converge(simple(), persist=False, machine=on)
    (tmp_path / "var" / "target.owned.json").unlink()
    for verb, path, *value in steps:
        on.kernel.perform(Operation(verb, f"{ROOT}/{path}", *value))
    config, undescribable = describable(gather(on.kernel, ROOT))
    assert {name: reasons[name] in why for name, why in undescribable.items()} == dict.fromkeys(reasons, True)
    before = len(on.kernel.performed)
    converge(config, machine=on)
    assert on.kernel.performed[before:] == []


def test_one_that_collides_only_with_what_is_left_out_stays() -> None:
    """Namespace 1 cannot be described, so that its identity is free for namespace 2."""
    identity = "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"
    devices = [{"nsid": nsid, "device_path": f"/dev/disk/by-id/virtio-vol{nsid}"} for nsid in (1, 2, 3)]
    tree = parse({**simple(), "subsystems": [{"nqn": VOL, "namespaces": devices}]})
    for nsid, attributes in ((1, {"ana_grpid": "5"}), (2, {}), (3, {"ana_grpid": "5"})):
        tree.objects[f"subsystems/{VOL}/namespaces/{nsid}"].attributes.update(attributes)
    for nsid in (1, 2):
        tree.objects[f"subsystems/{VOL}/namespaces/{nsid}"].attributes["uuid"] = identity
    config, undescribable = describable(tree)
    kept = [one["nsid"] for one in config["subsystems"][0]["namespaces"]]
    assert (kept, len(undescribable)) == ([2], 2)


def test_a_target_without_nvmet_is_an_empty_description() -> None:
    assert describable(Tree()) == (describe(Tree()), {})


@PROPERTY
@given(first=descriptions())
def test_what_was_described_is_describable(first: dict, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    converge(first, machine=on)
    actual = gather(on.kernel, ROOT)
    assert describable(actual) == (describe(actual), {})
