# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.connections import (
    nvme_connections,
    nvme_discovered,
    nvme_discovery,
    nvme_discovery_networks,
    nvme_discovery_nqns,
    nvme_planned,
    nvme_referrals,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import UnknownHost
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.networks import BadFabric

OWN = "nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"
HOSTVARS = {
    "t1": {"fabric_service_address": "192.0.2.1"},
    "t2": {"fabric_service_address": "192.0.2.2"},
    "t3": {},
    "h1": {"ansible_facts": {"hostnqn": OWN}},
    "h2": {"ansible_facts": {"hostnqn": ""}},
}


def subsystem(volume: int, *allowed: str, **more: object) -> dict:
    return {"nqn": f"nqn.2026-11.org.example:vol{volume}", "allowed_hosts": list(allowed), **more}


def derived(*subsystems: dict, host: str = "h1", targets: tuple[str, ...] = ("t1", "t2")) -> list[tuple[str, str]]:
    found = nvme_connections(subsystems, host, targets, HOSTVARS, trsvcid="4420")
    assert all((one["transport"], one["trsvcid"]) == ("mptcp", "4420") for one in found)
    return [(one["traddr"], one["subsysnqn"][-1]) for one in found]


def test_every_target_of_every_subsystem_that_allows_the_host() -> None:
    assert derived(subsystem(0, "h1"), subsystem(1, "h2"), subsystem(2, "h2", "h1", targets=["t2"])) == [
        ("192.0.2.1", "0"),
        ("192.0.2.2", "0"),
        ("192.0.2.2", "2"),
    ]


def test_a_host_is_allowed_by_its_nqn_or_when_anyone_is() -> None:
    assert derived(subsystem(0, OWN), targets=("t1",)) == [("192.0.2.1", "0")]
    assert derived(subsystem(0, allow_any_host=True), targets=("t1",)) == [("192.0.2.1", "0")]
    assert derived(subsystem(0), subsystem(1, OWN + "f"), targets=("t1",)) == []
    assert derived(subsystem(0, allow_any_host="no"), targets=("t1",)) == []


def test_a_machine_with_the_nqn_of_another_is_not_let_in() -> None:
    clone = {**HOSTVARS, "h9": HOSTVARS["h1"]}
    assert nvme_connections([subsystem(0, "h1")], "h9", ["t1"], clone) == []


def test_what_cannot_be_known_is_told() -> None:
    with pytest.raises(BadFabric, match="fabric_service_address of target t3 is missing"):
        derived(subsystem(0, "h1"), targets=("t3",))
    with pytest.raises(UnknownHost, match="the host NQN of 't1' is not known"):
        derived(subsystem(0, "t1"), host="t1")


def test_one_discovery_controller_for_each_target_reached_as_its_connections() -> None:
    found = nvme_discovery(["t1", "t2"], HOSTVARS, trsvcid="4420", transport="tcp", dhchap_secret="x", nr_io_queues=4)
    assert found == [
        {"transport": "tcp", "traddr": "192.0.2.1", "trsvcid": "4420"},
        {"transport": "tcp", "traddr": "192.0.2.2", "trsvcid": "4420"},
    ]
    with pytest.raises(BadFabric, match="fabric_service_address of target t3 is missing"):
        nvme_discovery(["t3"], HOSTVARS)


def test_a_target_refers_to_every_port_of_every_other() -> None:
    port = {"portid": 7, "trtype": "tcp", "adrfam": "ipv6", "traddr": "2001:db8::4", "trsvcid": "4421", "mdts": 5}
    ports = [port, {**port, "portid": 8, "subsystems": []}, {"portid": 9, "trtype": "loop"}]
    hostvars = {**HOSTVARS, "t4": {"nvme_target_ports": ports}}
    found = nvme_referrals(["t1", "t2", "t4"], "t1", hostvars)
    assert found[0] == {
        "name": "t2-1", "portid": 1, "trtype": "mptcp", "adrfam": "ipv4", "traddr": "192.0.2.2", "trsvcid": "4420",
    }  # fmt: skip
    assert [one["name"] for one in found] == ["t2-1", "t4-7", "t4-8"]
    assert {name: value for name, value in found[1].items() if name != "name"} == {
        name: value for name, value in port.items() if name != "mdts"
    }
    assert nvme_referrals(["t1"], "t1", HOSTVARS) == []


def test_what_logs_name_gets_the_options_and_secrets_of_derived_connections() -> None:
    secret = "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
    hostvars = {**HOSTVARS, "h3": {"fabric_dhchap_secret": secret}}
    options = {"transport": "tcp", "trsvcid": "4420", "host_iface": "eth0", "ctrl_loss_tmo": -1}
    assert nvme_discovered("h3", hostvars, **options) == {"dhchap_secret": secret, "ctrl_loss_tmo": -1}
    assert nvme_discovered("h1", hostvars, **options) == {"ctrl_loss_tmo": -1}


