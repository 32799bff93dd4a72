# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others do: a switch that takes options away, NetworkManager on the NICs, a reboot."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Iterator

from conftest import ADDRESSES, UNIT, cursor, have, journal, reset, wait_until_whole
from fabric import PORT, RAILS, namespace_is_served, playbook
from machines import LONG, reboot, until
from testinfra.host import Host


@contextlib.contextmanager
def stripped(target: Host, match: str) -> Iterator[None]:
    """A path that passes TCP and takes its MPTCP options away."""
    chain = "chain c { type filter hook prerouting priority -300; }"
    target.check_output(f"nft 'table inet strip {{ {chain}; }}'")
    target.check_output(f"nft 'add rule inet strip c {match} tcp dport {PORT} reset tcp option mptcp'")
    try:
        yield
    finally:
        target.check_output("nft delete table inet strip")


def test_options_stripped_on_one_rail_are_reported(initiator: Host, target: Host) -> None:
    mark = cursor(initiator)

    def told() -> bool:
        """the unit tells that it tries in vain"""
        return "rail1: adding its endpoint again" in journal(initiator, mark) and "time 2" in journal(initiator, mark)

    with stripped(target, 'iifname "rail1"'):
        reset(initiator, 1)
        until(told, 30)
        assert have(initiator, [address for address in ADDRESSES if address != ADDRESSES[1]])
        verified = playbook("playbooks/verify.yml")
        assert verified.returncode != 0
        assert "have no subflow on rail1" in verified.stdout
    print(journal(initiator, mark))
    # The last try of the unit may just have failed.
    wait_until_whole(initiator, 30)


@LONG
def test_options_stripped_everywhere_are_reported(initiator: Host, target: Host) -> None:
    """A new connection is plain TCP or none: neither passes unnoticed."""
    mark = cursor(initiator)

    def told() -> bool:
        """the unit tells of a fallback"""
        said = journal(initiator, mark)
        return "fell back to plain TCP" in said or "MPCapableFallback" in said or "MPCapableSYNTXDrop" in said

    with stripped(target, 'iifname "rail*"'):
        initiator.run("echo 1 > /sys/class/nvme/nvme0/reset_controller")
        until(told, 90)
        assert playbook("playbooks/verify.yml").returncode != 0
    print(journal(initiator, mark))
    initiator.run("echo 1 > /sys/class/nvme/nvme0/reset_controller")
    until(lambda: namespace_is_served(initiator), 90)


def made(machine: Host) -> dict[str, Any]:
    """Endpoints, limits, routes, tables and rules, as data without the order in which the kernel tells them."""
    lists = {
        "endpoints": "ip -j mptcp endpoint show",
        "routes": "ip -j -N route show table all proto 77",
        "routes6": "ip -j -N -6 route show table all proto 77",
        "rules": "ip -j -N rule show",
        "rules6": "ip -j -N -6 rule show",
    }
    found: dict[str, Any] = {"limits": machine.check_output("ip mptcp limits show")}
    for what, command in lists.items():
        entries = json.loads(machine.check_output(command) or "[]")
        if what.startswith("rules"):
            entries = [entry for entry in entries if str(entry.get("protocol")) == "77"]
        for entry in entries:
            # Whether a link is up is no part of what was made.
            for hop in (entry, *entry.get("nexthops", [])):
                hop.pop("flags", None)
        found[what] = sorted(json.dumps(entry, sort_keys=True) for entry in entries)
    return found


@LONG
def test_reboot_brings_back_the_same(initiator: Host, target: Host) -> None:
    before = [made(machine) for machine in (initiator, target)]
    reboot(initiator, target)
    until(lambda: namespace_is_served(initiator), 90)
    assert [made(machine) for machine in (initiator, target)] == before


def test_network_manager_takes_the_nics_over(initiator: Host) -> None:
    """It neither doubles an endpoint nor loses one when it applies its configuration again."""
    wanted = made(initiator)
    assert len(wanted["endpoints"]) == len(RAILS)
    initiator.check_output(
        "rm -f /etc/systemd/system/NetworkManager.service /etc/systemd/system/NetworkManager-dispatcher.service && "
        "mkdir -p /etc/NetworkManager/conf.d && "
        "printf '[main]\\nno-auto-default=*\\n[keyfile]\\nunmanaged-devices=interface-name:mgmt0\\n' "
        "> /etc/NetworkManager/conf.d/lab.conf && systemctl daemon-reload && "
        "systemctl stop systemd-networkd.socket systemd-networkd && systemctl start NetworkManager"
    )
    try:
        for rail, address in zip(RAILS, ADDRESSES):
            initiator.check_output(
                f"nmcli connection add type ethernet con-name {rail} ifname {rail} ipv4.method manual "
                f"ipv4.addresses {address}/24 ipv6.method disabled 802-3-ethernet.mtu 9000 && "
                # Without it, NetworkManager makes endpoints for NICs with a default route alone.
                f"nmcli connection modify {rail} connection.mptcp-flags enabled,also-without-default-route,subflow && "
                f"nmcli connection up {rail}"
            )
        wait_until_whole(initiator, 30)
        for rail in RAILS:
            initiator.check_output(f"nmcli device reapply {rail}")
        wait_until_whole(initiator, 30)

        def as_planned() -> bool:
            """the endpoints are those of the plan, none doubled"""
            endpoints = json.loads(initiator.check_output("ip -j mptcp endpoint show"))
            return sorted(one["address"] for one in endpoints) == ADDRESSES

        until(as_planned, 10)
        print(initiator.check_output(f"journalctl -u {UNIT} -o cat -n 20"))
    finally:
        initiator.check_output(
            "systemctl stop NetworkManager && ln -s /dev/null /etc/systemd/system/NetworkManager.service && "
            "rm -f /etc/NetworkManager/system-connections/* && systemctl daemon-reload && "
            "systemctl start systemd-networkd.socket systemd-networkd"
        )
    wait_until_whole(initiator, 60)
