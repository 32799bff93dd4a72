# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_remembered import parsed, remembered
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, name_of
from hypothesis import given
from hypothesis import strategies as st

NQN = "nqn.2026-11.org.example:vol0"
WHO = st.fixed_dictionaries(
    {
        "transport": st.sampled_from(["mptcp", "tcp", "rdma"]),
        "traddr": st.one_of(st.ip_addresses().map(str), st.just("fe80::1%rail0")),
        "trsvcid": st.integers(1, 65535).map(str),
        "subsysnqn": st.sampled_from([NQN, DISCOVERY_NQN, "nqn.2026-11.org.example:a[b]=c:4420"]),
    },
    optional={"host_traddr": st.ip_addresses().map(str), "host_iface": st.just("rail0")},
)


@given(WHO)
def test_a_name_has_all_that_makes_a_connection_what_it_is(who: dict) -> None:
    assert parsed(name_of(who)) == who


@pytest.mark.parametrize("name", ["", "loop nqn.x", "fc nn-0x1:pn-0x2 nqn.x", f"mptcp 192.0.2.1:4420 {NQN} hostnqn=a"])
def test_what_no_log_can_name_is_left_out(name: str) -> None:
    assert parsed(name) == {}
    assert remembered([name], [{"transport": "mptcp"}], {}) == {}


def test_referrals_have_the_options_of_their_root_and_others_those_of_the_description() -> None:
    root = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": DISCOVERY_NQN}
    root = {**root, "keep_alive_tmo": 30, "host_iface": "rail0"}
    names = [f"mptcp 192.0.2.2:4420 {DISCOVERY_NQN}", f"mptcp 192.0.2.2:4420 {NQN}", f"tcp 192.0.2.2:4420 {NQN}"]
    found = remembered(names, [root], {"ctrl_loss_tmo": -1})
    assert [name_of(one) for one in found.values()] == list(found) == names[:2]
    assert [one.get("keep_alive_tmo") for one in found.values()] == [30, None]
    assert [one.get("ctrl_loss_tmo") for one in found.values()] == [None, -1]


def test_options_that_cannot_be_connect_nothing() -> None:
    assert remembered([f"mptcp 192.0.2.2:4420 {NQN}"], [{"transport": "mptcp"}], {"tls": True}) == {}
