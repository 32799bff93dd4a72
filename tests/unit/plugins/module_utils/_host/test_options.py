# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import options
from hypothesis import given
from hypothesis import strategies as st

NQN = "nqn.2026-11.org.example:vol0"
SECRET = nvme_tree.SECRET
GOOD = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": NQN}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tls": True}, "tls is True, which the transport mptcp does not know"),
        ({"keyring": 5}, "the kernel has no TLS for MPTCP"),
        ({"tls_key": 5}, "tls_key is 5, which the transport mptcp does not know"),
        ({"concat": True, "dhchap_secret": SECRET}, "concat is True, which the transport mptcp does not know"),
        ({"transport": "tcp", "tls": True, "tls_key": 7}, "tls_key is 7, a serial number that changes at every boot"),
        ({"transport": "tcp", "tls": True, "keyring": 3}, "write tls: true instead, and have the key loaded into"),
        ({"transport": "quic"}, "transport is 'quic'; it must be one of mptcp, tcp, rdma, fc, loop"),
        ({"transport": "loop", "ctrl_loss_tmo": 5}, "ctrl_loss_tmo is 5, which the transport loop does not know"),
        ({"transport": "rdma", "host_iface": "ib0"}, "use mptcp or tcp"),
        ({"transport": "fc", "trsvcid": None}, "host_traddr is missing; the transport fc needs it"),
        ({"trsvcid": None}, "trsvcid is missing"),
        ({"traddr": None}, "traddr is missing"),
        ({"traddr": "-x"}, "traddr is '-x'; it must be an IPv4 or IPv6 address, or a host name"),
        ({"traddr": "2001:db8:::1"}, "or a host name"),
        ({"traddr": "192.0.2.300"}, "it must be an IPv4 or IPv6 address"),
        ({"trsvcid": "70000"}, "from 1 to 65535"),
        ({"trsvcid": "nvme"}, "it must be a port number"),
        ({"subsysnqn": "vol0"}, "an NQN starts with nqn."),
        ({"subsysnqn": "nqn.2026-11.org.example:" + "x" * 220}, "at most 223 bytes"),
        ({"subsysnqn": NQN + ",tls"}, "without a comma"),
        ({"host_iface": "eth0,duplicate_connect"}, "without a comma"),
        ({"reconnect_delay": 0}, "reconnect_delay is 0; it must be from 1"),
        ({"ctrl_loss_tmo": -2}, "from -1"),
        ({"queue_size": 8}, "from 16 to 1024"),
        ({"tos": 256}, "from 0 to 255"),
        ({"nr_io_queues": "four"}, "must be a whole number"),
        ({"hdr_digest": "yes"}, "must be true or false"),
        ({"ctrl_loss_tmo": 5, "fast_io_fail_tmo": 10}, "longer than ctrl_loss_tmo"),
        ({"dhchap_ctrl_secret": SECRET}, "without dhchap_secret"),
        ({"hostid": "6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"}, "hostid is set without hostnqn"),
        ({"hostnqn": NQN, "hostid": "host1"}, "hostid is 'host1'; it must be a UUID"),
        ({"hostnqn": "host1"}, "an NQN starts with nqn."),
        ({"duplicate_connect": "yes"}, "duplicate_connect is 'yes'; it must be true or false"),
        ({"transport": "loop", "traddr": None, "trsvcid": "4420"}, "trsvcid is '4420', which the transport loop"),
        ({"transport": "rdma", "hdr_digest": True}, "hdr_digest is True, which the transport rdma does not know"),
        ({"traddr": "stor1.example.1"}, "it must be an IPv4 or IPv6 address, or a host name"),
        ({"kato": 5}, "'kato' is no option of /dev/nvme-fabrics"),
        ({"transport": ["mptcp"]}, "transport is ['mptcp']; it must be one of"),
        ({"subsysnqn": NQN + "\x1b[31m"}, r"vol0\x1b[31m'; it must be a text without a comma, a space or a control"),
        ({"subsysnqn": NQN + "\udc80"}, "it must be a text without"),
        ({"hostnqn": NQN + "\x07"}, "it must be a text without"),
        ({"trsvcid": "9" * 5000}, "from 1 to 65535"),
        ({"trsvcid": "04420"}, "without leading zeros"),
        ({"keep_alive_tmo": 2**31 - 1}, "it must be from 1 to 2147483"),
        ({"reconnect_delay": 2147484}, "it must be from 1 to 2147483"),
        ({"ctrl_loss_tmo": -1, "fast_io_fail_tmo": 2**31 - 1}, "it must be from -1 to 2147483"),
        ({"traddr": "0.0.0.0"}, "it must be the address of one machine"),
        ({"traddr": "::"}, "it must be the address of one machine"),
        ({"traddr": "ff02::1%lo"}, "it must be the address of one machine"),
        ({"traddr": "255.255.255.255"}, "it must be the address of one machine"),
        ({"host_traddr": "224.0.0.1"}, "host_traddr is '224.0.0.1'; it must be the address of one machine"),
        ({"traddr": "192.0.2.1%rail0"}, "only an IPv6 address has an interface behind %"),
        ({"traddr": "fe80::1%"}, "write the interface behind %"),
        ({"traddr": "fe80::1"}, "is link-local: write its interface, as in fe80::1%rail0, or set host_iface"),
        ({"host_traddr": "2001:db8::1"}, "host_traddr is '2001:db8::1' and traddr '192.0.2.1'; both must be"),
    ],
)
def test_refusals_name_the_option_the_value_and_the_remedy(changed: dict, message: str) -> None:
    found = options.errors({**GOOD, **changed})
    assert any(message in error for error in found), found


