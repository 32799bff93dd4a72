# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in a description: each is named with its place, its value and what to do."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import values
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from hypothesis import given, settings
from hypothesis import strategies as st
from nvmet_descriptions import descriptions

VOL, OTHER = "nqn.2026-11.org.example:vol0", "nqn.2026-11.org.example:vol1"
PORT = {"portid": 1, "trtype": "tcp", "adrfam": "ipv4", "traddr": "192.0.2.1", "trsvcid": 4420}
IPV6 = {**PORT, "adrfam": "ipv6", "traddr": "2001:db8::1"}
NAMESPACE = {"nsid": 1, "device_path": "/dev/disk/by-id/x"}
UUID = "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"


def subsystem(**more) -> dict:
    return {"subsystems": [{"nqn": VOL, **more}]}


def port(**more) -> dict:
    return {"ports": [{**PORT, **more}]}


def namespaces(*items) -> dict:
    return subsystem(namespaces=[{**NAMESPACE, **item} for item in items])


BAD = [
    ([], "the description: [] must be a dictionary"),
    ({"a\nb": []}, "'a\\nb': there is no such option"),
    ({"subsystem": []}, "subsystem: there is no such option; nvmet has discovery_nqn, hosts, subsystems, ports"),
    ({"subsystems": {}}, "subsystems: {} must be a list"),
    ({"subsystems": ["x"]}, "subsystems[0]: 'x' must be a dictionary"),
    ({"subsystems": [{"serial": "x"}]}, "subsystems[0]: nqn is missing"),
    ({"subsystems": [{"nqn": "vol0"}]}, "subsystems[0].nqn: 'vol0' must be an NVMe Qualified Name"),
    ({"subsystems": [{"nqn": "nqn.2026-13.org.example:x"}]}, "must be an NVMe Qualified Name"),
    ({"subsystems": [{"nqn": "nqn.2026-11.org.example:" + "x" * 200}]}, "at most 222 bytes long and is 224"),
    ({"subsystems": [{"nqn": VOL + "\0"}]}, "\\x00' must be printable characters"),
    ({"subsystems": [{"nqn": values.DISCOVERY_NQN}]}, "is the NQN of the discovery subsystem"),
    ({"subsystems": [{"nqn": VOL}, {"nqn": VOL}]}, f"subsystems[1].nqn: '{VOL}' is written twice"),
    (subsystem(colour="red"), ".colour: there is no such option; subsystem has nqn,"),
    (subsystem(serial="x" * 21), "serial: 'xxxxxxxxxxxxxxxxxxxxx' must be 1 to 20"),
    (subsystem(serial="Ä"), "serial: 'Ä' must be 1 to 20 printable ASCII"),
    (subsystem(allow_any_host="maybe"), "allow_any_host: 'maybe' must be true or false"),
    (subsystem(allow_any_host=True, allowed_hosts=[OTHER]), "write one of the two"),
    (subsystem(allowed_hosts=["host1"]), ".allowed_hosts[0]: 'host1' must be an NVMe Qualified Name"),
    (subsystem(allowed_hosts=[OTHER, OTHER]), ".allowed_hosts[1]: "),
    (subsystem(cntlid_min=9, cntlid_max=8), "cntlid_min 9 is above cntlid_max 8"),
    (subsystem(qid_max=129), "qid_max: 129 must be a whole number from 1 to 128"),
    (subsystem(serial=["A1"]), "serial: ['A1'] must be a single text, number or boolean"),
    (subsystem(qid_max=10**5000), "qid_max: a value of type int must be a number of at most 64 bits"),
    (subsystem(qid_max=1.5), "qid_max: 1.5 must be a whole number"),
    (subsystem(version=2.1), "version: 2.1 must be an NVMe version like '2.1', in quotes"),
    (subsystem(passthru={"enable": True}), "passthru: device_path is missing"),
    (subsystem(passthru={"device_path": "/dev/nvme0"}, namespaces=[NAMESPACE]), "both namespaces and passthru"),
    (namespaces({"nsid": 0}), ".namespaces[0].nsid: 0 must be a whole number from 1 to 4294967294"),
    (namespaces({"nsid": 0xFFFFFFFF}), "nsid: 4294967295 must be"),
    (namespaces({"nsid": True}), "nsid: True must be"),
    (namespaces({}, {"nsid": "1"}), ".namespaces[1].nsid: '1' is written twice"),
    (namespaces({"device_path": "vdb"}), "device_path: 'vdb' must be an absolute path"),
    (namespaces({"device_path": None}), "namespace 1: device_path is missing"),
    (namespaces({"uuid": "x"}), "uuid: 'x' must be 32 hexadecimal digits"),
    (namespaces({"uuid": "0" * 32}), "must not be all zeros"),
    (namespaces({"uuid": UUID}, {"nsid": 2, "uuid": UUID.upper()}), f"uuid '{UUID}' is also that of subsystem"),
    (namespaces({"ana_grpid": 128}), "ana_grpid: 128 must be a whole number from 1 to 127"),
    (
        {
            "subsystems": namespaces({"ana_grpid": 3})["subsystems"],
            "ports": [{**PORT, "subsystems": [VOL], "ana_groups": [{"grpid": 2}]}],
        },
        "namespace 1: ana_grpid 3 is a group of none of its ports, so that no host could use it; describe the group on "
        "port 1 or choose 1, which every port has",
    ),
    (namespaces(*({"nsid": nsid} for nsid in range(1, 1026))), "1025 namespaces are more than nvmet's 1024"),
    (port(portid=65536), "ports[0].portid: 65536 must be"),
    ({"ports": [PORT, {**PORT, "traddr": "192.0.2.2"}]}, "ports[1].portid: 1 is written twice"),
    ({"ports": [PORT, {**PORT, "portid": 2, "trtype": "mptcp"}]}, "192.0.2.1 4420 is also the address of port 1"),
    (
        {"ports": [PORT, {**PORT, "portid": 2, "trtype": "mptcp", "traddr": "0.0.0.0"}]},
        "port 1: 192.0.2.1 4420 is among the addresses of port 2, which listens on all",
    ),
    ({"ports": [{**IPV6, "portid": 2, "traddr": "::"}, IPV6]}, "2001:db8::1 4420 is among the addresses of port 2"),
    (port(trtype="udp"), "trtype: 'udp' must be one of mptcp, tcp"),
    (port(trtype=None), "port 1: trtype is missing"),
    (port(traddr=None), "port 1: traddr is missing; write it, transport tcp needs it"),
    (port(traddr="target1"), "traddr 'target1' is not an IPv4 address"),
    (port(adrfam="ipv6", traddr="fe80::zz"), "traddr 'fe80::zz' is not an IPv6 address"),
    (port(traddr="2001:db8::1"), "is not of adrfam ipv4"),
    (port(adrfam="fc"), "adrfam 'fc' does not go with trtype tcp"),
    (port(trsvcid="nvme"), "trsvcid 'nvme' is not a port number"),
    (port(trsvcid=65536), "trsvcid '65536' is not a port number"),
    (port(subsystems=[VOL]), f"port 1: '{VOL}' is not a subsystem of this description"),
    (port(inline_data_size=-1), "inline_data_size: -1 must be"),
    (port(tsas="tls1.3", treq="not specified"), "contradicts tsas tls1.3"),
    (port(ana_groups=[{"grpid": 2, "ana_state": "fast"}]), "ana_state: 'fast' must be one of optimized"),
    (port(referrals=[{"name": "a/b", "trtype": "loop"}]), "referrals[0].name: 'a/b' must be"),
    (port(referrals=[{"name": "a", "trtype": "tcp"}]), "port 1 referral a: adrfam is missing"),
    ({"discovery_nqn": "nqn.2026-11.org.example", **subsystem()}, "is how the NQN of subsystem"),
    ({"hosts": [{"nqn": OTHER, "dhchap_hash": "md5"}]}, "dhchap_hash: 'md5' must be one of"),
]


