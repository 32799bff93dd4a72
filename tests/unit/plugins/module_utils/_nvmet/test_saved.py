# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""DH-HMAC-CHAP keys of a target: where they are, that boot finds them, and that they show nowhere."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge as _nvmet_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import Late, boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import describe, render
from ansible_collections.nvmeof.mptcp.plugins.modules import nvmet_config
from emulated_configfs import ROOT
from hypothesis import given
from nvmet_descriptions import HOSTS, KEYS, descriptions

from _nvmet.test_converge import HOST, PROPERTY, VOL, Killed, dying_after, machine, simple

OTHER = HOSTS[1]
ALLOWED = f"subsystems/{VOL}/allowed_hosts"


def authenticated(**keys: str) -> dict:
    """A subsystem for two hosts, of which the first has keys."""
    found = simple()
    found["subsystems"][0]["allowed_hosts"] = [HOST, OTHER]
    return {**found, "hosts": [{"nqn": HOST, **keys}]} if keys else found


def key_files(on: _nvmet_converge.Machine) -> list[Path]:
    folder = Path(on.config_dir) / "keys/target"
    return sorted(folder.iterdir()) if folder.exists() else []


def refuse(*arguments: object) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


@PROPERTY
@given(first=descriptions(), second=descriptions())
def test_keys_are_in_one_private_file_a_host_and_never_in_one_that_others_read(first, second, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    wanted: dict = {}
    for description in (first, second):
        converge(description, machine=on)
        stay = {path.partition("/")[2] for path, found in parse(description).objects.items() if found.kind == "host"}
        wanted = {nqn: keys for nqn, keys in wanted.items() if nqn in stay}
        for host in description["hosts"]:
            given_keys = {name: host[name] for name in ("dhchap_key", "dhchap_ctrl_key") if name in host}
            wanted[host["nqn"]] = {**wanted.get(host["nqn"], {}), **given_keys}
        files = key_files(on)
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
        saved = state.load(COMPONENT, on.config_dir)
        found = {nqn: json.loads((files[0].parent / name).read_text()) for nqn, name in saved["keys"].items()}
        assert found == {nqn: keys for nqn, keys in wanted.items() if keys}
        assert sorted(saved["keys"].values()) == [path.name for path in files]
        assert "DHHC" not in json.dumps(saved)
    hidden = set()
    for operation in on.kernel.performed:
        if operation.verb == "chmod":
            hidden.add(operation.path)
        if operation.verb == "rmdir":
            hidden = {path for path in hidden if not path.startswith(f"{operation.path}/")}
        assert not operation.secret or operation.path in hidden
    rebooted = machine(Path(on.config_dir).parent)
    boot(state.load(COMPONENT, on.config_dir), wait=0, machine=rebooted)
    actual = gather(rebooted.kernel, ROOT).objects
    for path, item in parse(second).objects.items():
        assert item.attributes.items() <= actual[path].attributes.items()
    for nqn, keys in wanted.items():
        assert keys.items() <= actual[f"hosts/{nqn}"].attributes.items()


def test_keys_that_everyone_may_read_in_configfs_are_hidden_without_being_written(tmp_path: Path) -> None:
    on, file = machine(tmp_path), f"{ROOT}/hosts/{HOST}/dhchap_key"
    on.kernel.perform(Operation("mkdir", f"{ROOT}/hosts/{HOST}"))
    on.kernel.perform(Operation("write", file, KEYS[0]))
    plan = converge(authenticated(dhchap_key=KEYS[0]), machine=on).plan
    assert f"chmod 0600 {file}" in [operation.line() for operation in plan]
    assert file not in [operation.path for operation in plan if operation.verb == "write"]
    assert on.kernel.mode(file) == 0o600


def test_keys_are_on_disk_before_the_kernel_has_them_and_go_with_their_host(tmp_path: Path) -> None:
    on = machine(tmp_path)
    perform = on.kernel.perform

    def watching(operation: Operation) -> None:
        if operation.secret:
            assert operation.value in "".join(path.read_text() for path in key_files(on))
        perform(operation)

    on.kernel.perform = watching
    converge(authenticated(dhchap_key=KEYS[0]), check=True, machine=on)
    assert key_files(on) == []
    converge(authenticated(dhchap_key=KEYS[0]), persist=False, machine=machine(tmp_path / "not saved"))
    assert not (tmp_path / "not saved/etc").exists()
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    (first,) = key_files(on)
    assert first.name.startswith(f"{HOST}.")
    converge(authenticated(dhchap_key=KEYS[1]), machine=on)
    (second,) = key_files(on)
    assert first != second
    assert not converge(authenticated(dhchap_key=KEYS[1]), machine=on).changed
    alone = authenticated()
    alone["subsystems"][0]["allowed_hosts"] = [OTHER]
    converge(alone, machine=on)
    assert key_files(on) == []
    converge(authenticated(), machine=on)
    assert on.kernel.objects[f"hosts/{HOST}"]["dhchap_key"] == ""
    assert key_files(on) == []


@pytest.mark.parametrize("read_back", [False, True])
def test_a_key_is_not_lost_by_being_left_out(tmp_path: Path, read_back: bool) -> None:
    on = machine(tmp_path)
    keys = {"dhchap_key": KEYS[0], "dhchap_ctrl_key": KEYS[1]}
    converge(authenticated(**keys), machine=on)
    files = key_files(on)
    converge(describe(gather(on.kernel, ROOT)) if read_back else authenticated(), machine=on)
    assert key_files(on) == files
    rebooted = machine(tmp_path)
    boot(state.load(COMPONENT, on.config_dir), wait=0, machine=rebooted)
    assert keys.items() <= rebooted.kernel.objects[f"hosts/{HOST}"].items()
    # A run that comes before boot lets nobody in without a key either.
    fresh = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[2]), machine=fresh)
    assert fresh.kernel.objects[f"hosts/{HOST}"]["dhchap_key"] == KEYS[2]
    assert fresh.kernel.objects[f"hosts/{HOST}"]["dhchap_ctrl_key"] == KEYS[1]


