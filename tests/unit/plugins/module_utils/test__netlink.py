# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that are not as they should be."""

from __future__ import annotations

from itertools import islice

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _netlink


@pytest.mark.parametrize("length", [0, 1, 15])
def test_message_that_claims_to_be_shorter_than_its_header_ends_the_datagram(length: int) -> None:
    good = _netlink._HEADER.pack(20, 16, 0, 1, 0) + b"abcd"
    assert list(islice(_netlink.split(good + _netlink._HEADER.pack(length, 16, 0, 1, 0)), 5)) == [(16, b"abcd")]
