# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections read back from the running kernel, over the loopback."""

from __future__ import annotations

import contextlib
import socket

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.sock_diag import connections

MPTCP = 262
FAMILIES = [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]


@contextlib.contextmanager
def connected(family: int, address: str, served: int):
    with socket.socket(family, socket.SOCK_STREAM, served) as listener:
        listener.bind((address, 0))
        listener.listen()
        with socket.socket(family, socket.SOCK_STREAM, MPTCP) as client:
            client.connect(listener.getsockname()[:2])
            accepted, _peer = listener.accept()
            with accepted:
                client.sendall(b"x" * 5000)
                while len(accepted.recv(5000, socket.MSG_PEEK)) < 5000:
                    pass
                yield listener.getsockname()[1]


def of_client(port: int):
    return [connection for connection in connections() if connection.remote_port == port]


@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_connection_and_its_subflow(family: int, address: str) -> None:
    with connected(family, address, MPTCP) as port:
        [connection] = of_client(port)
        assert (connection.remote, connection.established, connection.fallback) == (address, True, False)
        [subflow] = connection.subflows
        assert (subflow.remote, subflow.remote_port, subflow.bytes_sent) == (address, port, 5000)
        assert (connection.bytes_acked, connection.bytes_received) == (5000, 0)
        assert (subflow.state, subflow.backoffs, subflow.retry_in_ms) == ("active", 0, -1)
        assert subflow.rtt_us > 0
        assert not subflow.backup


@pytest.mark.parametrize(("family", "address"), FAMILIES)
def test_fallback_to_plain_tcp_is_seen(family: int, address: str) -> None:
    with connected(family, address, socket.IPPROTO_TCP) as port:
        [connection] = of_client(port)
        assert connection.fallback


def test_closed_connections_are_gone() -> None:
    with connected(socket.AF_INET, "127.0.0.1", MPTCP) as port:
        assert of_client(port)
    assert not of_client(port)
