# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptions that meet what stays, or goes, beside them: refused before anything changes, or brought about."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid
from emulated_configfs import ROOT, EmulatedKernel

from _nvmet.test_converge import HOST, VOL, machine, simple


def refused(on: converge.Machine, description: dict, words: str, **options) -> None:
    """Refused in check mode and in earnest, and nothing was changed."""
    before = len(on.kernel.performed)
    for check in (True, False):
        with pytest.raises(Invalid, match=words):
            converge.converge(description, check=check, machine=on, **options)
    assert len(on.kernel.performed) == before


def converges(on: converge.Machine, description: dict, **options) -> list[str]:
    """The lines of the plan, which the next run has nothing to add to."""
    planned = converge.converge(description, check=True, machine=on, **options).plan
    assert converge.converge(description, machine=on, **options).plan == planned
    assert not converge.converge(description, machine=on, **options).changed
    return [" ".join([one.verb, one.path[len(ROOT) + 1 :], one.value]).strip() for one in planned]


def disown(on: converge.Machine) -> None:
    """What is there now was made by somebody else."""
    shutil.rmtree(on.owned_dir)


def many(nsids) -> dict:
    namespaces = [{"nsid": nsid, "device_path": f"/dev/disk/by-id/v{nsid}"} for nsid in nsids]
    return {"subsystems": [{"nqn": VOL, "namespaces": namespaces}]}


def test_a_full_subsystem_gives_up_what_goes_before_it_takes_more(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(many(range(1, 1025)), machine=on)
    lines = converges(on, many(range(2, 1026)))
    assert lines[0] == f"rmdir subsystems/{VOL}/namespaces/1"
    # Where there is room, nothing is taken away before the rest is there.
    converge.converge(many(range(2, 1025)), machine=on)
    assert converges(on, many(range(3, 1026)))[-1] == f"rmdir subsystems/{VOL}/namespaces/2"


def test_namespaces_of_others_count_towards_the_limit(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(many(range(1, 1001)), machine=on)
    disown(on)
    words = f"subsystem {VOL}: 1025 namespaces, with 1000 that are not described and stay, are more than nvmet's 1024"
    refused(on, many(range(2001, 2026)), words)
    converges(on, many(range(2001, 2025)))


@pytest.mark.parametrize("nqn", [VOL, VOL[:-1]])
def test_the_discovery_nqn_follows_a_subsystem_that_goes(tmp_path: Path, nqn: str) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    description = {**simple(), "discovery_nqn": nqn}
    [subsystem], [port] = description["subsystems"], description["ports"]
    subsystem["nqn"] = "nqn.2026-11.org.example:other"
    port["subsystems"] = [subsystem["nqn"]]
    lines = converges(on, description)
    assert lines.index(f"rmdir subsystems/{VOL}") < lines.index(f"write discovery_nqn {nqn}")


def test_a_subsystem_follows_the_discovery_nqn_that_it_begins_with(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge({"discovery_nqn": VOL}, machine=on)
    converges(on, simple())


def test_the_discovery_nqn_is_not_how_that_of_a_subsystem_begins_which_stays(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    disown(on)
    words = f"discovery_nqn '{VOL[:-1]}' is how the NQN of subsystem {VOL} begins, which is not described and stays"
    refused(on, {"discovery_nqn": VOL[:-1]}, words)
    converges(on, {"discovery_nqn": "nqn.2026-11.org.example.discovery"})


@pytest.mark.parametrize("prune", ["none", "owned"])
def test_a_subsystem_is_not_opened_to_any_host_while_a_list_stays(tmp_path: Path, prune: str) -> None:
    on, description = machine(tmp_path), {"subsystems": [{"nqn": VOL, "allow_any_host": True}]}
    converge.converge({"subsystems": [{"nqn": VOL, "allowed_hosts": [HOST]}]}, machine=on)
    if prune == "owned":
        disown(on)
    words = f"subsystem {VOL}: allow_any_host is true, and the allowed host {HOST} is not described and stays"
    refused(on, description, words, prune=prune)
    converges(on, description, prune="all")


@pytest.mark.parametrize("prune", ["none", "owned"])
def test_nothing_is_passed_through_beside_namespaces_that_stay(tmp_path: Path, prune: str) -> None:
    on, description = machine(tmp_path), {"subsystems": [{"nqn": VOL, "passthru": {"device_path": "/dev/nvme0"}}]}
    converge.converge(many([1, 2]), machine=on)
    if prune == "owned":
        disown(on)
    words = f"subsystem {VOL} passthru: nvmet serves either .* subsystem {VOL} namespace 1 is not described and stays"
    refused(on, description, words, prune=prune)
    converges(on, description, prune="all")


def test_an_attribute_that_the_loaded_nvmet_turns_out_to_lack_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    on = machine(tmp_path, EmulatedKernel(loaded=False, lacks=("discovery_nqn",)))
    with pytest.raises(Invalid, match="nvmet: this kernel's nvmet has no attribute discovery_nqn; leave it out"):
        converge.converge({**simple(), "discovery_nqn": VOL[:-1] + "x"}, machine=on)
    assert [operation.verb for operation in on.kernel.performed] == ["run"] * len(on.kernel.performed)
    converges(on, simple())


def test_an_attribute_that_no_object_could_tell_the_lack_of_is_named_when_it_is_written(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(lacks=("resv_enable",)))
    description = many([1])
    description["subsystems"][0]["namespaces"][0]["resv_enable"] = True
    with pytest.raises(Refused, match=r"namespace 1.*resv_enable.*ENOENT.*no such attribute"):
        converge.converge(description, machine=on)
    refused(on, description, "namespace 1: this kernel's nvmet has no attribute resv_enable; leave it out")
    converges(on, many([1]))
