# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a connection can be asked for does the same over mptcp as over tcp."""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any, Iterator

import pytest
from conftest import HOSTNQN, NQN, NVMET, PORTS, connect, disconnect, port, transports, verify
from testinfra.host import Host

ATTRIBUTES = "address state queue_count sqsize kato ctrl_loss_tmo reconnect_delay fast_io_fail_tmo"
IPV6 = {"mptcp": 4422, "tcp": 4423}
OPTIONS = (
    "hdr_digest",
    "data_digest",
    "hdr_digest,data_digest",
    "nr_io_queues=1",
    "nr_write_queues=1",
    "nr_poll_queues=1",
    "queue_size=32",
    "tos=32",
    "host_traddr=127.0.0.2",
    "host_iface=lo",
    "keep_alive_tmo=7",
    "ctrl_loss_tmo=33,reconnect_delay=3",
    "fast_io_fail_tmo=4",
    "disable_sqflow",
)


def seen(machine: Host, transport: str, options: str, ports: dict[str, int] = PORTS) -> dict[str, Any]:
    """What can be seen of a controller with these options, and of its connections, without what names the transport."""
    number = ports[transport]
    address = "::1" if ports is IPV6 else "127.0.0.1"
    machine.check_output("dmesg --clear")
    done, said = connect(machine, f"transport={transport},traddr={address},trsvcid={number},{options}".rstrip(","))
    found: dict[str, Any] = {"done": done, "said": said}
    if done:
        verify(machine)
        found["attributes"] = machine.check_output(f"cd /sys/class/nvme/nvme0 && head {ATTRIBUTES}")
        sockets = machine.check_output(f"ss --tcp --numeric --no-header state established dport = :{number}")
        found["from"] = sorted(line.split()[2].rpartition(":")[0] for line in sockets.splitlines())
    found["log"] = re.sub(r"\[ *[\d.]+\] ", "", machine.check_output("dmesg"))
    disconnect(machine)
    text = json.dumps(found).replace(str(number), "PORT").replace("mptcp", "tcp")
    return dict(json.loads(re.sub(r"0x[0-9a-f]+|\b\d+ms\b", "", text)))


@pytest.mark.parametrize("options", OPTIONS)
def test_an_option_does_the_same(target: Host, options: str) -> None:
    mptcp = seen(target, "mptcp", options)
    assert mptcp["done"], mptcp["said"]
    assert mptcp == seen(target, "tcp", options)


@pytest.mark.parametrize("options", ["host_iface=nope", "host_traddr=192.0.2.1", "nr_io_queues=x"])
def test_an_option_that_cannot_be_is_refused_the_same(target: Host, options: str) -> None:
    mptcp = seen(target, "mptcp", options)
    assert not mptcp["done"]
    assert mptcp == seen(target, "tcp", options)


def test_ipv6(target: Host) -> None:
    for transport, number in IPV6.items():
        port(target, number, transport, "::1")
    mptcp = seen(target, "mptcp", "", IPV6)
    assert mptcp["done"], mptcp["said"]
    assert mptcp == seen(target, "tcp", "", IPV6)


# The target copies what tcp tells it of the connection request; MPTCP does not tell.
@pytest.mark.parametrize(("transport", "answered"), [("mptcp", False), ("tcp", True)])
def test_the_type_of_service_is_on_every_packet_of_the_host(target: Host, transport: str, answered: bool) -> None:
    number = PORTS[transport]
    assert connect(target, f"transport={transport},traddr=127.0.0.1,trsvcid={number},tos=32")[0]
    rules = [f"tcp {way} {number} ip dscp {is_it} 8 counter" for way in ("dport", "sport") for is_it in ("==", "!=")]
    chain = f"chain out {{ type filter hook output priority 0; {'; '.join(rules)}; }}"
    target.check_output(f"nft 'table ip tos {{ {chain}; }}'")
    try:
        verify(target)
        listing = json.loads(target.check_output("nft --json list table ip tos"))["nftables"]
    finally:
        target.check_output("nft delete table ip tos")
    counters = [
        entry["counter"]["packets"]
        for rule in listing
        for entry in rule.get("rule", {}).get("expr", [])
        if "counter" in entry
    ]
    assert [packets > 0 for packets in counters] == [True, False, answered, not answered], counters


def key() -> str:
    """A secret as nvme gen-dhchap-key makes it."""
    secret = bytes(range(32))
    return f"DHHC-1:00:{base64.b64encode(secret + zlib.crc32(secret).to_bytes(4, 'little')).decode()}:"


