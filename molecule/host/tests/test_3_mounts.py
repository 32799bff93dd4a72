# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file system of /etc/fstab: mounted at boot, unmounted before the disconnect, and no shutdown that hangs."""

from __future__ import annotations

import re
from typing import Iterator

import pytest
from conftest import UNIT, VOLUMES, device, everything_is_there, unreachable, until
from machines import LAB_DIR, LONG, boot_id
from testinfra.host import Host

POINT = "/data"
DEVICE = device(VOLUMES["target1"])
LIMIT = 30.0


@pytest.fixture(scope="module", autouse=True)
def fstab(initiator: Host) -> Iterator[None]:
    until(lambda: everything_is_there(initiator), 90)
    # Without a check at boot, which would replay the journal in the kernel's place.
    initiator.check_output(
        f"mkfs.ext4 -q -F {DEVICE} && mkdir -p {POINT} && echo '{DEVICE} {POINT} ext4 _netdev 0 0' >> /etc/fstab && "
        f"systemctl daemon-reload && mount {POINT}"
    )
    yield
    initiator.check_output(f"umount {POINT}; sed -i '\\#{POINT}#d' /etc/fstab && systemctl daemon-reload")


def down_and_up(initiator: Host) -> float:
    """Reboot, and give the seconds from the order to the kernel's last word, without what the board does then."""
    before = boot_id(initiator)
    ordered = float(
        initiator.check_output(
            "read -r up _ < /proc/uptime; echo $up; "
            "systemd-run -q --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot"
        )
    )
    until(lambda: boot_id(initiator) not in ("", before), 300)
    console = (LAB_DIR / "host1/console.log").read_text(errors="replace")
    # The timer waits a second.
    return float(re.findall(r"\[ *([0-9.]+)\] reboot: Restarting system", console)[-1]) - (ordered + 1)


def is_mounted(initiator: Host) -> bool:
    """the file system is mounted"""
    return initiator.run(f"mountpoint -q {POINT}").rc == 0


def is_away(initiator: Host) -> bool:
    """the host has noticed that the path to the file system is away"""
    away = f"grep -qx {VOLUMES['target1']} $one/subsysnqn && grep -qx connecting $one/state && exit 0"
    return initiator.run(f"for one in /sys/class/nvme/nvme*; do {away}; done; exit 1").rc == 0


def last_boot(initiator: Host, unit: str) -> str:
    return initiator.check_output(f"journalctl --quiet --boot -1 --output cat --unit {unit}")


def test_it_is_mounted_at_boot_and_unmounted_before_the_disconnect(initiator: Host) -> None:
    initiator.check_output(f"dd if=/dev/urandom of={POINT}/file bs=1M count=8 && sha256sum {POINT}/file > /root/sum")
    taken = down_and_up(initiator)
    print(f"the shutdown took {taken:.1f} s")
    assert taken < LIMIT
    until(lambda: is_mounted(initiator), 60)
    # The page cache was lost with the reboot, so this reads what was written back.
    initiator.check_output("sha256sum --check /root/sum")
    told = last_boot(initiator, UNIT) + last_boot(initiator, f"{UNIT}-release")
    assert "unclean" not in told
    assert "controller(s) disconnected" in told
    assert initiator.run("dmesg | grep -i 'EXT4-fs.*recovery'").stdout == "", (
        "it was unmounted, so nothing was replayed"
    )


@LONG
def test_a_dead_target_holds_up_no_shutdown_and_what_was_lost_is_named(
    targets: dict[str, Host], initiator: Host
) -> None:
    until(lambda: everything_is_there(initiator) and is_mounted(initiator), 60)
    write = f"dd if=/dev/zero of={POINT}/lost bs=1M count=8 conv=fsync"
    initiator.check_output(f"systemd-run -q --unit writer sh -c 'while {write}; do :; done'")
    with unreachable(targets["target1"]):
        # It comes back by itself, for the next boot waits for the mount.
        targets["target1"].check_output(
            "systemd-run -q --on-active=90 --timer-property=AccuracySec=1s nft delete table inet cut"
        )
        until(lambda: is_away(initiator), 30)
        taken = down_and_up(initiator)
        print(f"the shutdown took {taken:.1f} s")
        assert taken < LIMIT
    told = last_boot(initiator, f"{UNIT}-release") + last_boot(initiator, UNIT)
    assert f"mounted on {POINT}" in told
    assert "unclean" in told
    until(lambda: everything_is_there(initiator), 120)
    initiator.check_output(f"mountpoint -q {POINT} || mount {POINT}")
    initiator.check_output("sha256sum --check /root/sum")


@LONG
def test_a_target_that_dies_during_the_shutdown_does_not_hold_it_up(targets: dict[str, Host], initiator: Host) -> None:
    """The path is alive when the shutdown begins, and gone when the file system is to be unmounted."""
    until(lambda: everything_is_there(initiator) and is_mounted(initiator), 60)
    initiator.check_output(f"dd if=/dev/zero of={POINT}/lost bs=1M count=8 status=none")
    with unreachable(targets["target1"]):
        targets["target1"].check_output(
            "systemd-run -q --on-active=90 --timer-property=AccuracySec=1s nft delete table inet cut"
        )
        taken = down_and_up(initiator)
        print(f"the shutdown took {taken:.1f} s")
        assert taken < LIMIT
    until(lambda: everything_is_there(initiator), 120)
    initiator.check_output(f"mountpoint -q {POINT} || mount {POINT}")
