# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of ours: those of earlier releases are read, damaged ones are told in words, folders have their mode."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation, secrets, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.round import NAMED
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.saved import COMPONENT as NETWORK
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import interrupted, sizes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT as TARGET
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.ledger import COMPONENT as KERNEL

#: Written by the releases before the shapes of files were checked.
BEFORE = sorted(path for path in (Path(__file__).parents[1] / "saved_before").rglob("*") if path.is_file())


def read(path: Path) -> Any:
    """What a file of ours holds, as the part of the collection reads it that wrote it."""
    folder, kind = str(path.parent), path.name
    saved = {"host.json": COMPONENT, "mptcp.json": NETWORK, "target.json": TARGET, "kernel.json": KERNEL}
    ours = {f"{one.name}.owned.json": one for one in (COMPONENT, NAMED, NETWORK, TARGET)}
    if kind in saved:
        return state.load(saved[kind], folder)
    if kind in ours:
        return state.owned(ours[kind], folder)
    if kind == "target.sizes.json":
        return sizes.seen(folder)
    noted = interrupted.noted(folder)
    namespaces = {path: one.attributes for path, one in noted.objects.items()}
    return {"links": noted.links, "namespaces": namespaces}


def test_there_is_a_file_of_every_kind() -> None:
    assert {path.name for path in BEFORE} == {
        *("host.json", "mptcp.json", "target.json", "kernel.json", "target.sizes.json", "target.interrupted.json"),
        *("host.owned.json", "host.discovered.owned.json", "mptcp.owned.json", "target.owned.json", "keyfile"),
    }


@pytest.mark.parametrize("path", BEFORE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_earlier_releases_wrote_is_read(path: Path, tmp_path: Path) -> None:
    content = path.read_text()
    if path.name == "keyfile":
        copy = tmp_path / path.name
        copy.write_text(content)
        copy.chmod(0o600)
        assert secrets.read(str(copy)) == json.loads(content)
    else:
        assert read(path) == json.loads(content)


HOST: dict[str, Any] = {"connections": [], "hostnqn": "nqn.2026-11.org.example:host0"}
CONNECTION = {"transport": "mptcp", "subsysnqn": "nqn.2026-11.org.example:vol0"}
DAMAGED: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "is not valid JSON (Expecting value: line 1 column 1 (char 0))"),
    ("half", b'{"connections": [', "is not valid JSON"),
    ("no text", b"\xff\xfe", "is not valid UTF-8 at byte 0"),
    ("a deep one", b"[" * 100_000, "is nested deeper than 32"),
    ("a deep whole one", b"[" * 100_000 + b"]" * 100_000, "is nested deeper than 32"),
    ("a deep one that Python takes", b'{"connections": ' + b"[" * 40 + b"]" * 40 + b"}", "is nested deeper than 32"),
    ("a long number", b'{"hostnqn": ' + b"9" * 100_000 + b"}", "has a number of more than 20 digits"),
    ("a number without end", b'{"hostnqn": 1e999}', "has a number that is too long"),
    ("no number", b'{"hostnqn": NaN}', "has NaN, which is no number"),
    ("a key twice", b'{"hostnqn": "a", "hostnqn": "b"}', "has the key 'hostnqn' twice in one place"),
    ("half a character", b'{"hostnqn": "\\ud800"}', "holds half of a character"),
    ("half a character as a key", b'{"\\ud800": ""}', "holds half of a character"),
    ("a list", b"[]", "does not hold what this release writes: it is a list of 0 and must be a dictionary"),
    ("no host", json.dumps({"connections": []}).encode(), "hostnqn is missing"),
    (
        "a newer one",
        json.dumps({**HOST, "weather": "fair"}).encode(),
        "the key 'weather' is unknown to this release; run the playbook hosts.yml again",
    ),
    (
        "a newer option",
        json.dumps({**HOST, "connections": [{**CONNECTION, "colour": 1}]}).encode(),
        "the key 'colour' of connections[0] is unknown to this release",
    ),
    (
        "a truth for a number",
        json.dumps({**HOST, "connections": [{**CONNECTION, "tos": True}]}).encode(),
        "connections[0].tos is True and must be a whole number",
    ),
    (
        "a path for a name",
        json.dumps({**HOST, "connections": [{**CONNECTION, "keys": "../../../root/key"}]}).encode(),
        "connections[0].keys is '../../../root/key' and must be the name of a key file, without a folder",
    ),
    (
        "a key in the wrong place",
        json.dumps({**HOST, "prune": "DHHC-1:00:secret:"}).encode(),
        "prune is '********' and must be 'owned' or 'all' or 'none'",
    ),
    (
        "an empty word",
        json.dumps({**HOST, "discovery": [{**CONNECTION, "transport": ""}]}).encode(),
        "discovery[0].transport is '' and must be 'mptcp' or 'tcp' or ",
    ),
    (
        "a large one",
        b" " * (state.LARGEST + 1),
        f"has {state.LARGEST + 1} bytes, more than the {state.LARGEST} that",
    ),
]