def test_a_key_that_only_nvmet_has_is_saved_with_its_host(tmp_path: Path) -> None:
    on = machine(tmp_path)
    on.kernel.perform(Operation("mkdir", f"{ROOT}/hosts/{HOST}"))
    on.kernel.perform(Operation("write", f"{ROOT}/hosts/{HOST}/dhchap_key", KEYS[0]))
    converge(authenticated(), machine=on)
    assert not converge(authenticated(), machine=on).changed
    rebooted = machine(tmp_path)
    boot(state.load(COMPONENT, on.config_dir), wait=0, machine=rebooted)
    assert rebooted.kernel.objects[f"hosts/{HOST}"]["dhchap_key"] == KEYS[0]


def test_a_host_whose_kept_key_cannot_be_read_is_not_let_in_without_it(tmp_path: Path) -> None:
    converge(authenticated(dhchap_key=KEYS[0]), machine=machine(tmp_path))
    rebooted = machine(tmp_path)
    key_files(rebooted)[0].unlink()
    with pytest.raises(Invalid, match=f"host {HOST}: .* is missing.*write dhchap_key"):
        converge(authenticated(), machine=rebooted)
    assert rebooted.kernel.performed == []
    converge(authenticated(dhchap_key=KEYS[1]), machine=rebooted)


@pytest.mark.parametrize("count", range(4))
def test_a_run_that_is_killed_or_refused_leaves_the_old_key_to_the_next_boot(tmp_path: Path, count: int) -> None:
    on = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    saved, perform = state.load(COMPONENT, on.config_dir), on.kernel.perform
    more = authenticated(dhchap_key=KEYS[1], dhchap_ctrl_key=KEYS[2])
    on.kernel.perform = dying_after(count, perform)
    if count < len(converge(more, check=True, machine=on).plan):
        with pytest.raises(Killed):
            converge(more, machine=on)
        assert state.load(COMPONENT, on.config_dir) == saved
        rebooted = machine(tmp_path)
        boot(saved, wait=0, machine=rebooted)
        assert rebooted.kernel.objects[f"hosts/{HOST}"]["dhchap_key"] == KEYS[0]
    on.kernel.perform = perform
    converge(more, machine=on)
    assert len(key_files(on)) == 1
    assert not converge(more, machine=on).changed


