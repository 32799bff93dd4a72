# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ours that somebody damaged or that cannot be written: an error that says which, why and what to do."""

from __future__ import annotations

import errno
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _nvmet_converge, _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_boot import boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet_withdraw import withdraw
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.modules import nvmet_config
from emulated_configfs import EmulatedKernel
from nvmet_descriptions import KEYS
from test__nvmet_converge import VOL, machine, simple

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
    with pytest.raises(ValueError, match=r"; remove it and (run the playbook|link)") as refused:
        run()
    assert str(refused.value).startswith(f"{path} ")
    assert len(on.kernel.performed) == before


@pytest.mark.parametrize("text", [*JSON, '"x"', "3", "[]", "{}", *DESCRIPTIONS])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.config_dir}/target.json"
    damage(path, text)
    refuses(on, path, lambda: converge(simple(trsvcid="4421"), machine=on))
    refuses(on, path, lambda: boot(_state.load("target", on.config_dir), wait=0, machine=on))
    refuses(on, path, lambda: withdraw(_state.load("target", on.config_dir), on, 0, lambda: True))
    os.unlink(path)
    assert converge(WANTED, machine=on).plan == []
    assert not converge(WANTED, machine=on).changed


def test_a_saved_description_that_is_not_valid_is_named_at_boot(tmp_path: Path) -> None:
    on = applied(tmp_path)
    path = f"{on.config_dir}/target.json"
    saved = json.loads(Path(path).read_text())
    saved["target"]["subsystems"][0]["cntlid_min"] = "many"
    with pytest.raises(ValueError, match=f"^{path}: .*cntlid_min.*; run the playbook again"):
        boot(saved, wait=0, machine=on)


@pytest.mark.parametrize("name", ["owned", "interrupted"])
@pytest.mark.parametrize("text", [*JSON, *SHAPES])
def test_a_damaged_file_of_what_is_ours_is_named(tmp_path: Path, name: str, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.owned_dir}/target.{name}.json"
    damage(path, text)
    refuses(on, path, lambda: converge(simple(trsvcid="4421"), machine=on))
    os.unlink(path)
    converge(simple(trsvcid="4421"), machine=on)


@pytest.mark.parametrize("text", [*JSON, *SHAPES, "[]", f'{{"subsystems/{VOL}/namespaces/1": "x"}}'])
def test_damaged_sizes_are_measured_again(tmp_path: Path, text: str) -> None:
    on = applied(tmp_path)
    path = f"{on.owned_dir}/target.sizes.json"
    good = Path(path).read_text()
    damage(path, text)
    on.kernel = EmulatedKernel()
    boot(_state.load("target", on.config_dir), wait=0, machine=on)
    assert f"ports/1/subsystems/{VOL}" in on.kernel.links
    assert Path(path).read_text() == good
    assert not converge(WANTED, machine=on).changed


class Full:
    """A disk that is full from the count-th file on, counted from 0."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code, self.sync = count, code, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, handle: int) -> None:
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
        with pytest.raises(
            _state.Unsaved, match=rf"^{tmp_path}/.* could not be written: ENOSPC, No space left"
        ) as told:
            converge(WANTED, machine=on)
    said, done = str(told.value), told.value.applied
    assert said.endswith("Free space or inodes on its file system, and run again.")
    assert done == [one for one in on.kernel.performed if "/65535" not in one.path]
    assert bool(done) == (count > 2) == (f"{len(done)} operation(s) were applied" in said)
    assert not [name for _folder, _folders, names in os.walk(tmp_path) for name in names if name.startswith(".")]
    converge(WANTED, machine=on)
    assert not converge(WANTED, machine=on).changed
    made = {*on.kernel.objects, *on.kernel.links}
    assert set(_state.owned("target", on.owned_dir)) == {
        path for path in made if path and not path.endswith(("/passthru", "/ana_groups/1"))
    }


def test_what_went_before_the_disk_was_full_is_not_ours_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = applied(tmp_path)
    with monkeypatch.context() as patch:
        Full(patch, 2)
        with pytest.raises(_state.Unsaved, match=r"target\.owned\.json could not be written: ENOSPC"):
            converge({}, machine=on)
    assert set(on.kernel.objects) == {""}
    converge({}, machine=on)
    assert _state.owned("target", on.owned_dir) == []


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
