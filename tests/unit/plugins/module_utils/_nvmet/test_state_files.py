# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ours that somebody damaged or that cannot be written: an error that says which, why and what to do."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import stat
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge as _nvmet_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.withdraw import withdraw
from ansible_collections.nvmeof.mptcp.plugins.modules import nvmet_config
from emulated_configfs import EmulatedKernel
from nvmet_descriptions import KEYS

from _nvmet.test_converge import VOL, machine, simple

WANTED = {**simple(), "hosts": [{"nqn": "nqn.2026-11.org.example:host0", "dhchap_key": KEYS[0]}]}
JSON = ["", "{", "\udcff", "null,"]
SHAPES = ['"x"', "3", "{}", "[[]]", "[3]", '{"links": {}}', '{"links": {"a": 1}, "namespaces": {}}']
DESCRIPTIONS = [
    '{"target": null}',
    '{"target": []}',
    '{"target": {}, "keys": null}',
    '{"target": {}, "keys": {"a": 1}}',
    '{"target": {}, "prune": 5}',
    '{"target": {"hosts": ["x"]}}',
    '{"target": {"hosts": [{}]}}',
    '{"target": {"subsystems": {"a": 1}}}',
    '{"target": {"subsystems": [{"namespaces": [1]}]}}',
    '{"target": {"subsystems": [{"passthru": "/dev/nvme0"}]}}',
]


def applied(folder: Path) -> _nvmet_converge.Machine:
    on = machine(folder)
    converge(WANTED, machine=on)
    return on


def damage(path: str, text: str) -> None:
    Path(path).write_bytes(text.encode("utf-8", "surrogateescape"))


def refuses(on: _nvmet_converge.Machine, path: str, run) -> None:
    before = len(on.kernel.performed)
    with pytest.raises(state.Damaged, match=r"; run the playbook targets\.yml again, which writes it anew") as refused:
        run()
    assert str(refused.value).startswith(f"{path} ")
    assert len(on.kernel.performed) == before


@pytest.mark.parametrize("text", [*JSON, '"x"', "3", "[]", "{}", *DESCRIPTIONS])
def test_a_damaged_description_is_named_and_the_playbook_mends_it(tmp_path: Path, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.config_dir}/target.json"
    good = Path(path).read_text()
    damage(path, text)
    refuses(on, path, lambda: converge(simple(trsvcid="4421"), machine=on))
    refuses(on, path, lambda: boot(state.load(COMPONENT, on.config_dir), wait=0, machine=on))
    refuses(on, path, lambda: withdraw(state.load(COMPONENT, on.config_dir), on, 0, lambda: True))
    told: list[str] = []
    with state.mending(told.append):
        assert converge(WANTED, check=True, machine=on).changed
        assert Path(path).read_bytes() == text.encode("utf-8", "surrogateescape")
        assert converge(WANTED, machine=on).plan == []
    (line,) = told
    assert line.startswith(f"{path} ")
    assert line.endswith("; it counts as not there until it is written anew")
    # The file of the keys has another name.
    assert re.sub(r"\.[0-9a-f]{16}", "", Path(path).read_text()) == re.sub(r"\.[0-9a-f]{16}", "", good)
    assert not converge(WANTED, machine=on).changed


def test_a_saved_description_that_is_not_valid_is_named_at_boot(tmp_path: Path) -> None:
    on = applied(tmp_path)
    path = f"{on.config_dir}/target.json"
    saved = json.loads(Path(path).read_text())
    saved["target"]["subsystems"][0]["cntlid_min"] = "many"
    with pytest.raises(state.Damaged, match=f"^{path} .*cntlid_min.*; run the playbook targets.yml again"):
        boot(saved, wait=0, machine=on)


@pytest.mark.parametrize("text", [*JSON, *SHAPES])
def test_damaged_ownership_counts_as_none_and_is_told(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    on = applied(tmp_path)
    path = f"{on.owned_dir}/target.owned.json"
    damage(path, text)
    boot(state.load(COMPONENT, on.config_dir), wait=0, machine=on)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path} ")
    assert "what earlier runs made counts as made by others" in line
    state._told.clear()
    damage(path, text)
    told: list[str] = []
    kept = dict(on.kernel.objects), dict(on.kernel.links)
    with state.mending(told.append):
        assert converge({}, machine=on).plan == []
    assert (dict(on.kernel.objects), dict(on.kernel.links)) == kept, "hosts may be connected to it"
    assert len(told) == 1
    assert state.owned(COMPONENT, on.owned_dir) == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", [*JSON, *SHAPES])
def test_a_damaged_note_of_what_was_taken_down_is_named_and_the_playbook_mends_it(tmp_path: Path, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.owned_dir}/target.interrupted.json"
    damage(path, text)
    refuses(on, path, lambda: converge(simple(trsvcid="4421"), machine=on))
    told: list[str] = []
    with state.mending(told.append):
        converge(simple(trsvcid="4421"), machine=on)
    assert not os.path.exists(path)
    assert len(told) == 1
    assert "has to be linked again by them" in told[0]