def test_a_key_that_was_refused_does_not_stay_on_disk(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(authenticated(), machine=on)
    on.kernel.plain, plain = refuse, on.kernel.plain
    with pytest.raises(Refused):
        converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    on.kernel.plain = plain
    assert len(key_files(on)) == 1
    converge(authenticated(), machine=on)
    assert key_files(on) == []
    assert not converge(authenticated(), machine=on).changed


@pytest.mark.parametrize(
    ("damage", "words"), [(lambda path: path.unlink(), "is missing"), (lambda path: path.chmod(0o644), "has mode 0644")]
)
def test_boot_serves_everyone_but_a_host_whose_keys_cannot_be_read(tmp_path: Path, damage, words: str) -> None:
    converge(authenticated(dhchap_key=KEYS[0]), machine=machine(tmp_path))
    rebooted = machine(tmp_path)
    (path,) = key_files(rebooted)
    damage(path)
    saved = state.load(COMPONENT, rebooted.config_dir)
    with pytest.raises(Late, match=words) as caught:
        boot(saved, wait=0, machine=rebooted)
    assert str(path) in str(caught.value)
    assert HOST in str(caught.value)
    assert f"{ALLOWED}/{HOST}" not in rebooted.kernel.links, "it would be let in without proving who it is"
    assert f"{ALLOWED}/{OTHER}" in rebooted.kernel.links
    assert f"ports/1/subsystems/{VOL}" in rebooted.kernel.links
    assert converge(authenticated(dhchap_key=KEYS[0]), machine=rebooted).changed
    assert f"{ALLOWED}/{HOST}" in rebooted.kernel.links
    boot(state.load(COMPONENT, rebooted.config_dir), wait=0, machine=rebooted)


def test_a_host_that_is_in_stays_in_while_its_key_file_is_damaged(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge(authenticated(dhchap_key=KEYS[0]), machine=on)
    key_files(on)[0].unlink()
    before = len(on.kernel.performed)
    with pytest.raises(Late, match="is missing"):
        boot(state.load(COMPONENT, on.config_dir), wait=0, machine=on)
    assert on.kernel.performed[before:] == []
    assert on.kernel.objects[f"hosts/{HOST}"]["dhchap_key"] == KEYS[0]


def test_keys_are_in_no_line_no_diff_and_no_error(tmp_path: Path) -> None:
    description = authenticated(dhchap_key=KEYS[0], dhchap_ctrl_key=KEYS[1])
    result = converge(description, machine=machine(tmp_path))
    shown = [operation.line() for operation in result.plan] + [render(result.before), render(result.after)]
    shown += [repr(result.plan)]
    refusing = machine(tmp_path / "refusing")
    refusing.kernel.plain = refuse
    with pytest.raises(Refused) as refused:
        converge(description, machine=refusing)
    shown += [str(refused.value), repr(refused.value.applied)]
    for wrong in ({"hosts": description["hosts"][0]}, {"hosts": KEYS}, {"subsystems": [KEYS]}, {"ports": KEYS[0]},
                  {"hosts": [{"nqn": KEYS[0]}]}, {"hosts": [{"nqn": HOST, "dhchap_hash": KEYS[0]}]}):  # fmt: skip
        with pytest.raises(Invalid) as invalid:
            parse(wrong)
        shown.append(str(invalid.value))
    assert not any("DHHC-1:" + key[7:20] in text for text in shown for key in KEYS)


@pytest.mark.parametrize("key", [KEYS[0], "DHHC-1:00:not-a-key:"])
def test_keys_are_not_in_the_output_of_the_module_however_verbose(tmp_path: Path, monkeypatch, key: str) -> None:
    """no_log of an option inside a list: with verbosity 4 the module returns its parameters too."""
    on = machine(tmp_path)
    monkeypatch.setattr(_nvmet_converge, "Machine", lambda: on)
    logged, out = [], io.StringIO()
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, message, *more, **args: logged.append((message, args)))
    args = {**authenticated(dhchap_key=key), "_ansible_diff": True, "_ansible_verbosity": 4, "_ansible_debug": True}
    with patch_module_args(args), redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit):
        nvmet_config.main()
    printed = json.loads(out.getvalue())
    assert printed["invocation"]["module_args"]["hosts"][0]["nqn"] == HOST
    assert ("plan" in printed) == (key == KEYS[0])
    assert logged
    assert key[8:] not in out.getvalue() + repr(logged)
