# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which places a discovery log may name."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_allowed import Allowed, allowed_errors
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, normalise_address
from hypothesis import given
from hypothesis import strategies as st

NQN = "nqn.2026-11.org.example:vol0"
RAILS = ["10.10.0.0/24", "10.10.255.1", "2001:db8::/64", "::ffff:10.11.0.0/112"]


def why_not(traddr: str, networks: list[str], nqn: str = NQN, nqns: tuple[str, ...] = ("nqn.2026-11.*",)) -> str:
    connection = {"traddr": normalise_address(traddr), "subsysnqn": nqn}
    return Allowed(networks, nqns).why_not(connection)


@pytest.mark.parametrize("traddr", ["10.10.0.9", "10.10.255.1", "2001:db8::7", "::ffff:10.10.0.9", "10.11.0.3"])
def test_a_place_within_the_networks_may_be_named(traddr: str) -> None:
    assert why_not(traddr, RAILS) == ""


@pytest.mark.parametrize(
    ("traddr", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.0.1", "link-local"),
        ("fe80::1%rail0", "link-local"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("255.255.255.255", "reserved"),
        ("64:ff9b::7f00:1", "reserved"),
        ("192.0.2.1", ""),
        ("10.10.255.2", ""),
        ("::ffff:192.0.2.1", ""),
    ],
)
def test_any_other_place_may_not(traddr: str, kind: str) -> None:
    assert why_not(traddr, RAILS) == f"its address is {kind + ', ' if kind else ''}outside discovery_networks"
    if kind:
        # Not even where everything else may be.
        assert why_not(traddr, ["0.0.0.0/0", "::/0"]) != ""


@pytest.mark.parametrize(
    ("traddr", "network"),
    [("127.0.0.1", "127.0.0.0/8"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("fe80::1%rail0", "fe80::/10"),
     ("169.254.7.1", "169.254.0.0/16"), ("127.0.0.1", "::ffff:127.0.0.1")],
)  # fmt: skip
def test_loopback_and_link_local_may_be_named_where_they_are_written(traddr: str, network: str) -> None:
    assert why_not(traddr, [network]) == ""


def test_the_broadcast_of_a_network_is_no_place() -> None:
    assert why_not("10.10.0.255", RAILS) == "its address is a broadcast"
    assert why_not("10.10.0.1", ["10.10.0.0/31"]) == ""


def test_an_interface_is_nothing_that_a_log_can_know() -> None:
    assert "has an interface" in why_not("2001:db8::7%rail0", RAILS)


@pytest.mark.parametrize(
    ("nqn", "allowed"),
    [
        (NQN, True),
        ("nqn.2026-11.org.other:vol0", True),
        ("nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01", False),
        (f"x{NQN}", False),
        # The name that every discovery controller has is a referral, which the address decides on.
        (DISCOVERY_NQN, True),
    ],
)
def test_a_subsystem_may_be_named_by_its_nqn(nqn: str, allowed: bool) -> None:
    assert (why_not("10.10.0.9", RAILS, nqn) == "") is allowed
    assert why_not("192.0.2.1", RAILS, nqn) != ""


def test_a_pattern_has_no_magic_but_the_star() -> None:
    assert why_not("10.10.0.9", RAILS, "nqn.2026-11.org.exampleX:vol0", ("nqn.2026-11.org.example.:vol0",)) != ""
    assert why_not("10.10.0.9", RAILS, "nqn.2026-11.org.example:[a]", ("nqn.*:[a]",)) == ""


def test_what_a_person_declared_may_be_named_whatever_it_is() -> None:
    declared = [{"traddr": "127.0.0.1", "subsysnqn": DISCOVERY_NQN}, {"traddr": "target.example.org"}]
    allowed = Allowed.of({"discovery_networks": []}, declared, ["10.10.0.1"])
    assert allowed.why_not({"traddr": "127.0.0.1", "subsysnqn": NQN}) == ""
    assert allowed.why_not({"traddr": "10.10.0.1", "subsysnqn": NQN}) != ""


def test_what_was_saved_without_lists_allows_what_its_logs_named_before() -> None:
    allowed = Allowed.of({}, [{"traddr": "10.10.255.1"}], ["10.10.255.2", "127.0.0.1", "169.254.0.1"])
    for traddr, there in {"10.10.255.1": True, "10.10.255.2": True, "10.10.255.3": False, "127.0.0.1": False,
                          "169.254.0.1": False}.items():  # fmt: skip
        assert (allowed.why_not({"traddr": traddr, "subsysnqn": NQN}) == "") is there, traddr


@given(st.ip_addresses(), st.lists(st.ip_addresses().map(str), max_size=4))
def test_nothing_outside_is_ever_allowed(address: ipaddress.IPv4Address, networks: list[str]) -> None:
    inside = normalise_address(str(address)) in map(normalise_address, networks)
    assert (why_not(str(address), networks) == "") is inside


@pytest.mark.parametrize(
    ("networks", "nqns", "what"),
    [
        (["10.10.0.1/24"], [], "discovery_networks has '10.10.0.1/24'; write an address or a network"),
        (["target1"], [], "discovery_networks has 'target1'"),
        ([7], [], "discovery_networks has 7"),
        (["::ffff:10.0.0.0/x"], [], "discovery_networks has '::ffff:10.0.0.0/x'"),
        ("10.0.0.0/8", [], "discovery_networks is '10.0.0.0/8'; it must be a list"),
        ([], ["nqn,x"], "discovery_nqns has 'nqn,x'"),
        ([], [""], "discovery_nqns has ''"),
    ],
)
def test_lists_that_are_wrong_are_told_and_allow_nothing(networks: object, nqns: object, what: str) -> None:
    (error,) = allowed_errors(networks, nqns)
    assert what in error
    allowed = Allowed.of({"discovery_networks": networks, "discovery_nqns": nqns}, [], [])
    assert allowed.why_not({"traddr": "10.10.0.1", "subsysnqn": NQN}) != ""
