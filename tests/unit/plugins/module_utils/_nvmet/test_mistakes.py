# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""10,000 invalid descriptions: each is refused in words, and nothing is done to the kernel or saved."""

from __future__ import annotations

import copy
import re
from collections import Counter
from random import Random

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from emulated_configfs import EmulatedKernel
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nvmet_descriptions import FULL, descriptions
from nvmet_mistakes import MISTAKES

from _nvmet.test_converge import machine

DESCRIPTIONS, EACH = 500, 20
#: Every sentence says what to do: what the value must be, or a command.
REMEDY = re.compile(r"must be|must not be|; (write|give|choose|use|correct|leave|describe|drop|name|keep|remove)|"
                    r"no such option; \w+ has ")  # fmt: skip


def test_the_full_description_is_valid() -> None:
    assert parse(FULL).objects


def test_10_000_invalid_descriptions_are_refused_in_words_and_leave_no_trace(tmp_path) -> None:
    on, seen = machine(tmp_path, EmulatedKernel(loaded=False), absent=["/dev/disk/by-id/absent"]), Counter()

    # The seed tells a failure as well as a smaller description would, and at once.
    @settings(
        max_examples=DESCRIPTIONS, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(valid=st.one_of(descriptions(), st.just(FULL)), seed=st.integers(0, 2**32))
    def refused(valid: dict, seed: int) -> None:
        random = Random(seed)
        for _ in range(EACH):
            words = None
            while words is None:
                broken, mistake = copy.deepcopy(valid), random.choice(MISTAKES)
                words = mistake(broken, random)
            with pytest.raises(Invalid) as caught:
                converge(broken, machine=on)
            seen[mistake.__name__] += 1
            for problem in caught.value.problems:
                assert REMEDY.search(problem), problem
                assert len(problem) < 1000, problem
                assert problem.isprintable(), problem
                assert "hunter2" not in problem
            message = str(caught.value)
            assert all(word in message for word in words), (words, message)

    refused()
    assert on.kernel.performed == []
    assert on.kernel.objects == {}
    assert not (tmp_path / "etc").exists()
    assert not (tmp_path / "var").exists()
    assert seen.total() >= DESCRIPTIONS * EACH == 10_000
    assert set(seen) == {mistake.__name__ for mistake in MISTAKES}