def test_ports_that_do_not_collide_with_one_that_listens_on_all() -> None:
    everywhere = {**PORT, "portid": 2, "traddr": "0.0.0.0"}
    beside = [IPV6, {**PORT, "trsvcid": "4421"}, {**PORT, "trtype": "rdma"}, {"portid": 1, "trtype": "loop"}]
    for one in beside:
        assert parse({"ports": [everywhere, one]}).objects


@pytest.mark.parametrize(("description", "message"), BAD)
def test_a_mistake_is_named_with_its_place_and_value(description, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(description)
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"x": 1, "subsystems": [{"nqn": VOL, "qid_max": 0, "namespaces": [{"nsid": 0}]}], "ports": 5})
    assert len(caught.value.problems) == 4


def test_a_wrong_key_is_not_repeated_in_the_message() -> None:
    with pytest.raises(Invalid) as caught:
        parse({"hosts": [{"nqn": OTHER, "dhchap_key": "DHHC-1:hunter2"}]})
    assert "hunter2" not in str(caught.value)


def mistakes(description) -> list[str]:
    try:
        parse(description)
    except Invalid as error:
        return error.problems
    return []


def refusal(sanitise, value) -> str:
    try:
        sanitise(value)
    except ValueError as error:
        return str(error)
    return ""


