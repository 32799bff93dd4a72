# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role nvme_kernel makes of a machine: the expressions by which preflight and role agree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.nvmeof.mptcp.plugins.filter.foreign import file_name
from jinja2 import Environment, StrictUndefined

ROLE = Path(__file__).resolve().parents[3] / "roles/nvme_kernel"
OLD, NEW = "7.2.12+deb13-amd64", "7.3.4+deb13-amd64"
SKIPPED = {"skipped": True, "changed": False}
MACHINE = {
    "kernel_release": OLD,
    "present": False,
    "obstacles": [],
    "holders": {},
    "trial": None,
    "loader": "GRUB",
    "next": None,
    "signed_only": False,
    "deployed": [],
}


IN_USE = {"holders": {"nvmet": ["port 1"], "nvmet-tcp": ["port 1"]}}


def role(wanted: dict[str, Any] | None = None, machine: dict[str, Any] | None = None, **settings: Any) -> Templar:
    """The role's variables on a machine, for a kernel that was found in the archive."""
    loader = DataLoader()
    variables = {
        **loader.load_from_file(str(ROLE / "defaults/main.yml"), trusted_as_template=True),
        **loader.load_from_file(str(ROLE / "vars/main.yml"), trusted_as_template=True),
        "nvme_kernel_transport": {**MACHINE, **(machine or {})},
        "nvme_kernel_wanted": wanted or SKIPPED,
        "group_names": ["nvme_hosts"],
        **settings,
    }
    return Templar(loader, variables)


def value(templar: Templar, name: str) -> Any:
    return templar.template(templar.available_variables[name])


def reasons(templar: Templar) -> list[str]:
    return list(value(templar, "nvme_kernel_reasons"))


def trial(verdict: str) -> dict[str, Any]:
    return {"trial": {"release": NEW, "verdict": verdict, "seen": []}}


@pytest.mark.parametrize(
    ("wanted", "machine", "other", "to_install"),
    [
        (None, {}, False, False),
        ({"release": OLD}, {}, False, False),
        ({"release": NEW}, {}, True, True),
        ({"release": NEW}, trial("armed"), True, True),
        # Judged first, whatever is asked for now.
        ({"release": NEW}, trial("failed"), True, False),
        ({"release": NEW}, {**trial("kept"), "kernel_release": NEW}, True, False),
        (None, trial("failed"), True, False),
        (None, {**trial("running"), "kernel_release": NEW}, True, False),
    ],
)
def test_whether_a_machine_reboots_into_another_kernel(
    wanted: dict[str, Any] | None, machine: dict[str, Any], other: bool, to_install: bool
) -> None:
    found = role(wanted, machine)
    assert value(found, "nvme_kernel_other") is other
    assert value(found, "nvme_kernel_to_install") is to_install


# Strings are what --extra-vars nvme_kernel_reboot=false makes.
@pytest.mark.parametrize("setting", [False, "false", "no"])
def test_nothing_reboots_unless_it_is_allowed(setting: object) -> None:
    [refused] = reasons(role({"release": NEW}, nvme_kernel_reboot=setting))
    assert "nvme_kernel_reboot: true" in refused
    [refused] = reasons(role(machine=IN_USE, nvme_kernel_reboot=setting))
    assert "nvme_kernel_reboot: true" in refused


def test_a_machine_that_was_to_stay_up_does_not_reboot_beside_the_others() -> None:
    settings = {"nvme_kernel_reboot": True, "group_names": ["nvme_targets", "nvme_kernel_stays"]}
    assert reasons(role({"release": NEW}, **settings))
    assert reasons(role(machine=IN_USE, **settings))


@pytest.mark.parametrize("setting", [True, "true", "yes"])
def test_a_reboot_that_is_allowed_is_no_obstacle(setting: object) -> None:
    assert reasons(role({"release": NEW}, nvme_kernel_reboot=setting)) == []
    assert reasons(role(machine=IN_USE, nvme_kernel_reboot=setting)) == []
    # It is under way; what is left is to judge it.
    assert reasons(role(None, trial("failed"))) == []


def test_nothing_is_installed_where_it_could_not_be_booted_just_once() -> None:
    [refused] = reasons(role({"release": NEW}, {"loader": ""}, nvme_kernel_reboot=True))
    assert "neither GRUB nor systemd-boot" in refused


def test_a_kernel_for_which_no_modules_can_be_made_is_refused_before_it_boots() -> None:
    wanted = {"release": "7.9.1+deb14-amd64", "obstacles": ["it is of series 7.9"]}
    assert reasons(role(wanted, nvme_kernel_reboot=True)) == ["it is of series 7.9"]
    assert reasons(role(wanted, nvme_kernel_reboot=True, nvme_kernel_method="package")) == []


def test_a_machine_that_has_the_transport_stays_when_the_archive_is_ahead_of_the_patch() -> None:
    wanted, has_it = {"release": "7.9.1+deb14-amd64", "obstacles": ["it is of series 7.9"]}, {"present": True}
    found = role(wanted, has_it, nvme_kernel_package="linux-image-amd64")
    assert value(found, "nvme_kernel_other") is False
    assert value(role(wanted, nvme_kernel_package="linux-image-amd64"), "nvme_kernel_other") is True
    # That one is asked for by its name.
    assert value(role(wanted, has_it, nvme_kernel_package="linux-image-7.9.1+deb14-amd64"), "nvme_kernel_other") is True
    assert value(role({**wanted, "obstacles": []}, has_it), "nvme_kernel_other") is True


