# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages that are not as they should be."""

from __future__ import annotations

import socket
from itertools import islice

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink


@pytest.mark.parametrize("length", [0, 1, 15])
def test_message_that_claims_to_be_shorter_than_its_header_ends_the_datagram(length: int) -> None:
    good = netlink._HEADER.pack(20, 16, 0, 1, 0) + b"abcd"
    assert list(islice(netlink.split(good + netlink._HEADER.pack(length, 16, 0, 1, 0)), 5)) == [(16, b"abcd")]


_USERSOCK = 2


def test_what_a_process_sends_is_nothing_and_the_kernel_s_answer_counts() -> None:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, _USERSOCK) as ours, socket.socket(
        socket.AF_NETLINK, kind, _USERSOCK
    ) as process:
        ours.bind((0, 0))
        process.sendto(b"forged", ours.getsockname())
        assert netlink.received(ours) == b""
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as ours:
        # The dump of RTM_GETLINK (18).
        ours.send(netlink._HEADER.pack(20, 18, netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP, 1, 0) + b"\0" * 4)
        assert {kind for kind, _payload in netlink.split(netlink.received(ours))} == {16}
