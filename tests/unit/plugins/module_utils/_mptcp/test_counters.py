# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.counters import (
    FALLBACKS,
    MEANINGS,
    counters,
    interfaces,
)

NETSTAT = """\
TcpExt: SyncookiesSent EmbryonicRsts
TcpExt: 0 1
MPTcpExt: MPCapableSYNRX MPJoinRejected Blackhole
MPTcpExt: 12 3 0
"""


def test_counters_are_those_of_mptcp(tmp_path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/netstat").write_text(NETSTAT)
    assert counters(str(tmp_path)) == {"MPCapableSYNRX": 12, "MPJoinRejected": 3, "Blackhole": 0}


def test_kernel_without_mptcp_has_no_counters(tmp_path) -> None:
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/netstat").write_text("TcpExt: A\nTcpExt: 1\n")
    assert counters(str(tmp_path)) == {}


def test_every_fallback_has_a_meaning() -> None:
    assert set(FALLBACKS) <= set(MEANINGS)


def test_interfaces_tell_bytes_and_carrier(tmp_path) -> None:
    for name, carrier in (("lo", "1"), ("rail0", "1"), ("rail1", None)):
        statistics = tmp_path / "sys/class/net" / name / "statistics"
        statistics.mkdir(parents=True)
        (statistics / "rx_bytes").write_text("7\n")
        (statistics / "tx_bytes").write_text("9\n")
        (statistics.parent / "operstate").write_text("up\n" if carrier else "down\n")
        if carrier:
            (statistics.parent / "carrier").write_text(f"{carrier}\n")
    assert interfaces(str(tmp_path)) == {
        "rail0": {"rx_bytes": 7, "tx_bytes": 9, "operstate": "up", "carrier": True},
        "rail1": {"rx_bytes": 7, "tx_bytes": 9, "operstate": "down", "carrier": False},
    }