def test_a_malformed_secret_is_refused_and_not_shown() -> None:
    found = options.errors({**GOOD, "dhchap_secret": "hunter2"})
    assert found
    assert "hunter2" not in " ".join(found)


@pytest.mark.parametrize(
    "connection",
    [
        GOOD,
        {**GOOD, "hdr_digest": True, "data_digest": True, "host_iface": "rail0", "tos": 8, "nr_io_queues": 4},
        {**GOOD, "transport": "tcp", "tls": True},
        {**GOOD, "transport": "tcp", "concat": True, "dhchap_secret": SECRET},
        {"transport": "loop", "subsysnqn": NQN},
        {**GOOD, "traddr": "fe80::1", "host_iface": "rail0"},
        {**GOOD, "traddr": "fe80::1%rail0", "host_traddr": "2001:db8::1"},
        {**GOOD, "traddr": "stor1.example.org", "host_traddr": "2001:db8::1"},
        {**GOOD, "transport": "rdma", "host_traddr": "198.51.100.1", "nr_poll_queues": 2, "tos": 8},
        {**GOOD, "traddr": "stor1.example.org", "duplicate_connect": True, "discovery": True},
        {**GOOD, "hostnqn": NQN, "hostid": "6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01", "dhchap_secret": SECRET},
        {"transport": "fc", "traddr": "nn-0x1:pn-0x2", "host_traddr": "nn-0x3:pn-0x4", "subsysnqn": NQN},
    ],
)
def test_what_the_kernel_takes_is_accepted(connection: dict) -> None:
    assert options.errors(connection) == []


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%rail0", "fe80::1%rail0"),
        ("fe80::1%1", "fe80::1%lo"),
        ("fe80::1%999999", "fe80::1%999999"),
        ("192.0.2.1", "192.0.2.1"),
        ("nn-0x1:pn-0x2", "nn-0x1:pn-0x2"),
    ],
)
def test_one_spelling_for_an_address(text: str, normal: str) -> None:
    assert options.normalise_address(text) == normal
    assert options.normalise_address(normal) == normal