def test_modules_are_refused_where_only_signed_ones_are_loaded() -> None:
    locked = {"signed_only": True}
    [refused] = reasons(role({"release": NEW}, locked, nvme_kernel_reboot=True))
    assert "Secure Boot" in refused
    assert reasons(role({"release": NEW}, locked, nvme_kernel_reboot=True, nvme_kernel_method="package")) == []


def test_modules_in_use_are_not_swapped() -> None:
    [refused] = reasons(role(machine=IN_USE))
    assert "in use by port 1: disconnect" in refused
    assert "nvme_kernel_drain_timeout" in refused
    assert "nvme_kernel_reboot: true" in refused


@pytest.mark.parametrize(("offers", "obstacles", "refused"), [(True, [], 0), (False, [], 0), (False, ["series"], 1)])
def test_a_reboot_that_loads_modules_does_not_end_in_a_kernel_without_any(
    offers: bool, obstacles: list[str], refused: int
) -> None:
    following = {"next": {"release": NEW, "offers": offers, "obstacles": obstacles}}
    found = reasons(role(machine={**IN_USE, **following}, nvme_kernel_reboot=True))
    assert len(found) == refused
    assert all(f"kernel {NEW} (series)" in reason for reason in found)
    assert reasons(role(machine=following, nvme_kernel_reboot=True)) == []


@pytest.mark.parametrize(
    ("machine", "settings", "held"),
    [
        (IN_USE, {}, True),
        ({}, {}, False),
        ({**IN_USE, "present": True}, {}, False),
        # It gets another kernel, and no modules for this one.
        (IN_USE, {"wanted": {"release": NEW}}, False),
        (IN_USE, {"nvme_kernel_method": "none"}, False),
    ],
)
def test_whether_modules_have_to_wait_for_a_drain_or_a_reboot(
    machine: dict[str, Any], settings: dict[str, Any], held: bool
) -> None:
    assert value(role(machine=machine, **settings), "nvme_kernel_held") is held


def test_method_package_needs_a_kernel_that_has_it() -> None:
    [refused] = reasons(role(nvme_kernel_method="package"))
    assert "nvme_kernel_package" in refused


@pytest.mark.parametrize(
    ("following", "expected"),
    [
        (None, False),
        ({"release": NEW, "offers": True, "obstacles": []}, False),
        ({"release": NEW, "offers": False, "obstacles": []}, True),
        ({"release": NEW, "offers": False, "obstacles": ["series"]}, False),
    ],
)
def test_a_kernel_that_boots_next_gets_its_modules(following: dict[str, Any] | None, expected: bool) -> None:
    assert value(role(machine={"next": following}), "nvme_kernel_next_lacks") is expected


@pytest.mark.parametrize(
    ("groups", "deployed", "expected"),
    [
        (["nvme_targets"], [], ["mptcp", "nvme_target"]),
        (["nvme_hosts"], [], ["mptcp"]),
        (["nvme_hosts"], ["mptcp", "host"], ["mptcp", "nvme_host"]),
        (["nvme_hosts", "nvme_targets"], ["host"], ["mptcp", "nvme_target", "nvme_host"]),
    ],
)
def test_what_a_kernel_is_proven_by(groups: list[str], deployed: list[str], expected: list[str]) -> None:
    found = value(role(machine={"deployed": deployed}, group_names=groups), "nvme_kernel_proof_roles")
    assert found == [f"nvmeof.mptcp.{name}" for name in expected]


BUILT = {"release": "7.2.12-mptcp.0a1b2c3d", "localversion": "-mptcp.0a1b2c3d"}


@pytest.mark.parametrize(
    ("built", "running", "other"),
    [
        (BUILT, OLD, True),
        (BUILT, BUILT["release"], False),
        # What is only looked for in check mode, and not built: the end of its release says which kernel it is.
        ({**BUILT, "release": "<version>-mptcp.0a1b2c3d"}, BUILT["release"], False),
        ({**BUILT, "release": "<version>-mptcp.0a1b2c3d"}, "7.2.12-mptcp.99999999", True),
    ],
)
def test_method_source_leaves_a_machine_alone_that_runs_the_kernel(
    built: dict[str, Any], running: str, other: bool
) -> None:
    found = role(None, {"kernel_release": running}, nvme_kernel_method="source", nvme_kernel_built=built)
    assert value(found, "nvme_kernel_other") is other
    assert (value(found, "nvme_kernel_wanted_release") == running) is not other


def test_method_source_says_what_its_kernel_lacks_and_refuses_secure_boot() -> None:
    settings = {"nvme_kernel_method": "source", "nvme_kernel_built": BUILT}
    [lacks] = reasons(role(None, {"kernel_release": BUILT["release"]}, **settings))
    assert "add the transport to its source with nvme_kernel_patches" in lacks
    [refused] = reasons(role(None, {"signed_only": True}, nvme_kernel_reboot=True, **settings))
    assert "loads signed kernels only" in refused


def test_another_build_of_the_same_name_is_another_file_of_the_controller() -> None:
    """Two checkouts bring their packages at the same time; each has to find the one that it built."""
    fetch, copy = yaml.safe_load((ROLE / "tasks/copy.yml").read_text())
    places = [fetch["ansible.builtin.fetch"]["dest"], copy["ansible.builtin.copy"]["src"]]
    jinja = Environment(undefined=StrictUndefined)
    jinja.filters = {"expanduser": os.path.expanduser, "nvmeof.mptcp.file_name": file_name}
    first, second = (
        [
            jinja.from_string(place).render(item={"path": f"/{build}/modules.deb", "sha256": build * 64})
            for place in places
        ]
        for build in "ab"
    )
    assert (len(set(first)), len(set(second)), len({*first, *second})) == (1, 1, 2)
