# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can happen to a fabric under load, in kernels that check themselves: they have nothing to complain about."""

from __future__ import annotations

import time

import pytest
from conftest import COMPLAINT, NVMET, wait_until_served
from fabric import NQN, PORT
from machines import until
from testinfra.host import Host

CONTROLLER = f"$(dirname $(grep -lx {NQN} /sys/class/nvme/nvme*/subsysnqn))"


def test_the_kernels_check_themselves(machine: Host) -> None:
    configuration = machine.check_output("cat /boot/config-$(uname -r)").splitlines()
    for name in ("KASAN_GENERIC", "PROVE_LOCKING", "DEBUG_KMEMLEAK", "DEBUG_ATOMIC_SLEEP", "DEBUG_LIST", "UBSAN"):
        assert f"CONFIG_{name}=y" in configuration
    assert machine.file("/sys/kernel/debug/kmemleak").exists


def test_reset(load: Host) -> None:
    for _ in range(5):
        load.check_output(f"echo 1 > {CONTROLLER}/reset_controller")
    wait_until_served(load)


def test_discovery_beside_it(load: Host) -> None:
    for _ in range(5):
        assert NQN in load.check_output(f"nvme discover --transport mptcp --traddr 10.10.255.1 --trsvcid {PORT}")
    wait_until_served(load)


@pytest.mark.parametrize("rails", [("rail1",), ("rail0", "rail1", "rail2", "rail3")], ids=["one", "all"])
def test_link_loss(load: Host, target: Host, rails: tuple[str, ...]) -> None:
    for rail in rails:
        target.check_output(f"ip link set {rail} down")
    time.sleep(15)
    for rail in rails:
        target.check_output(f"ip link set {rail} up")
    wait_until_served(load)


def test_port_removal(load: Host, target: Host) -> None:
    link = target.check_output(f"ls -d {NVMET}/ports/*/subsystems/{NQN}")
    subsystem = target.check_output(f"readlink -f {link}")
    target.check_output(f"rm {link}")
    time.sleep(5)
    target.check_output(f"ln -s {subsystem} {link}")
    wait_until_served(load)


def test_disconnect(load: Host) -> None:
    for _ in range(3):
        load.check_output(f"echo 1 > {CONTROLLER}/delete_controller")
        load.check_output("systemctl restart nvmeof-mptcp-host")
        wait_until_served(load)


def test_module_unload_on_the_target(load: Host, target: Host) -> None:
    # Removing its ports is what makes the module go, while the connections are still being torn down.
    target.check_output("systemctl stop nvmeof-mptcp-target")
    links = target.check_output(f"ls -d {NVMET}/ports/*/subsystems/* || true").split()
    for link in links:
        target.check_output(f"rm {link}")
    target.check_output("rmmod nvmet_tcp")
    target.check_output("modprobe nvmet-tcp")
    target.check_output("systemctl restart nvmeof-mptcp-target")
    wait_until_served(load)


def test_module_unload_on_the_host(load: Host) -> None:
    load.check_output("systemctl stop nvmeof-mptcp-host")
    load.check_output("for c in /sys/class/nvme/nvme*; do echo 1 > $c/delete_controller; done")

    def unloaded() -> bool:
        """the module can be unloaded"""
        return load.run("rmmod nvme_tcp").rc == 0

    # lockdep has each socket hold the module whose locks it uses, until the socket itself is freed.
    until(unloaded, 60)
    assert load.run("ls -d /sys/class/nvme/nvme*").rc != 0
    load.check_output("modprobe nvme-tcp")
    load.check_output("systemctl restart nvmeof-mptcp-host")
    wait_until_served(load)


def test_nothing_leaked(machine: Host) -> None:
    # Once is not enough: what has just been allocated is looked at in the second scan only.
    for _ in range(2):
        machine.check_output("echo scan > /sys/kernel/debug/kmemleak")
        time.sleep(6)
    leaks = machine.check_output("cat /sys/kernel/debug/kmemleak").split("unreferenced object")
    assert [leak for leak in leaks if "nvme" in leak or "mptcp" in leak] == []


def test_the_kernels_have_nothing_to_complain_about(machine: Host) -> None:
    # Runs last: the log holds all that the tests above did.
    assert machine.run(f"dmesg | grep -E '{COMPLAINT}'").stdout == ""