@pytest.mark.parametrize(("content", "says"), [one[1:] for one in DAMAGED], ids=[one[0] for one in DAMAGED])
def test_a_damaged_file_is_told_in_words(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    path.write_bytes(content)
    with pytest.raises(state.Damaged) as damaged:
        state.load(COMPONENT, str(tmp_path))
    said = str(damaged.value)
    assert said.startswith(f"{path} ")
    assert says in said
    assert said.endswith("; run the playbook hosts.yml again, which writes it anew")
    assert len(said) < 600
    told: list[str] = []
    with state.mending(told.append):
        assert state.load(COMPONENT, str(tmp_path)) is None
        assert state.save(COMPONENT, HOST, str(tmp_path))
    assert told == [f"{damaged.value.found}; it counts as not there until it is written anew"]
    assert state.load(COMPONENT, str(tmp_path)) == HOST


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_told_and_not_waited_for(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "host.json")
    with pytest.raises(state.Damaged, match=r"host\.json is no regular file; "):
        state.load(COMPONENT, str(tmp_path))


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    large = {**HOST, "connections": [{**CONNECTION, "traddr": "x" * state.LARGEST}]}
    with pytest.raises(state.Unsaved, match=rf"EFBIG, [0-9]+ bytes are more than the {state.LARGEST} that are read"):
        state.save(COMPONENT, large, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_folders_have_their_mode_whatever_the_umask_is(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        etc = tmp_path / "etc/nvmeof-mptcp"
        within = secrets.folder(COMPONENT, str(etc))
        secrets.write({"nqn.a": {"dhchap_secret": "x"}}, {"nqn.a": "a"}, within)
        state.save(COMPONENT, HOST, str(etc))
        state.own(COMPONENT, ["a"], str(tmp_path / "var/lib/nvmeof-mptcp"))
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.rglob("*"))}
    assert modes == {
        "etc": 0o755,
        "etc/nvmeof-mptcp": 0o755,
        "etc/nvmeof-mptcp/host.json": 0o600,
        "etc/nvmeof-mptcp/keys": 0o700,
        "etc/nvmeof-mptcp/keys/host": 0o700,
        "etc/nvmeof-mptcp/keys/host/a": 0o600,
        "var": 0o755,
        "var/lib": 0o755,
        "var/lib/nvmeof-mptcp": 0o755,
        "var/lib/nvmeof-mptcp/host.owned.json": 0o600,
    }


def test_a_file_and_its_folder_and_the_folders_made_for_it_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    operation.put(str(tmp_path / "a/b/file"), "x")
    assert synced[:2] == [".", "a"]
    assert synced[2].startswith("a/b/.file.")
    assert synced[3:] == ["a/b"]


def test_a_path_below_the_folder_of_the_process_is_as_good_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    operation.put("etc/host.json", "1")
    operation.put("host.json", "2")
    assert ((tmp_path / "etc/host.json").read_text(), (tmp_path / "host.json").read_text()) == ("1", "2")