def test_after_a_damaged_description_a_device_that_hosts_have_written_on_is_still_served(tmp_path: Path) -> None:
    """Nothing is served after the boot that found it damaged; what is on the device must not keep the playbook back."""
    on = applied(tmp_path)
    damage(f"{on.config_dir}/target.json", "{")
    on.kernel = EmulatedKernel()
    known: list[bool] = []
    problem = on.devices.problem
    on.devices.problem = lambda path, seen=False: known.append(seen) or problem(path, seen)
    with state.mending(lambda line: None):
        converge(WANTED, machine=on)
    assert known == [True]
    # Not a device of another size, nor one that we did not make.
    damage(f"{on.config_dir}/target.json", "{")
    damage(f"{on.owned_dir}/target.owned.json", "{")
    on.kernel = EmulatedKernel()
    with state.mending(lambda line: None):
        converge(WANTED, machine=on)
    assert known == [True, False]


@pytest.mark.parametrize("text", [*JSON, *SHAPES, "[]", f'{{"subsystems/{VOL}/namespaces/1": "x"}}'])
def test_damaged_sizes_are_measured_again(tmp_path: Path, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.owned_dir}/target.sizes.json"
    good = Path(path).read_text()
    damage(path, text)
    on.kernel = EmulatedKernel()
    boot(state.load(COMPONENT, on.config_dir), wait=0, machine=on)
    assert f"ports/1/subsystems/{VOL}" in on.kernel.links
    assert Path(path).read_text() == good
    assert not converge(WANTED, machine=on).changed


class Full:
    """A disk that is full from the count-th file on, counted from 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code, self.sync = count, code, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            return
        if self.left <= 0:
            raise OSError(self.code, os.strerror(self.code))
        self.left -= 1
        self.sync(handle)


#: Of keys, of what is ours (the port that asks for the transport, then everything), of sizes, the description.
FILES = 5


def test_that_many_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Full(monkeypatch, FILES)
    converge(WANTED, machine=machine(tmp_path))
    assert full.left == 0


@pytest.mark.parametrize("count", range(FILES))
def test_a_full_disk_is_told_with_what_was_done_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    on = machine(tmp_path)
    with monkeypatch.context() as patch:
        Full(patch, count)
        with pytest.raises(state.Unsaved, match=rf"^{tmp_path}/.* could not be written: ENOSPC, No space left") as told:
            converge(WANTED, machine=on)
    said, done = str(told.value), told.value.applied
    assert said.endswith("Free space or inodes on its file system, and run again.")
    assert done == [one for one in on.kernel.performed if "/65535" not in one.path]
    assert bool(done) == (count > 2) == (f"{len(done)} operation(s) were applied" in said)
    assert not [name for _folder, _folders, names in os.walk(tmp_path) for name in names if name.startswith(".")]
    converge(WANTED, machine=on)
    assert not converge(WANTED, machine=on).changed
    made = {*on.kernel.objects, *on.kernel.links}
    assert set(state.owned(COMPONENT, on.owned_dir)) == {
        path for path in made if path and not path.endswith(("/passthru", "/ana_groups/1"))
    }


def test_what_went_before_the_disk_was_full_is_not_ours_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = applied(tmp_path)
    with monkeypatch.context() as patch:
        Full(patch, 2)
        with pytest.raises(state.Unsaved, match=r"target\.owned\.json could not be written: ENOSPC"):
            converge({}, machine=on)
    assert set(on.kernel.objects) == {""}
    converge({}, machine=on)
    assert state.owned(COMPONENT, on.owned_dir) == []


def test_a_refusal_is_told_also_when_the_disk_is_full_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = machine(tmp_path, absent=["/dev/disk/by-id/virtio-vol0"])
    on.devices.absent = set()
    with monkeypatch.context() as patch:
        Full(patch, 2)
        with pytest.raises(Refused, match=r"ENOENT: the device .*Besides, .*target\.owned\.json could not be written"):
            converge(simple(), machine=on)


@pytest.mark.parametrize(
    ("code", "remedy"), [(errno.EROFS, "Mount its file system for writing"), (errno.EIO, "Correct that, and run")]
)
def test_the_module_says_what_was_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    on = machine(tmp_path)
    Full(monkeypatch, 3, code)
    monkeypatch.setattr(nvmet_config, "converge", lambda *given, **options: converge(*given, machine=on, **options))
    out = io.StringIO()
    with patch_module_args(WANTED), redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit):
        nvmet_config.main()
    result = json.loads(out.getvalue())
    assert result["failed"]
    assert result["applied"]
    assert f"could not be written: {errno.errorcode[code]}" in result["msg"]
    assert remedy in result["msg"]
    assert KEYS[0] not in out.getvalue()
