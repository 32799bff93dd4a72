# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other topologies of the same two machines: only the addresses change, and the description is deployed as a whole.

Last by its name, for it leaves the machines with other addresses.
"""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import Any

import pytest
from fabric import DEVICE, RAILS, playbook, queues, rail_bytes, subflows
from machines import LONG, until
from testinfra.host import Host

MIB = 2**20
#: Networks of the rails, the service address, and the addresses of each machine by NIC; a NIC without one is no rail.
TOPOLOGIES: dict[str, dict[str, Any]] = {
    "IPv6 alone": {
        "networks": [{"name": rail, "cidr": f"2001:db8:{number}::/64"} for number, rail in enumerate(RAILS)],
        "service": "2001:db8:ff::1",
        "target1": {rail: f"2001:db8:{number}::1/64" for number, rail in enumerate(RAILS)},
        "host1": {rail: f"2001:db8:{number}::101/64" for number, rail in enumerate(RAILS)},
    },
    "two rails of the host against four of the target": {
        "networks": [{"name": rail, "cidr": f"10.10.{number}.0/24"} for number, rail in enumerate(RAILS)],
        "service": "10.10.255.1",
        "target1": {rail: f"10.10.{number}.1/24" for number, rail in enumerate(RAILS)},
        "host1": {"rail0": "10.10.0.101/24", "rail1": "10.10.1.101/24"},
    },
    "all NICs in one network": {
        "networks": [{"name": rail, "cidr": "10.20.0.0/24"} for rail in RAILS],
        "service": "10.10.255.1",
        "target1": {rail: f"10.20.0.{1 + number}/24" for number, rail in enumerate(RAILS)},
        "host1": {rail: f"10.20.0.{101 + number}/24" for number, rail in enumerate(RAILS)},
    },
}
# As before any deployment, so that no role has to take away what the last topology had; only tables and rules are left
# to the role, whose second life they are.
_FORGET = {
    "host1": (
        "systemctl stop nvmeof-mptcp-host; "
        "for c in /sys/class/nvme/nvme*; do [ ! -e $c ] || echo 1 > $c/delete_controller; done; "
        "rm -f /etc/nvmeof-mptcp/host.json /var/lib/nvmeof-mptcp/host.owned.json"
    ),
    "target1": (
        "cd /sys/kernel/config/nvmet && find ports subsystems -type l -delete && "
        "rmdir ports/* subsystems/*/namespaces/* subsystems/* hosts/* && "
        "rm -f /etc/nvmeof-mptcp/target.json /var/lib/nvmeof-mptcp/target.owned.json"
    ),
}


def readdress(machine: Host, addresses: dict[str, str]) -> None:
    """What a manager of NICs does; it is stopped, so that it does not bring back its own."""
    words = ["systemctl stop systemd-networkd.socket systemd-networkd"]
    for rail in RAILS:
        words.append(f"ip address flush dev {rail} scope global")
        if rail in addresses:
            address = addresses[rail]
            words.append(f"sysctl -qw net.ipv6.conf.{rail}.disable_ipv6=0")
            words.append(f"ip address add {address} dev {rail}{' nodad' if ':' in address else ''}")
    machine.check_output(" && ".join(words))


def inventory(folder: Path, topology: dict[str, Any]) -> Path:
    """What stands beside the scenario's own inventory."""
    hosts: dict[str, Any] = {}
    for name in ("target1", "host1"):
        rails = {rail: {"interface": rail, "address": topology[name][rail].split("/")[0]} for rail in topology[name]}
        hosts[name] = {"fabric_rails": {rail: rails.get(rail, "absent") for rail in RAILS}}
    hosts["target1"]["fabric_service_address"] = topology["service"]
    path = folder / "topology.json"
    path.write_text(json.dumps({"all": {"hosts": hosts}}))
    return path


@LONG
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_every_connection_has_the_planned_subflows_and_bytes(
    name: str, initiator: Host, target: Host, tmp_path: Path
) -> None:
    topology = TOPOLOGIES[name]
    for machine, host in (("host1", initiator), ("target1", target)):
        host.check_output(_FORGET[machine])
    for machine, host in (("host1", initiator), ("target1", target)):
        readdress(host, topology[machine])
    networks = json.dumps({"fabric_networks": topology["networks"]})
    # site.yml ends with the proof: subflows and bytes of every rail as planned.
    done = playbook("--inventory", str(inventory(tmp_path, topology)), "--extra-vars", networks, "playbooks/site.yml")
    assert done.returncode == 0
    wanted = sorted(ip_interface(address).ip for address in topology["host1"].values())

    def planned() -> bool:
        """every connection has the planned subflows"""
        connections = subflows(initiator).values()
        # ss writes an IPv6 address in brackets.
        found = [sorted(ip_address(local.strip("[]")) for local in of) for of in connections]
        return len(found) == queues(initiator) and all(of == wanted for of in found)

    until(planned, 15)
    before = rail_bytes(initiator, "rx")
    initiator.check_output(
        f"fio --name=x --filename={DEVICE} --rw=read --size=96M --bs=128k --iodepth=32 --direct=1 --ioengine=libaio"
    )
    carried = {rail: after - before[rail] for rail, after in rail_bytes(initiator, "rx").items()}
    print(f"{name}: {carried}")
    assert sum(carried.values()) >= 96 * MIB
    for rail in topology["host1"]:
        assert carried[rail] >= 0.5 * sum(carried.values()) / len(wanted), carried
    for rail in set(RAILS) - set(topology["host1"]):
        assert carried[rail] < MIB, "no rail of this host"