def places(found, path=()):
    """Every place in a description."""
    yield path
    for key, value in found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else []:
        yield from places(value, (*path, key))


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({"x": 1}),
    st.just("nqn.2026-11.org.example:vol0"), st.just(-1), st.just(["x"]), st.just("a" * 5000), st.just("\x00"),
)  # fmt: skip


@settings(deadline=None, max_examples=500)
@given(found=descriptions(), data=st.data())
def test_whatever_is_written_anywhere_is_accepted_or_named(found: dict, data) -> None:
    broken = copy.deepcopy(found)
    *way, last = data.draw(st.sampled_from([place for place in places(broken) if place] or [("ports",)]))
    holder = broken
    for step in way:
        holder = holder[step]
    holder[last] = data.draw(JUNK)
    assert all(problem.strip() for problem in mistakes(broken))


@settings(deadline=None)
@given(found=descriptions())
def test_an_unknown_option_anywhere_is_refused(found: dict) -> None:
    for place in places(found):
        broken = holder = copy.deepcopy(found)
        for step in place:
            holder = holder[step]
        if isinstance(holder, dict):
            holder["no_such_option"] = 1
            with pytest.raises(Invalid, match="no_such_option: there is no such option"):
                parse(broken)


@settings(deadline=None, max_examples=300)
@given(value=st.one_of(JUNK, st.from_regex(r"[0-9a-fx.:/-]{1,36}", fullmatch=True), st.integers(0, 300)))
def test_sanitisers_are_idempotent_and_refuse_with_words(value) -> None:
    for kind in KINDS.values():
        for row in kind.attributes:
            why = refusal(row.sanitise, value)
            if why:
                assert why.startswith(("must ", "is ")), why
            else:
                once = row.sanitise(value)
                assert row.sanitise(once) == once


@pytest.mark.parametrize(
    ("sanitise", "written", "stored"),
    [
        (values.switch, True, "1"),
        (values.switch, "no", "0"),
        (values.whole(0, 0xFFFF, "0x{:x}"), 6900, "0x1af4"),
        (values.whole(0, 0xFFFF, "0x{:x}"), "0x1AF4", "0x1af4"),
        (values.whole(0, 99), "010", "10"),
        (values.identifier, "0B2C1E9E3A2F4A5C9F4E0D8A6A1B2C3D", UUID),
        (values.address, "2001:DB8:0::1", "2001:db8::1"),
        (values.address, "fe80::1%eth0", "fe80::1%eth0"),
        (values.version, "2.1.0", "2.1"),
        (values.version, "1.4.1", "1.4.1"),
        (values.text(1, 20), " A1  ", "A1"),
    ],
)
def test_sanitisers_know_both_spellings(sanitise, written, stored: str) -> None:
    assert sanitise(written) == stored
