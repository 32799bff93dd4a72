# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import swap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.modules import MODULES, Module
from hypothesis import given
from hypothesis import strategies as st

NEEDS = {"nvme-tcp": "nvme-fabrics", "nvmet-tcp": "nvmet"}
BUILDS = st.sampled_from(["", "old", "new"])


def module(name: str, loaded: str) -> Module:
    return Module(name=name, file=f"/{name}.ko", loaded=loaded, on_disk="new", aliases=(), provenance="")


def lines(loaded: dict[str, str]) -> list[str]:
    return [operation.line() for operation in swap.plan([module(name, loaded.get(name, "")) for name in MODULES])]


def test_nothing_to_do_when_all_are_loaded_as_they_are_on_disk() -> None:
    assert lines(dict.fromkeys(MODULES, "new")) == []


def test_missing_modules_are_loaded() -> None:
    assert lines({}) == ["modprobe --all nvme-fabrics nvme-tcp nvmet nvmet-tcp"]


def test_other_builds_are_replaced_users_first() -> None:
    assert lines(dict.fromkeys(MODULES, "old")) == [
        "rmmod nvmet-tcp",
        "rmmod nvmet",
        "rmmod nvme-tcp",
        "rmmod nvme-fabrics",
        "modprobe --all nvme-fabrics nvme-tcp nvmet nvmet-tcp",
    ]


def test_a_module_stays_when_only_its_user_is_another_build() -> None:
    assert lines({"nvme-fabrics": "new", "nvme-tcp": "old", "nvmet": "new", "nvmet-tcp": "new"}) == [
        "rmmod nvme-tcp",
        "modprobe --all nvme-tcp",
    ]


@given(st.fixed_dictionaries(dict.fromkeys(MODULES, BUILDS)))
def test_every_plan_ends_with_all_modules_as_on_disk_and_the_kernel_would_take_it(state: dict[str, str]) -> None:
    # A user cannot be loaded without what it needs.
    state = {name: "" if not state[NEEDS.get(name, name)] else build for name, build in state.items()}
    for operation in swap.plan([module(name, build) for name, build in state.items()]):
        if operation.argv[0] == "rmmod":
            name = operation.argv[1]
            assert state[name], "rmmod of a module that is not loaded"
            assert not any(state[user] for user, needed in NEEDS.items() if needed == name), "rmmod of a used module"
            state[name] = ""
        else:
            assert operation.argv[:2] == ("modprobe", "--all")
            state.update(dict.fromkeys((name for name in operation.argv[2:] if not state[name]), "new"))
    assert set(state.values()) == {"new"}


def test_controllers_of_fabrics_are_named_and_those_of_pcie_are_not(tmp_path: pathlib.Path) -> None:
    for name, transport in (("nvme0", "pcie"), ("nvme1", "tcp"), ("nvme2", "mptcp")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "transport").write_text(transport + "\n")
        (tmp_path / name / "subsysnqn").write_text("nqn.a\n")
    assert swap.controllers(str(tmp_path)) == [
        "controller nvme1 (tcp, nqn.a)",
        "controller nvme2 (mptcp, nqn.a)",
    ]
    assert swap.controllers(str(tmp_path / "absent")) == []


def test_target_objects_are_named(tmp_path: pathlib.Path) -> None:
    for path in ("ports/1", "subsystems/nqn.a", "hosts/nqn.h"):
        (tmp_path / path).mkdir(parents=True)
    assert swap.target_objects(str(tmp_path)) == ["port 1", "subsystem nqn.a", "nvmet host nqn.h"]


def test_only_loaded_modules_have_holders_and_ours_are_not_among_them(tmp_path: pathlib.Path) -> None:
    found = swap.holders(
        [module("nvme-fabrics", "old"), module("nvme-tcp", "")], lambda name: ["nvme-tcp", "nvme-rdma"]
    )
    assert list(found) == ["nvme-fabrics"]
    assert "module nvme-rdma" in found["nvme-fabrics"]
    assert "module nvme-tcp" not in found["nvme-fabrics"]
