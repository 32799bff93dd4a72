# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deployment is, seen in the kernels of both machines: as deployed, and again after both have rebooted."""

from __future__ import annotations

import pytest
from fabric import DEVICE, PORT, RAILS, counters, every, namespace_is_served, queues, rail_bytes, subflows
from machines import reboot, until
from testinfra.host import Host

MIB = 2**20


@pytest.fixture(scope="module", params=["deployed", "rebooted"], autouse=True)
def phase(request: pytest.FixtureRequest, target: Host, initiator: Host) -> str:
    """Every test runs in both phases; nobody runs Ansible between them."""
    if request.param == "rebooted":
        reboot(target, initiator)
        taken = until(lambda: namespace_is_served(initiator), 60)
        print(f"namespace and every subflow back {taken:.1f} s after the later machine answered ssh")
    return request.param


def test_namespace_is_served_on_every_rail(initiator: Host) -> None:
    assert namespace_is_served(initiator)


def test_controller_says_mptcp(initiator: Host) -> None:
    assert every(initiator, "transport") == {"mptcp"}
    assert every(initiator, "state") == {"live"}
    assert every(initiator, "cntrltype") == {"io", "discovery"}


def test_each_connection_has_one_subflow_a_rail(initiator: Host) -> None:
    connections = subflows(initiator)
    assert len(connections) == queues(initiator) >= 2
    for token, locals_ in connections.items():
        assert sorted(locals_) == [f"10.10.{rail}.101" for rail in range(len(RAILS))], token


@pytest.mark.parametrize(("direction", "counter"), [("read", "rx"), ("write", "tx")])
def test_every_rail_carries_bytes(initiator: Host, direction: str, counter: str) -> None:
    before = rail_bytes(initiator, counter)
    initiator.check_output(
        f"fio --name=x --filename={DEVICE} --rw={direction} --size=192M"
        " --bs=128k --iodepth=32 --direct=1 --ioengine=libaio"
    )
    carried = {rail: after - before[rail] for rail, after in rail_bytes(initiator, counter).items()}
    assert sum(carried.values()) >= 192 * MIB
    for rail, amount in carried.items():
        assert amount / sum(carried.values()) >= 0.15, f"{rail}: {carried}"


def test_nothing_fell_back(initiator: Host, target: Host) -> None:
    for machine in (initiator, target):
        assert {name: value for name, value in counters(machine).items() if "Fallback" in name and value} == {}


def test_port_is_not_reachable_from_the_management_network(target: Host) -> None:
    """A machine behind another NIC of the target, routed to the service address, gets no answer; on a rail it would."""
    reached = "timeout 5 python3 -c 'import socket; socket.create_connection((\"10.10.255.1\", 4420), 3)'"
    target.check_output(
        "ip netns add outside && ip link add out0 type veth peer name out1 netns outside && "
        "ip addr add 192.0.2.1/24 dev out0 && ip link set out0 up && ip -n outside addr add 192.0.2.2/24 dev out1 && "
        "ip -n outside link set out1 up && ip -n outside route add default via 192.0.2.1"
    )
    try:
        assert target.run("timeout 3 ip netns exec outside bash -c '< /dev/tcp/192.0.2.1/22'").rc == 0
        assert target.run(f"ip netns exec outside {reached}").rc != 0
        assert target.run(reached).rc == 0, "the port itself answers"
    finally:
        target.check_output("ip netns del outside")


def test_data_cannot_leave_by_the_management_nic(initiator: Host, target: Host) -> None:
    for machine, destination in ((initiator, "10.10.2.1"), (target, "10.10.2.101")):
        machine.check_output("ip link set rail2 down")
        try:
            assert machine.run(f"ip route get {destination}").failed, "no route but the rail's own"
        finally:
            machine.check_output("ip link set rail2 up")
    until(lambda: namespace_is_served(initiator), 90)


def test_boot_units_are_enabled_and_did_not_fail(initiator: Host, target: Host) -> None:
    for machine, unit in ((target, "target"), (initiator, "host"), (target, "network"), (initiator, "network")):
        assert machine.service(f"nvmeof-mptcp-{unit}").is_enabled
    for machine in (target, initiator):
        assert machine.check_output("systemctl list-units --failed --plain --no-legend 'nvmeof-mptcp*'") == ""


def test_no_unit_is_exposed_by_the_nodes_own_systemd(initiator: Host, target: Host) -> None:
    for machine, units in ((target, ("target", "network")), (initiator, ("host", "host-release", "network"))):
        for unit in units:
            machine.check_output(f"systemd-analyze security --threshold=50 --no-pager nvmeof-mptcp-{unit}.service")


def test_port_listens_on_the_service_address_alone(target: Host) -> None:
    listening = [line.split()[3] for line in target.check_output(f"ss -Htln sport = :{PORT}").splitlines()]
    assert listening == [f"10.10.255.1:{PORT}"]


def test_a_target_that_reboots_sends_its_hosts_away_before_its_network_goes(phase: str, target: Host) -> None:
    if phase == "rebooted":
        lines = target.check_output("journalctl --boot=-1 --output=short-monotonic --no-hostname").splitlines()
        [withdrawn] = [at for at, line in enumerate(lines) if "printf %s inaccessible" in line]
        # The last of them, for whoever sets up a machine's NICs may restart it.
        stopping = max(at for at, line in enumerate(lines) if "systemd[1]: Stopping systemd-networkd.service" in line)
        assert withdrawn < stopping
    assert target.check_output("cat /sys/kernel/config/nvmet/ports/*/ana_groups/*/ana_state") == "optimized"