def test_text_for_the_kernel_and_for_people() -> None:
    connection = {**GOOD, "dhchap_secret": SECRET, "hdr_digest": True, "data_digest": False, "keep_alive_tmo": 5}
    written = options.render(connection, "nqn.2026-11.org.example:h", "id")
    assert written == (
        f"transport=mptcp,traddr=192.0.2.1,trsvcid=4420,nqn={NQN},keep_alive_tmo=5,hdr_digest,dhchap_secret={SECRET},"
        "hostnqn=nqn.2026-11.org.example:h,hostid=id"
    )
    shown = options.render(connection, "nqn.2026-11.org.example:h", "id", hide=True)
    assert shown == written.replace(SECRET, "********")


def test_the_table_has_every_option_of_the_kernel() -> None:
    # opt_tokens of drivers/nvme/host/fabrics.c, Linux 7.2.
    tokens = """transport traddr trsvcid nqn queue_size nr_io_queues reconnect_delay ctrl_loss_tmo keep_alive_tmo
        hostnqn host_traddr host_iface hostid duplicate_connect disable_sqflow hdr_digest data_digest nr_write_queues
        nr_poll_queues tos keyring tls_key fast_io_fail_tmo discovery dhchap_secret dhchap_ctrl_secret tls concat"""
    assert sorted(option.token or option.name for option in options.OPTIONS) == sorted(tokens.split())


def test_a_host_of_its_own_is_written_in_place_of_the_host_s() -> None:
    own = {**GOOD, "hostnqn": f"{NQN}-h", "hostid": "id2"}
    assert options.render(own, "nqn.host", "id1").endswith(f"hostnqn={NQN}-h,hostid=id2")
    assert options.name_of(own).endswith(f"hostnqn={NQN}-h")


def test_a_name_has_everything_that_identifies() -> None:
    assert options.name_of(GOOD) == f"mptcp 192.0.2.1:4420 {NQN}"
    v6 = {**GOOD, "traddr": "2001:db8::1", "host_iface": "rail0"}
    assert options.name_of(v6) == f"mptcp [2001:db8::1]:4420 {NQN} host_iface=rail0"


@given(
    st.dictionaries(
        st.sampled_from([name for name in sorted(options.BY_NAME) if not name.endswith("traddr")]),
        st.one_of(st.none(), st.text("abc0:", max_size=3), st.booleans()),
    ),
    st.one_of(st.none(), st.ip_addresses().map(str)),
)
def test_normal_form_is_idempotent(connection: dict, address: str | None) -> None:
    connection = {**connection, "traddr": address}
    once = options.normalise(connection)
    assert options.normalise(once) == once


@given(
    st.fixed_dictionaries(
        {"transport": st.sampled_from(sorted(options.MODULES)), "subsysnqn": st.just(NQN)},
        optional={
            option.name: {
                "int": st.integers(-3, 70000),
                "bool": st.booleans(),
                "str": st.text(alphabet="abc09.:,= \n", max_size=9),
            }[option.kind]
            for option in options.OPTIONS
            if option.name not in ("transport", "subsysnqn")
        },
    )
)
def test_nothing_accepted_holds_an_option_that_was_not_given(connection: dict) -> None:
    if options.errors(connection):
        return
    written = options.render(connection, NQN, "id").split(",")
    tokens = {option.token or option.name: option for option in options.OPTIONS}
    for word in written[:-2]:
        option = tokens[word.partition("=")[0]]
        assert connection["transport"] in option.transports
        # A number may be 0, which is equal to False and yet an option.
        assert connection[option.name] not in (None, "")
        assert connection[option.name] is not False


def test_names_that_are_no_texts_are_told_beside_others() -> None:
    given = {"transport": "mptcp", "subsysnqn": "nqn.2026-11.org.example:a", "traddr": "192.0.2.1", "trsvcid": "4420"}
    assert [text.split(" is no")[0] for text in options.errors({**given, 1: 2, "x": 3})] == ["1", "'x'"]