DISCOVERY = [{"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420"}]


def controller(address: str, volume: int, **changed: object) -> dict:
    nqn = f"nqn.2026-11.org.example:vol{volume}"
    return {"transport": "mptcp", "traddr": address, "trsvcid": "4420", "subsysnqn": nqn, "state": "live", **changed}


def planned(*controllers: dict, hostvars: dict = HOSTVARS, discovery: list = DISCOVERY) -> list[tuple[str, str, str]]:
    subsystems = [subsystem(0, "h1"), subsystem(1, "h2")]
    found = nvme_planned([], discovery, subsystems, "h1", ["t1", "t2"], hostvars, list(controllers))
    assert all(set(one) == {"transport", "traddr", "trsvcid", "subsysnqn"} for one in found)
    return [(one["transport"], f"{one['traddr']}:{one['trsvcid']}", one["subsysnqn"][-1]) for one in found]


def test_declared_connections_are_the_plan() -> None:
    declared = [{"traddr": "192.0.2.9", "subsysnqn": "x"}]
    assert nvme_planned(declared, DISCOVERY, [subsystem(0, "h1")], "h1", ["t1"], HOSTVARS, []) == declared


def test_with_discovery_alone_the_plan_is_what_the_targets_serve_this_host() -> None:
    both = [("mptcp", "192.0.2.1:4420", "0"), ("mptcp", "192.0.2.2:4420", "0")]
    assert planned(controller("192.0.2.1", 0), controller("192.0.2.2", 0), controller("192.0.2.1", 1)) == both
    # A target that is missing is planned all the same, and so is the transport of the discovery controller.
    assert planned(controller("192.0.2.1", 0)) == both
    assert planned(controller("192.0.2.1", 0, transport="tcp")) == both
    assert planned(controller("192.0.2.1", 0), discovery=[]) == []


def test_with_discovery_alone_all_ports_of_a_target_count() -> None:
    ports = [{"portid": 1, "traddr": "192.0.2.11", "trsvcid": "4421"}, {"portid": 2, "traddr": "192.0.2.12"}]
    hostvars = {**HOSTVARS, "t1": {**HOSTVARS["t1"], "nvme_target_ports": ports}}
    found = planned(
        controller("192.0.2.11", 0, trsvcid="4421"), controller("192.0.2.12", 0), controller("192.0.2.2", 0),
        controller("192.0.2.13", 0), hostvars=hostvars,
    )  # fmt: skip
    assert [where for _transport, where, _volume in found] == ["192.0.2.11:4421", "192.0.2.12:4420", "192.0.2.2:4420"]
    every = {**HOSTVARS, "t1": {**HOSTVARS["t1"], "nvme_target_ports": [{"portid": 1, "traddr": "0.0.0.0"}]}}
    found = planned(controller("192.0.2.13", 0), controller("192.0.2.2", 0), hostvars=every)
    assert [where for _transport, where, _volume in found] == ["192.0.2.13:4420", "192.0.2.2:4420"]


def test_logs_may_send_a_host_to_the_rails_and_to_the_targets() -> None:
    rails = [
        {"name": "rail0", "cidr": "198.51.100.0/25"},
        {"name": "rail1", "subnets": [{"cidr": "203.0.113.0/25", "gateway": "203.0.113.1"},
                                      {"cidr": "203.0.113.128/25", "gateway": "203.0.113.129"}]},
    ]  # fmt: skip
    addresses = [{"traddr": "198.51.100.7"}, {"traddr": "0.0.0.0"}, {"traddr": "192.0.2.2"}, {"trtype": "loop"}]
    ports = [{"portid": number, **one} for number, one in enumerate(addresses, 1)]
    hostvars = {**HOSTVARS, "t2": {**HOSTVARS["t2"], "nvme_target_ports": ports}}
    assert nvme_discovery_networks(rails, ["t1", "t2"], hostvars) == [
        "198.51.100.0/25",
        "203.0.113.0/25",
        "203.0.113.128/25",
        "192.0.2.1",
        "192.0.2.2",
        "198.51.100.7",
    ]
    assert nvme_discovery_networks([], [], hostvars) == []
    with pytest.raises(BadFabric, match="cidr 'x' of rail0 is not a network"):
        nvme_discovery_networks([{"name": "rail0", "cidr": "x"}], [], hostvars)


def test_logs_may_name_what_the_described_authorities_name() -> None:
    one = "nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"
    found = nvme_discovery_nqns([subsystem(0), subsystem(1), {"nqn": one}, {"nqn": "nqn.2026-11.org.other"}, {}])
    assert found == ["nqn.2026-11.org.example:*", "nqn.2014-08.org.nvmexpress:*", "nqn.2026-11.org.other"]
    assert nvme_discovery_nqns([]) == ["*"]
