# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A device that has grown or shrunk is looked at again, once, by whatever run comes next."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import sizes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT
from emulated_configfs import ROOT
from hypothesis import given
from hypothesis import strategies as st
from nvmet_descriptions import DEVICES, descriptions

from _nvmet.test_converge import CONNECTED, PROPERTY, VOL, Killed, dying_after, machine, simple

DISK, NAMESPACE = "/dev/disk/by-id/virtio-vol0", f"subsystems/{VOL}/namespaces/1"
LOOK = f"printf %s 1 > {ROOT}/{NAMESPACE}/revalidate_size"
SIZES = st.dictionaries(st.sampled_from(DEVICES), st.sampled_from([2**20, 2**30, 2**40]))


def lines(result) -> list[str]:
    return [operation.line() for operation in result.plan]


@PROPERTY
@given(first=descriptions(), second=descriptions(), before=SIZES, after=SIZES)
def test_nvmet_has_seen_the_size_of_every_device_that_it_serves(first, second, before, after, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    on.devices.sizes.update(before)
    assert "revalidate_size" not in str(lines(converge(first, machine=on))), "enabling looks"
    on.devices.sizes.clear()
    on.devices.sizes.update(after)
    result = converge(second, machine=on)
    changed = {path for path in DEVICES if before.get(path, 2**30) != after.get(path, 2**30)}
    looked = [operation.path.rpartition("/")[0] for operation in result.plan if "revalidate" in operation.path]
    objects = parse(second).objects
    assert {objects[path[len(ROOT) + 1 :]].attributes["device_path"] for path in looked} <= changed
    for path, found in objects.items():
        if found.kind == "namespace" and found.attributes["enable"] == "1":
            assert on.kernel.seen[path] == on.devices.size(found.attributes["device_path"]), path
    again = converge(second, machine=on)
    assert (again.changed, again.plan) == (False, [])


@pytest.mark.parametrize("size", [2**31, 2**29])
def test_a_resized_device_is_looked_at_once_and_disturbs_nobody(tmp_path: Path, size: int) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED]
    on.devices.sizes[DISK] = size
    assert lines(converge(simple(), check=True, machine=on)) == [LOOK]
    assert lines(converge(simple(), machine=on)) == [LOOK]
    assert on.kernel.seen[NAMESPACE] == size
    noted = (tmp_path / "var/target.sizes.json").stat()
    again = converge(simple(), machine=on)
    assert (again.changed, again.plan) == (False, [])
    assert (tmp_path / "var/target.sizes.json").stat() == noted, "nothing is written for nothing"


def test_a_namespace_whose_size_nobody_noted_is_looked_at(tmp_path: Path) -> None:
    """As of a target that other means set up."""
    on = machine(tmp_path)
    converge(simple(), machine=on)
    (tmp_path / "var/target.sizes.json").unlink()
    assert lines(converge(simple(), machine=on)) == [LOOK]
    assert lines(converge(simple(), machine=on)) == []


def test_boot_looks_too(tmp_path: Path) -> None:
    converge(simple(), machine=machine(tmp_path))
    rebooted = machine(tmp_path)
    rebooted.devices.sizes[DISK] = 2**31
    saved = state.load(COMPONENT, rebooted.config_dir)
    assert LOOK not in boot(saved, wait=0, machine=rebooted), "enabling looks"
    assert not converge(simple(), machine=rebooted).changed
    rebooted.devices.sizes[DISK] = 2**32
    assert boot(saved, wait=0, machine=rebooted) == [LOOK]


def test_a_run_that_is_killed_looks_again(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    on.devices.sizes[DISK] = 2**31
    perform = on.kernel.perform
    on.kernel.perform = dying_after(0, perform)
    with pytest.raises(Killed):
        converge(simple(), machine=on)
    on.kernel.perform = perform
    assert lines(converge(simple(), machine=on)) == [LOOK]


def test_a_device_that_went_and_came_back_is_compared_with_what_nvmet_saw(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(simple(), machine=on)
    on.devices.absent.add(DISK)
    saved = state.load(COMPONENT, on.config_dir)
    assert boot(saved, wait=0, machine=on) == []
    on.devices.absent.clear()
    assert boot(saved, wait=0, machine=on) == []
    on.devices.sizes[DISK] = 2**31
    assert boot(saved, wait=0, machine=on) == [LOOK]


def test_the_size_is_measured_before_nvmet_looks(tmp_path: Path) -> None:
    """A device that grows while a run goes on is looked at by the next one."""
    on = machine(tmp_path)
    perform = on.kernel.perform

    def growing(operation) -> None:
        perform(operation)
        if operation.path.endswith("/enable"):
            on.devices.sizes[DISK] = 2**31

    on.kernel.perform = growing
    converge(simple(), machine=on)
    assert sizes.seen(on.owned_dir) == {NAMESPACE: 2**30}
    assert lines(converge(simple(), machine=on)) == [LOOK]
    assert on.kernel.seen[NAMESPACE] == 2**31
