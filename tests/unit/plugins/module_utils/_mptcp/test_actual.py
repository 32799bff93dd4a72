# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of iproute2 and of the kernel, recorded from real ones, in the shape that the planner compares."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual as _mptcp_actual
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import pm

# ip -j -N -4 route show table main proto 77
ROUTES = """[
{"type":"6","dst":"10.10.0.0/24","scope":"0","metric":4294967295,"flags":[]},
{"type":"1","dst":"10.10.255.1","scope":"0","flags":[],"metric":900,"nexthops":[
 {"gateway":"10.10.0.1","dev":"r0","weight":1,"flags":["dead","linkdown"]},
 {"gateway":"10.10.1.1","dev":"r1","weight":1,"flags":[]}]},
{"type":"1","dst":"10.10.255.1","gateway":"10.10.0.1","dev":"r0","scope":"0","metric":901,"flags":["dead","linkdown"]},
{"type":"6","dst":"10.10.255.1","scope":"0","metric":4294967295,"flags":[]}]"""
# ip -j -N -4 rule show
RULES = """[{"priority":0,"src":"all","table":"255"},
{"priority":100,"src":"192.0.2.1","table":"100"},
{"priority":7700,"src":"10.10.255.1","dst":"10.10.0.0","dstlen":24,"table":"254","protocol":"77"},
{"priority":7799,"src":"10.10.255.1","action":"8","protocol":"77"},
{"priority":32766,"src":"all","table":"254"},{"priority":32767,"src":"all","table":"253"}]"""
# ip -j -N address show
ADDRESSES = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,
 "operstate":"UNKNOWN","addr_info":[
 {"family":"inet","local":"127.0.0.1","prefixlen":8},{"family":"inet","local":"10.10.255.1","prefixlen":32},
 {"family":"inet6","local":"::1","prefixlen":128}]},
{"ifindex":3,"link_index":6,"ifname":"r0","flags":["NO-CARRIER","BROADCAST","MULTICAST","UP"],
 "mtu":1500,"operstate":"DOWN","addr_info":[
 {"family":"inet","local":"10.10.0.101","prefixlen":24,"label":"r0"},{}]},
{"ifindex":4,"ifname":"r1.7","flags":["BROADCAST","MULTICAST"],"mtu":9000,"operstate":"UP","addr_info":[]},{}]"""


def test_routes() -> None:
    worst = 4294967295
    assert [_mptcp_actual.route(entry) for entry in json.loads(ROUTES)] == [
        {"type": "blackhole", "dst": "10.10.0.0/24", "table": "main", "metric": worst, "nexthops": []},
        {
            "type": "unicast",
            "dst": "10.10.255.1/32",
            "table": "main",
            "metric": 900,
            "nexthops": [{"via": "10.10.0.1", "dev": "r0"}, {"via": "10.10.1.1", "dev": "r1"}],
        },
        {
            "type": "unicast",
            "dst": "10.10.255.1/32",
            "table": "main",
            "metric": 901,
            "nexthops": [{"via": "10.10.0.1", "dev": "r0"}],
        },
        {"type": "blackhole", "dst": "10.10.255.1/32", "table": "main", "metric": worst, "nexthops": []},
    ]


def test_read_takes_what_is_ours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"address": ADDRESSES, "route": ROUTES, "rule": RULES}

    def answer(*arguments: str) -> Any:
        return [] if "-6" in arguments else json.loads(next(answers[word] for word in arguments if word in answers))

    asked: list[Any] = []
    monkeypatch.setattr(_mptcp_actual, "ip_json", lambda *words: asked.append(words) or answer(*words))
    monkeypatch.setattr(pm, "endpoints", lambda names: names)
    monkeypatch.setattr(pm, "limits", lambda: {"subflows": 2, "add_addr_accepted": 0})
    actual = _mptcp_actual.read()
    assert ("-4", "route", "show", "table", "all", "proto", "77") in asked
    assert ("-6", "route", "show", "table", "all", "proto", "77") in asked
    assert actual["endpoints"] == {1: "lo", 3: "r0", 4: "r1.7"}
    assert actual["rules"] == [
        {"priority": 7700, "from": "10.10.255.1/32", "to": "10.10.0.0/24", "action": "main"},
        {"priority": 7799, "from": "10.10.255.1/32", "to": "", "action": "prohibit"},
    ]
    assert actual["interfaces"]["r0"] == {"index": 3, "up": True, "carrier": False, "addresses": ["10.10.0.101/24"]}
    assert actual["interfaces"]["r1.7"] == {"index": 4, "up": False, "carrier": False, "addresses": []}
    assert "10.10.255.1/32" in actual["interfaces"]["lo"]["addresses"]


def test_nics_in_the_shape_of_setup() -> None:
    facts = _mptcp_actual.nic_facts(json.loads(ADDRESSES))
    assert facts["interfaces"] == ["lo", "r0", "r1.7"]
    assert facts["lo"]["type"] == "loopback"
    assert facts["lo"]["ipv4_secondaries"] == [{"address": "10.10.255.1", "prefix": "32"}]
    assert facts["lo"]["ipv6"] == [{"address": "::1", "prefix": "128"}]
    assert facts["r0"]["ipv4"] == {"address": "10.10.0.101", "prefix": "24"}
    assert facts["r0"]["active"] is False
    assert facts["r1_7"] == {"device": "r1.7", "active": True, "mtu": 9000, "type": "ether"}


# ip -j -N -6 route show table all proto 77
ROUTES6 = """[
{"dst":"2001:db8:ff::1","gateway":"2001:db8::1","dev":"r0","table":"7600","metric":900,"flags":[],"pref":"medium"},
{"type":"6","dst":"2001:db8:ff::1","dev":"lo","table":"7600","metric":4294967295,"flags":[],"pref":"medium"},
{"type":"6","dst":"2001:db8::/64","dev":"lo","metric":4294967295,"flags":[],"pref":"medium"},
{"dst":"2001:db8::101","dev":"r1","metric":900,"flags":[],"pref":"medium"},
{"dst":"2001:db8:ff::1","metric":900,"flags":[],"pref":"medium","nexthops":[
 {"gateway":"2001:db8::1","dev":"r0","weight":1,"flags":[]},{"gateway":"fe80::1","dev":"r1","weight":1,"flags":[]}]}]"""
# ip -j -N -6 rule show
RULES6 = """[{"priority":7600,"src":"2001:db8::101","table":"7600","protocol":"77"},
{"priority":7700,"src":"2001:db8:ff::1","dst":"2001:db8::","dstlen":64,"table":"254","protocol":"77"},
{"priority":7799,"src":"2001:db8:ff::1","action":"8","protocol":"77"}]"""


def test_ipv6_routes() -> None:
    worst, service = 4294967295, "2001:db8:ff::1/128"
    hop0, hop1 = {"via": "2001:db8::1", "dev": "r0"}, {"via": "fe80::1", "dev": "r1"}
    keys = ("type", "dst", "table", "metric", "nexthops")
    assert [tuple(_mptcp_actual.route(entry)[key] for key in keys) for entry in json.loads(ROUTES6)] == [
        ("unicast", service, "7600", 900, [hop0]),
        ("blackhole", service, "7600", worst, []),
        ("blackhole", "2001:db8::/64", "main", worst, []),
        ("unicast", "2001:db8::101/128", "main", 900, [{"via": "", "dev": "r1"}]),
        ("unicast", service, "main", 900, [hop0, hop1]),
    ]


def test_ipv6_rules() -> None:
    keys = ("priority", "from", "to", "action")
    assert [tuple(_mptcp_actual.rule(entry)[key] for key in keys) for entry in json.loads(RULES6)] == [
        (7600, "2001:db8::101/128", "", "7600"),
        (7700, "2001:db8:ff::1/128", "2001:db8::/64", "main"),
        (7799, "2001:db8:ff::1/128", "", "prohibit"),
    ]


def test_ipv6_addresses_that_stay() -> None:
    """One that is still being checked cannot be used, one that is replaced every day cannot be planned with."""
    entries = [
        {"family": "inet6", "local": "2001:db8::5", "prefixlen": 64},
        {"family": "inet6", "local": "2001:db8::6", "prefixlen": 64, "tentative": True},
        {"family": "inet6", "local": "2001:db8::7", "prefixlen": 64, "temporary": True},
        {"family": "inet6", "local": "fe80::5", "prefixlen": 64},
    ]
    link = {"ifindex": 3, "ifname": "r0", "flags": ["UP"], "operstate": "UP", "mtu": 1500}
    links = [{**link, "addr_info": entries}]
    usable = _mptcp_actual.interfaces(links)["r0"]["addresses"]
    assert usable == ["2001:db8::5/64", "2001:db8::7/64", "fe80::5/64"]
    told = [entry["address"] for entry in _mptcp_actual.nic_facts(links)["r0"]["ipv6"]]
    assert told == ["2001:db8::5", "2001:db8::6", "fe80::5"]


def test_missing_iproute2_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(OSError, match="install the package iproute2"):
        _mptcp_actual.ip_json("address", "show")


def test_refusal_of_iproute2_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 2, "", "Device is odd\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)
    with pytest.raises(OSError, match=r"`ip -j -N rule show`: Device is odd"):
        _mptcp_actual.ip_json("rule", "show")


def test_sysctl_of_several_numbers_reads_as_it_is_written(tmp_path: Any) -> None:
    (tmp_path / "tcp_rmem").write_text("4096\t131072\t6291456\n")
    assert _mptcp_actual.read_sysctl(str(tmp_path / "tcp_rmem")) == "4096 131072 6291456"


def test_sysctl_that_this_kernel_does_not_have(tmp_path: Any) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "x").write_text("7\n")
    assert _mptcp_actual.read_sysctl(_mptcp_actual.sysctl_path("net.x", root=str(tmp_path))) == "7"
    assert _mptcp_actual.read_sysctl(_mptcp_actual.sysctl_path("net.y", root=str(tmp_path))) is None


def endpoint(address: bytes, number: int, flags: int, index: int = 0, port: int = 0) -> bytes:
    kind = 3 if len(address) == 4 else 4
    fields = [(2, bytes([number])), (6, flags.to_bytes(4, "little")), (kind, address)]
    fields += [(7, index.to_bytes(4, "little"))] if index else []
    fields += [(5, port.to_bytes(2, "little"))] if port else []
    return b"".join(netlink.attribute(key, value) for key, value in fields)


def test_endpoints_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        3: [
            {1: endpoint(b"\x0a\x0a\x00\x65", 1, 2, 3)},
            {1: endpoint(b"\x0a\x0a\x01\x65", 2, 2 | 4 | 32, 9)},
            {1: endpoint(bytes(15) + b"\x01", 7, 1, port=8009)},
        ],
        6: [{2: b"\x00\x00\x00\x00", 3: b"\x08\x00\x00\x00"}],
    }
    monkeypatch.setattr(netlink, "generic", lambda _family, command, dump: answers[command])
    assert pm.endpoints({3: "r0"}) == [
        {"address": "10.10.0.101", "id": 1, "flags": ["subflow"], "dev": "r0", "port": 0},
        {"address": "10.10.1.101", "id": 2, "flags": ["backup", "laminar", "subflow"], "dev": "if9", "port": 0},
        {"address": "::1", "id": 7, "flags": ["signal"], "dev": "", "port": 8009},
    ]
    assert pm.limits() == {"subflows": 8, "add_addr_accepted": 0}


def test_kernel_without_mptcp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_family(*_arguments: Any, **_options: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr(netlink, "generic", no_family)
    with pytest.raises(OSError, match="running kernel has no MPTCP"):
        pm.limits()


def test_attributes_survive_a_round_trip_and_a_truncated_message() -> None:
    raw = netlink.attribute(1, b"abc") + netlink.attribute(0x8002, b"")
    assert list(netlink.attributes(raw)) == [(1, b"abc"), (2, b"")]
    assert list(netlink.attributes(raw + b"\x01\x00\x01\x00")) == [(1, b"abc"), (2, b"")]
