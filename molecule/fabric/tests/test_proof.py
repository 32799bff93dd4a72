# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof fails when the fabric is less than planned, and names the cause; the site playbook mends it."""

from __future__ import annotations

import json

import pytest
from fabric import RAILS, namespace_is_served, playbook
from machines import one_or_all, reboot, until
from testinfra.host import Host


@pytest.fixture
def mended(initiator: Host):
    """After the test the site playbook has to bring everything back."""
    yield
    result = playbook("playbooks/site.yml")
    assert result.returncode == 0
    until(lambda: namespace_is_served(initiator), 30)


def test_proof_holds_and_shows_every_rail() -> None:
    result = playbook("playbooks/verify.yml")
    assert result.returncode == 0
    assert all(rail in result.stdout for rail in RAILS)


@pytest.mark.usefixtures("mended")
def test_removed_endpoint_is_named(initiator: Host) -> None:
    endpoints = json.loads(initiator.check_output("ip -j mptcp endpoint show"))
    [number] = [endpoint["id"] for endpoint in endpoints if endpoint["address"] == "10.10.2.101"]
    # It would bring the endpoint back at once.
    initiator.check_output(f"systemctl stop nvmeof-mptcp-network && ip mptcp endpoint delete id {number}")
    result = playbook("playbooks/verify.yml")
    assert result.returncode != 0
    assert "rail2" in result.stdout
    assert "endpoint" in result.stdout


@pytest.mark.parametrize("machine", ["initiator", "target"])
def test_dead_rail_is_named(machine: str, initiator: Host, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(machine)
    host.check_output("ip link set rail1 down")
    try:
        result = playbook("playbooks/verify.yml")
    finally:
        host.check_output("ip link set rail1 up")
    # Nothing has to be mended: the rail's subflows come back with the link.
    until(lambda: namespace_is_served(initiator), 90)
    assert result.returncode != 0
    assert "rail1" in result.stdout
    assert "down" in result.stdout or "carrier" in result.stdout


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize(("machine", "name"), one_or_all(("target", "target1"), ("initiator", "host1")))
def test_missing_modules_are_named(machine: str, name: str, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(machine)
    package = host.check_output("dpkg-query -W -f '${Package}\\n' 'nvme-mptcp-modules-*'")
    host.check_output(f"dpkg --remove {package}")
    reboot(host)
    result = playbook("playbooks/verify.yml")
    assert result.returncode != 0
    assert name in result.stdout
    assert "does not offer" in result.stdout
