# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run makes of what another one has left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.ledger import superfluous, verdict
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "7.2.12+deb13-amd64", "7.3.4+deb13-amd64"


def trial(boot: str) -> dict[str, Any]:
    return {**_trial_ledger.new_trial(NEW, OLD, 600), "boot": boot}


@pytest.mark.parametrize(
    ("found", "running", "boot_id", "expected"),
    [
        (None, OLD, "1", "none"),
        (trial(""), OLD, "1", "none"),
        (trial("1"), OLD, "1", "armed"),
        (trial("1"), NEW, "2", "running"),
        (trial("1"), OLD, "3", "failed"),
        # Somebody booted it by hand before it was armed: it has to be judged all the same.
        (trial(""), NEW, "2", "running"),
        # It is decided, and what follows from that was interrupted.
        ({**trial("1"), "kept": True}, NEW, "2", "kept"),
        ({**trial("1"), "kept": True}, OLD, "3", "failed"),
    ],
)
def test_what_runs_says_how_a_trial_went(found: Any, running: str, boot_id: str, expected: str) -> None:
    assert verdict(found, running, boot_id) == expected


def test_a_ledger_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert _trial_ledger.read(folder) == {"trial": None, "proven": [], "installed": {}}
    ledger = {"trial": trial("1"), "proven": [OLD], "installed": {NEW: ["linux-image"]}}
    _trial_ledger.write(ledger, folder)
    assert _trial_ledger.read(folder) == ledger
    (tmp_path / "kernel.json").write_text('{"trial": "yes"}')
    with pytest.raises(
        state.Damaged,
        match=r"kernel\.json does not hold what this release writes: trial is 'yes' and must be a dictionary or null; ",
    ):
        _trial_ledger.read(folder)


RELEASES = ["a", "b", "c", "d", "e"]


@given(
    st.permutations(RELEASES).flatmap(lambda order: st.integers(0, 5).map(lambda number: order[:number])),
    st.permutations(RELEASES).flatmap(lambda order: st.integers(1, 5).map(lambda number: order[:number])),
    st.integers(-1, 6),
)
def test_neither_the_running_nor_the_last_proven_kernel_ever_goes(
    installed: list[str], proven: list[str], keep: int
) -> None:
    ledger = {"trial": None, "proven": proven, "installed": {release: [f"linux-{release}"] for release in installed}}
    gone = superfluous(ledger, "a", keep)
    assert not {"a", proven[0]} & set(gone)
    assert set(gone) <= set(installed)
    # What stays is as many as was asked for, and those that may not go.
    assert len(set(installed) - set(gone) - {"a", proven[0]}) == min(
        max(keep - 1, 0), len(set(installed) - {"a", proven[0]})
    )


def test_a_proven_kernel_stays_before_one_that_failed() -> None:
    ledger = {"trial": None, "proven": ["new", "good"], "installed": {"good": [], "new": [], "failed": []}}
    assert superfluous(ledger, "new", 2) == ["failed"]
    assert superfluous(ledger, "new", 3) == []
