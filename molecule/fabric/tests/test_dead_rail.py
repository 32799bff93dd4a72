# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting works with any one rail dead, the first one included; the next connection uses the rail again."""

from __future__ import annotations

import pytest
from fabric import DEVICE, RAILS, every, namespace_is_served, queues, subflows
from machines import until
from testinfra.host import Host

RESET = "for one in /sys/class/nvme/nvme*; do echo 1 > $one/reset_controller || failed=1; done; [ ! $failed ]"


@pytest.mark.parametrize("number", range(len(RAILS)))
@pytest.mark.parametrize("machine", ["initiator", "target"])
def test_a_host_connects_with_a_rail_dead(machine: str, number: int, initiator: Host, request) -> None:
    """Cut at the host its carrier is lost; cut at the target the host sees a link that is up and silent."""
    cut: Host = request.getfixturevalue(machine)
    others = sorted(f"10.10.{rail}.101" for rail in range(len(RAILS)) if rail != number)

    def is_back() -> bool:
        """every controller is live again, each connection with a subflow on every other rail"""
        if every(initiator, "state") != {"live"}:
            return False
        connections = subflows(initiator)
        return len(connections) == queues(initiator) and all(sorted(of) == others for of in connections.values())

    cut.check_output(f"ip link set rail{number} down")
    try:
        # Every connection is made anew; the write gives what came of the first try, which may take the dead rail.
        initiator.run(RESET)
        taken = until(is_back, 60)
        print(f"rail{number} cut at the {machine}: connected anew, with all other rails, {taken:.1f} s after the reset")
        initiator.check_output(f"dd if={DEVICE} of=/dev/null bs=1M count=8 iflag=direct")
    finally:
        cut.check_output(f"ip link set rail{number} up")
    until(lambda: initiator.run(f"timeout 1 bash -c '< /dev/tcp/10.10.{number}.1/22'").rc == 0, 30)
    initiator.check_output(RESET)
    until(lambda: namespace_is_served(initiator), 60)
