# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys at rest: whatever the NQN, one file that nobody else reads, never changed while something refers to it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import secrets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NQN, OTHER = "nqn.2026-11.org.example:host0", "nqn.2026-11.org.example:host1"
KEYS = {"dhchap_key": "DHHC-1:00:aaa:", "dhchap_ctrl_key": "DHHC-1:00:bbb:"}


def stored(wanted: dict, known: dict, within: Path) -> dict[str, str]:
    files = secrets.names(wanted, known, str(within))
    secrets.write(wanted, files, str(within))
    return files


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(nqns=st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), max_size=4))
def test_any_nqn_has_one_file_in_the_folder(nqns: set[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    within = tmp_path_factory.mktemp("k") / "keys"
    wanted = {nqn: {"dhchap_key": nqn} for nqn in nqns}
    files = stored(wanted, {}, within)
    assert sorted(files.values()) == sorted(path.name for path in within.iterdir()) if nqns else not within.exists()
    assert {nqn: secrets.read(str(within / name)) for nqn, name in files.items()} == wanted
    assert stored(wanted, files, within) == files


def test_files_are_private_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, replace = [], os.replace

    def seen(source: str, target: str) -> None:
        modes.append(stat.S_IMODE(os.stat(source).st_mode))
        replace(source, target)

    monkeypatch.setattr(os, "replace", seen)
    before = os.umask(0)
    try:
        (name,) = stored({NQN: KEYS}, {}, tmp_path / "keys/target").values()
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "keys/target" / name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys/target").stat().st_mode) == 0o700


def test_a_changed_key_gets_a_file_of_its_own_and_the_old_one_is_left_to_whom_refers_to_it(tmp_path: Path) -> None:
    first = stored({NQN: KEYS, OTHER: KEYS}, {}, tmp_path)
    second = stored({NQN: {"dhchap_key": "DHHC-1:00:ccc:"}, OTHER: KEYS}, first, tmp_path)
    assert second[OTHER] == first[OTHER]
    assert secrets.read(str(tmp_path / first[NQN])) == KEYS
    assert secrets.unused(second.values(), str(tmp_path)) == [str(tmp_path / first[NQN])]
    assert secrets.unused([], str(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "is missing; run the playbook again"),
        (lambda path: path.chmod(0o640), "has mode 0640, so others may know the keys"),
        (lambda path: path.chmod(0o604), "has mode 0604"),
        (lambda path: path.write_text("DHHC-1:00:aaa"), "does not hold keys"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "does not hold keys"),
        (lambda path: path.write_text(""), "does not hold keys"),
        (lambda path: path.write_text("{}"), "does not hold keys"),
        (lambda path: path.write_text('{"dhchap_key": 1}'), "does not hold keys"),
        (lambda path: (path.unlink(), path.mkdir()), "does not hold keys"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_written_anew(tmp_path: Path, damage, words: str) -> None:
    files = stored({NQN: KEYS}, {}, tmp_path)
    path = tmp_path / files[NQN]
    damage(path)
    with pytest.raises(secrets.Unreadable, match=words) as caught:
        secrets.read(str(path))
    assert str(path) in str(caught.value)
    assert "DHHC" not in str(caught.value)
    again = stored({NQN: KEYS}, files, tmp_path)
    assert again != files
    assert secrets.read(str(tmp_path / again[NQN])) == KEYS
