# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT, Saving, load
from hypothesis import given
from hypothesis import strategies as st

SECRETS = [generate() for _ in range(3)]


def entry(target: int, **secrets: str) -> dict:
    return {"transport": "mptcp", "traddr": f"192.0.2.{target}", "subsysnqn": "nqn.2026-11.org.example:a", **secrets}


def save(folder: Path, *connections: dict, **more: object) -> None:
    saving = Saving({"connections": list(connections), "hostnqn": "nqn.x", **more}, str(folder))
    saving.write_keys()
    saving.commit()
    assert not Saving({"connections": list(connections), "hostnqn": "nqn.x", **more}, str(folder)).is_needed()


def files(folder: Path) -> list[Path]:
    return sorted((folder / "keys/host").glob("*"))


def test_connections_with_the_same_secrets_share_a_file(tmp_path: Path) -> None:
    same = {"dhchap_secret": SECRETS[0]}
    save(tmp_path, entry(1, **same), entry(2, **same), entry(3))
    (first,) = files(tmp_path)
    save(tmp_path, entry(1, **same), entry(2, dhchap_secret=SECRETS[1]), entry(3))
    assert first in files(tmp_path)
    assert len(files(tmp_path)) == 2
    save(tmp_path, entry(3))
    assert files(tmp_path) == []


def test_any_list_of_the_description_keeps_its_secrets_apart(tmp_path: Path) -> None:
    save(tmp_path, discovery=[entry(9, dhchap_secret=SECRETS[0])], discovered=[{"tos": 0}])
    assert "DHHC-1" not in (tmp_path / "host.json").read_text()
    assert load(str(tmp_path))["discovery"] == [entry(9, dhchap_secret=SECRETS[0])]
    assert load(str(tmp_path))["discovered"] == [{"tos": 0}]


@pytest.mark.parametrize("damage", ["missing", "mode", "empty"])
def test_an_entry_whose_secret_cannot_be_read_is_left_out_and_told(tmp_path: Path, damage: str) -> None:
    save(tmp_path, entry(1, dhchap_secret=SECRETS[0]), entry(2))
    (file,) = files(tmp_path)
    if damage == "missing":
        file.unlink()
    elif damage == "mode":
        file.chmod(0o640)
    else:
        file.write_text("{}")
    found = load(str(tmp_path))
    assert found["connections"] == [entry(2)]
    (told,) = found["failed"]
    assert "192.0.2.1" in told
    assert str(file) in told
    # The next run writes another one.
    save(tmp_path, entry(1, dhchap_secret=SECRETS[0]), entry(2))
    assert load(str(tmp_path))["failed"] == []


def test_nothing_was_saved(tmp_path: Path) -> None:
    assert load(str(tmp_path)) is None


ENTRIES = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.fixed_dictionaries({}, optional={"dhchap_secret": st.sampled_from(SECRETS)}),
    ),
    unique_by=lambda one: one[0],
)


@given(first=ENTRIES, second=ENTRIES)
def test_what_is_saved_is_what_boot_finds(first: list, second: list, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("etc")
    for described in (first, second):
        connections = [entry(target, **secrets) for target, secrets in described]
        save(folder, *connections)
        assert load(str(folder))["connections"] == connections
        assert len(files(folder)) == len({one["dhchap_secret"] for one in connections if "dhchap_secret" in one})
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files(folder))
        assert "DHHC-1" not in str(state.load(COMPONENT, str(folder)))
