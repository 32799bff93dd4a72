# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever goes down comes back by itself, and load on the other target never notices."""

from __future__ import annotations

import time

import pytest
from conftest import (
    ADDRESSES,
    UNIT,
    VOLUMES,
    Extra,
    appears,
    controllers,
    device,
    everything_is_there,
    load,
    unreachable,
    until,
)
from machines import LONG, boot_id, one_or_all, reboot
from testinfra.host import Host

OTHER = {"target1": "target2", "target2": "target1"}


@pytest.fixture(autouse=True)
def whole(initiator: Host) -> None:
    """Each test begins with everything there."""
    until(lambda: everything_is_there(initiator), 90)


def discovery_controllers(initiator: Host) -> list[str]:
    return [address for address, _nqn, kind in controllers(initiator) if kind == "discovery"]


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_a_discovery_controller_that_is_deleted_comes_back(name: str, initiator: Host) -> None:
    """One of them is the declared one, the other one a referral of its log."""
    initiator.check_output(
        "for one in /sys/class/nvme/nvme*; do grep -qx discovery $one/cntrltype && "
        f"grep -q traddr={ADDRESSES[name]}, $one/address && echo 1 > $one/delete_controller; done; :"
    )
    taken = until(lambda: sorted(discovery_controllers(initiator)) == sorted(ADDRESSES.values()), 15)
    print(f"the discovery controller at {name} was back after {taken:.1f} s")


def test_events_come_over_a_discovery_controller_that_was_made_again(extra: Extra, initiator: Host) -> None:
    appears(extra, initiator)


def test_killing_the_service_changes_nothing_for_long(extra: Extra, initiator: Host) -> None:
    with load(initiator, VOLUMES["target1"]):
        initiator.check_output(f"systemctl kill --signal KILL {UNIT}")
        # On an emulated machine that is busy, Python alone takes its time to start.
        taken = until(lambda: initiator.run(f"systemctl -q is-active {UNIT}").rc == 0, 60)
        print(f"the service was ready again after {taken:.1f} s")
    appears(extra, initiator)


@pytest.mark.parametrize("name", one_or_all(*sorted(ADDRESSES)))
def test_a_rebooted_target_is_back(name: str, targets: dict[str, Host], initiator: Host) -> None:
    with load(initiator, VOLUMES[OTHER[name]]):
        reboot(targets[name])
        taken = until(lambda: everything_is_there(initiator), 90)
        print(f"everything was back {taken:.1f} s after {name} answered ssh")
    initiator.check_output(f"dd if={device(VOLUMES[name])} of=/dev/null bs=1M count=8 iflag=direct")


@LONG
def test_a_rebooted_host_is_back(initiator: Host) -> None:
    reboot(initiator)
    taken = until(lambda: everything_is_there(initiator), 60)
    print(f"everything was back {taken:.1f} s after the host answered ssh")


@LONG
def test_all_machines_rebooted_at_once_are_back(targets: dict[str, Host], initiator: Host) -> None:
    reboot(*targets.values(), initiator)
    taken = until(lambda: everything_is_there(initiator), 120)
    print(f"everything was back {taken:.1f} s after the last machine answered ssh")


@pytest.mark.parametrize("name", one_or_all(*sorted(ADDRESSES)))
def test_an_outage_of_many_keep_alives_is_over_when_it_is_over(
    name: str, targets: dict[str, Host], initiator: Host
) -> None:
    """And what the target began to serve meanwhile, of which no event could tell, is there as well."""
    one = Extra(targets, name, 9)
    one.make(initiator)
    try:
        with load(initiator, VOLUMES[OTHER[name]]), unreachable(targets[name]) as end:
            time.sleep(30)
            one.serve()
            time.sleep(10)
            assert not one.is_there(initiator)
            end()
            taken = until(lambda: everything_is_there(initiator) and one.is_there(initiator), 60)
            print(f"everything was back {taken:.1f} s after {name} could be reached again")
    finally:
        one.destroy()
    initiator.check_output(f"dd if={device(VOLUMES[name])} of=/dev/null bs=1M count=8 iflag=direct")


@pytest.mark.parametrize("name", one_or_all(*sorted(ADDRESSES)))
def test_a_target_that_is_away_holds_up_no_boot(name: str, targets: dict[str, Host], initiator: Host) -> None:
    with unreachable(targets[name]) as end:
        reboot(initiator)
        other = VOLUMES[OTHER[name]]
        if name == "target2":
            # The declared address is up, so what it serves itself is there.
            until(lambda: initiator.run(f"test -b {device(other)}").rc == 0, 60)
        until(lambda: initiator.run(f"systemctl -q is-active {UNIT}").rc == 0, 60)
        usec = "systemctl show -P {}TimestampMonotonic " + UNIT
        began, ready = (int(initiator.check_output(usec.format(when))) for when in ("InactiveExit", "ActiveEnter"))
        print(f"the unit held what comes after it for {(ready - began) / 1e6:.1f} s")
        assert ready - began < 30e6
        end()
        taken = until(lambda: everything_is_there(initiator), 60)
        print(f"everything was back {taken:.1f} s after {name} could be reached again")


def test_nothing_was_left_behind(initiator: Host) -> None:
    """After all of it: one controller for each subsystem and address, no failed unit, no error of a block device."""
    found = controllers(initiator)
    assert len(found) == len(set(found)) == 2 * len(VOLUMES)
    assert initiator.check_output("systemctl list-units --failed --plain --no-legend 'nvmeof-mptcp*'") == ""
    assert boot_id(initiator)
    assert initiator.run("dmesg | grep -i 'I/O error'").stdout == ""
