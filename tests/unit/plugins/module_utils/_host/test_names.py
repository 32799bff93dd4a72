# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import names
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import Names, has_route, is_name

TABLE = {
    "both.example.org": ["2001:db8::1", "192.0.2.1", "192.0.2.2"],
    "rail0.host1": ["2001:db8::9", "198.51.100.9"],
    "empty.example.org": [],
}


def connection(**changed: str) -> dict:
    return {"transport": "mptcp", "traddr": "both.example.org", **changed}


def resolved(one: dict, in_use: tuple[str, ...] = (), routed: str = ".:") -> dict:
    asked = []

    def lookup(name: str) -> list[str]:
        asked.append(name)
        if name not in TABLE:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return TABLE[name]

    found = Names([one, one], in_use, lookup, lambda address: any(mark in address for mark in routed)).resolved(one)
    assert len(asked) == len(set(asked))
    return found


def test_the_first_address_that_the_machine_has_a_route_to() -> None:
    assert resolved(connection())["traddr"] == "2001:db8::1"
    assert resolved(connection(), routed=".")["traddr"] == "192.0.2.1"
    # Without a route to any, the kernel says what is wrong with the first.
    assert resolved(connection(), routed="x")["traddr"] == "2001:db8::1"


def test_the_address_in_use_stays() -> None:
    assert resolved(connection(), in_use=("192.0.2.2", "192.0.2.77"))["traddr"] == "192.0.2.2"


def test_the_local_address_is_of_the_same_family() -> None:
    local = connection(host_traddr="rail0.host1")
    assert resolved(local, routed=".")["host_traddr"] == "198.51.100.9"
    assert resolved(local)["host_traddr"] == "2001:db8::9"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"traddr": "nowhere.example.org"}, "traddr 'nowhere.example.org' cannot be resolved"),
        ({"host_traddr": "nowhere.example.org"}, "host_traddr 'nowhere.example.org' cannot be resolved"),
        ({"traddr": "empty.example.org"}, "'empty.example.org' has no address"),
        ({"traddr": "192.0.2.1", "host_traddr": "empty.example.org"}, "no address of the family of 192.0.2.1"),
    ],
)
def test_what_has_no_address_is_told(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resolved(connection(**changed))


def test_addresses_and_what_is_no_ip_transport_are_not_asked_for() -> None:
    for one in (connection(traddr="192.0.2.1"), {"transport": "fc", "traddr": "nn-0x1:pn-0x2"}, {"transport": "loop"}):
        assert resolved(one) == one


def test_the_system_s_own_answers() -> None:
    assert "127.0.0.1" in names.addresses("localhost") or "::1" in names.addresses("localhost")
    assert has_route("127.0.0.1")


@pytest.mark.parametrize(
    ("text", "right"),
    [("stor1", True), ("a-b.example.org.", True), ("192.0.2.300", False), ("-a", False), ("a..b", False), ("", False)],
)
def test_host_names(text: str, right: bool) -> None:
    assert is_name(text) is right
