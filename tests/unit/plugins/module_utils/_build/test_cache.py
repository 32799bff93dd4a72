# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cache entries: complete or absent, built once, whatever is interrupted and whoever builds at the same time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.cache import (
    Untrusted,
    check_owner,
    content_hash,
    ensure,
    locked_folder,
)
from hypothesis import given
from hypothesis import strategies as st

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ROOT = Path(__file__).resolve().parents[5]


def nobody() -> None:
    raise AssertionError("nobody else builds")


@given(st.dictionaries(st.text(), PLAIN))
def test_the_hash_does_not_depend_on_the_order_of_keys(data: dict[str, Any]) -> None:
    assert content_hash(data) == content_hash(dict(reversed(list(data.items()))))


@given(PLAIN, PLAIN)
def test_different_data_has_different_names(one: Any, two: Any) -> None:
    import json

    assert (content_hash(one) == content_hash(two)) == (
        json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    )


def test_an_entry_is_built_once(tmp_path: Path) -> None:
    entry = tmp_path / "a" / "entry"
    assert ensure(entry, lambda work: (work / "x").touch(), nobody)
    assert not ensure(entry, lambda work: pytest.fail("built twice"), nobody)
    assert [path.name for path in entry.parent.iterdir()] == ["entry"]
    assert [path.name for path in entry.iterdir()] == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_build_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def build(work: Path) -> None:
        (work / "half").touch()
        raise error

    with pytest.raises(error):
        ensure(tmp_path / "entry", build, nobody)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_build_left_is_no_entry_and_does_not_get_into_one(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.cache import ensure\n"
        "def build(work):\n"
        "    (work / 'half').mkdir(); (work / 'half' / 'file').touch(); print('begun', flush=True); time.sleep(60)\n"
        "ensure(pathlib.Path(sys.argv[1]), build, lambda: None)\n"
    )
    entry = tmp_path / "entry"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    with subprocess.Popen([sys.executable, "-c", code, str(entry)], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGKILL)
    assert not entry.exists()
    assert ensure(entry, lambda work: (work / "x").touch(), nobody)
    assert [path.name for path in entry.iterdir()] == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def _build_slowly(entry: str, results: Any) -> None:
    def build(work: Path) -> None:
        time.sleep(0.3)
        (work / "x").touch()

    results.put(ensure(Path(entry), build, lambda: None))


def test_of_several_builders_one_builds_and_all_have_the_entry(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    builders = [context.Process(target=_build_slowly, args=(str(tmp_path / "entry"), results)) for _ in range(4)]
    for builder in builders:
        builder.start()
    made = [results.get(timeout=20) for _ in builders]
    for builder in builders:
        builder.join()
    assert sorted(made) == [False, False, False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_the_lock_of_a_folder_that_was_removed_meanwhile_is_not_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    waited: list[bool] = []

    def remove_it() -> None:
        # The holder ends: it removes the folder, as the end of a lab does.
        waited.append(True)
        os.rename(folder, tmp_path / "gone")
        os.close(holder)

    import fcntl

    folder.mkdir()
    holder = os.open(folder, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with locked_folder(folder, remove_it):
        assert folder.is_dir()
    assert waited == [True]


def test_a_folder_that_goes_while_it_is_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, looks = tmp_path / "lab", iter([False])
    folder.mkdir()
    is_dir = Path.is_dir

    def gone_at_the_first_look(path: Path) -> bool:
        for _ in looks:
            folder.rmdir()
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", gone_at_the_first_look)
    with locked_folder(folder, lambda: None):
        assert is_dir(folder)


@pytest.mark.parametrize("place", ["cache", "cache/modules", "."])
def test_a_cache_that_others_can_write_is_not_believed(tmp_path: Path, place: str) -> None:
    (tmp_path / "above/cache/modules").mkdir(parents=True, mode=0o700)
    cache = tmp_path / "above/cache"
    check_owner(cache)
    check_owner(tmp_path / "above/not made yet")
    (tmp_path / "above" / place).chmod(0o777)
    with pytest.raises(Untrusted, match=r"with mode 0777, so others than root decide what is installed"):
        check_owner(cache)


@pytest.mark.skipif(os.geteuid() != 0, reason="another owner takes root")
@pytest.mark.parametrize("place", ["cache", "cache/modules", ".", "link"])
def test_a_cache_of_somebody_else_is_not_believed(tmp_path: Path, place: str) -> None:
    (tmp_path / "above/cache/modules").mkdir(parents=True, mode=0o700)
    (tmp_path / "above/link").symlink_to("cache")
    check_owner(tmp_path / "above/link")
    os.chown(tmp_path / "above" / place, 65530, 65530, follow_symlinks=False)
    with pytest.raises(Untrusted, match=r"is owned by uid 65530 "):
        check_owner(tmp_path / "above/link")
