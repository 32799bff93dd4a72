# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ways are taken for silent, without a network."""

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import reach


def test_many_services_are_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 services over 8 rails are more descriptors than a process may have."""
    ways = {(f"10.0.{n}.1", f"rail{rail}"): ("10.1.0.1", f"eth{rail}") for n in range(200) for rail in range(8)}
    dead = {("10.0.7.1", "rail3"), ("10.0.199.1", "rail7")}
    parts: list[int] = []

    def answered(asked: reach.Ways, _timeout: float) -> reach.Silent:
        parts.append(len(asked))
        return set(asked) - dead

    monkeypatch.setattr(reach, "_answered", answered)
    assert reach.silent(ways) == dead
    assert max(parts) <= 256
    assert sum(parts) == len(ways) + 2 * len(dead)