@pytest.fixture
def authenticated(target: Host) -> Iterator[Host]:
    """The target asks the host for its key."""
    host, subsystem = f"{NVMET}/hosts/{HOSTNQN}", f"{NVMET}/subsystems/{NQN}"
    target.check_output(
        f"mkdir {host} && printf %s {key()} > {host}/dhchap_key && echo 0 > {subsystem}/attr_allow_any_host"
    )
    target.check_output(f"ln -s {host} {subsystem}/allowed_hosts/")
    yield target
    disconnect(target)
    target.check_output(f"rm {subsystem}/allowed_hosts/* && rmdir {host} && echo 1 > {subsystem}/attr_allow_any_host")


def test_dh_hmac_chap(authenticated: Host) -> None:
    good = seen(authenticated, "mptcp", f"dhchap_secret={key()}")
    assert good["done"], good["said"]
    assert good == seen(authenticated, "tcp", f"dhchap_secret={key()}")
    for options in ("", f"dhchap_secret={key().replace('A', 'B', 1)}"):
        refused = seen(authenticated, "mptcp", options)
        assert not refused["done"]
        assert refused == seen(authenticated, "tcp", options)


def test_referrals(target: Host) -> None:
    pages = []
    for transport, number in PORTS.items():
        referral = f"{NVMET}/ports/{number}/referrals/other"
        target.check_output(
            f"mkdir {referral} && echo {transport} > {referral}/addr_trtype && echo ipv4 > {referral}/addr_adrfam"
        )
        target.check_output(f"echo 192.0.2.7 > {referral}/addr_traddr && echo 8009 > {referral}/addr_trsvcid")
        target.check_output(f"echo 1 > {referral}/enable")
        page = target.check_output(
            f"nvme discover --transport={transport} --traddr=127.0.0.1 --trsvcid={number} --output-format=json"
        )
        target.check_output(f"rmdir {referral}")
        pages.append({record["traddr"]: record for record in json.loads(page)["records"]})
    assert [sorted(page) for page in pages] == [["127.0.0.1", "192.0.2.7"]] * 2
    assert all(page["192.0.2.7"]["trsvcid"] == "8009" for page in pages)
    print(pages)


@pytest.fixture
def netns(target: Host) -> Iterator[str]:
    """A network namespace, linked to the machine's own, in which the target does not listen."""
    target.check_output("ip netns add apart && ip link add to-apart type veth peer name eth0 netns apart")
    target.check_output("ip address add 192.0.2.1/24 dev to-apart && ip link set to-apart up")
    target.check_output("ip -n apart address add 192.0.2.2/24 dev eth0 && ip -n apart link set eth0 up")
    yield "apart"
    disconnect(target)
    target.run("ip netns delete apart")
    target.check_output("ip link delete to-apart || ! ip link show to-apart")


@pytest.mark.parametrize(("transport", "number"), [("mptcp", 4432), ("tcp", 4433)])
def test_a_controller_stays_in_its_network_namespace(target: Host, netns: str, transport: str, number: int) -> None:
    port(target, number, transport, "192.0.2.1")
    options = f"transport={transport},traddr=192.0.2.1,trsvcid={number}"
    assert connect(target, options, netns) == (True, "")
    inside = f"ip netns exec {netns} ss --tcp --numeric --no-header state established dport = :{number} | wc -l"
    before = target.check_output(inside)
    assert int(before) >= 2
    # The controller is made anew by a worker of the kernel, in the namespace that this one runs in.
    target.check_output("echo 1 > /sys/class/nvme/nvme0/reset_controller")
    assert target.check_output("cat /sys/class/nvme/nvme0/state") == "live"
    assert target.check_output(inside) == before
    verify(target)
    # Whose name may go: the controller holds it.
    target.check_output(f"ip netns delete {netns}")
    verify(target)


def test_nvme_loop_which_is_not_rebuilt_works_beside_it(target: Host) -> None:
    target.check_output("modprobe nvme-loop")
    port(target, 4440, "loop", "")
    assert connect(target, "transport=loop") == (True, "")
    verify(target)
    assert connect(target, f"transport=mptcp,traddr=127.0.0.1,trsvcid={PORTS['mptcp']}") == (True, "")
    assert transports(target) == ["loop", "mptcp"]
    verify(target)
    target.check_output("echo 1 > /sys/class/nvme/nvme0/reset_controller")
    disconnect(target)
    target.check_output(f"rm {NVMET}/ports/4440/subsystems/* && rmdir {NVMET}/ports/4440 && rmmod nvme-loop")
