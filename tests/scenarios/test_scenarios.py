# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every molecule scenario, each on real kernels in machines that it makes itself."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from scenario import ROOT, run

SCENARIOS = sorted(path.parent.name for path in ROOT.glob("molecule/*/molecule.yml"))
# They measure no time, and each has one machine that works at a time: together they use the processors.
TOGETHER = ("kernel", "modules", "upgrade")
# They compile kernels: too long for `make test`.
LONG = ("kernel-debug", "kernel-source")


def cases() -> list[object]:
    long = pytest.mark.skipif(os.environ.get("TESTS") != "all", reason="takes long: make test-all, make scenario")
    alone = [
        pytest.param((one,), id=one, marks=[long] if one in LONG else []) for one in SCENARIOS if one not in TOGETHER
    ]
    return [*alone, pytest.param(TOGETHER, id="+".join(TOGETHER))]


@pytest.mark.parametrize("scenarios", cases())
def test_scenarios(scenarios: tuple[str, ...]) -> None:
    with ThreadPoolExecutor() as pool:
        failures = list(filter(None, pool.map(run, scenarios)))
    if failures:
        pytest.fail("\n".join(failures), pytrace=False)
