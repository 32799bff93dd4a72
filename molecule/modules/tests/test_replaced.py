# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules come and go, on a machine where something uses them."""

from __future__ import annotations

import re

from conftest import MODULES, NVMET, role, words
from machines import boot_id
from testinfra.host import Host


def test_modules_in_use_are_not_replaced_and_removal_brings_back_the_kernels_own(machine: Host) -> None:
    release = machine.check_output("uname -r")
    machine.check_output(f"dpkg --remove nvme-mptcp-modules-{release}")
    for name in MODULES:
        assert f"/lib/modules/{release}/kernel/" in machine.check_output(f"modinfo -F filename {name}")
    machine.check_output("rmmod nvmet-tcp nvmet nvme-tcp nvme-fabrics && modprobe nvmet")
    none = role("--extra-vars=nvme_kernel_method=none")
    assert none.returncode != 0
    assert "nvme_kernel_method 'none' allows nothing to bring it" in words(none.stdout)
    machine.check_output(f"mkdir {NVMET}/subsystems/nqn.in.use")
    refused = role()
    assert refused.returncode != 0
    assert "in use by subsystem nqn.in.use" in words(refused.stdout)
    assert "changed=0" in refused.stdout
    # Its owner takes it away while the run waits.
    before = boot_id(machine)
    machine.check_output(f"systemd-run --on-active=40 rmdir {NVMET}/subsystems/nqn.in.use")
    done = role("--extra-vars=nvme_kernel_drain_timeout=300")
    assert done.returncode == 0
    assert "in use by subsystem nqn.in.use. The run waits 300 s" in words(done.stdout)
    assert "changed=0" not in done.stdout
    assert "/updates/" in machine.check_output("modinfo -F filename nvmet-tcp")
    assert boot_id(machine) == before


def test_no_method_is_needed_where_the_transport_is_there(machine: Host) -> None:
    assert role("--extra-vars=nvme_kernel_method=none").returncode == 0


def test_modules_that_were_removed_from_the_disk_come_back_beside_those_in_use(machine: Host) -> None:
    machine.check_output("dpkg --remove nvme-mptcp-modules-$(uname -r)")
    machine.check_output(f"mkdir {NVMET}/subsystems/nqn.in.use")
    before = boot_id(machine)
    done = role("--extra-vars={nvme_kernel_reboot: true, nvme_kernel_proof_roles: []}")
    machine.check_output(f"rmdir {NVMET}/subsystems/nqn.in.use")
    assert done.returncode == 0
    assert boot_id(machine) == before
    assert "/updates/" in machine.check_output("modinfo -F filename nvmet-tcp")
    again = role()
    assert again.returncode == 0
    assert "changed=0" in again.stdout


def test_the_kernel_has_nothing_to_complain_about(machine: Host) -> None:
    # After all tests of this boot: the log holds what they did.
    assert machine.check_output("dmesg --level=emerg,alert,crit") == ""
    assert not re.search(r"WARNING:|BUG:|Call Trace|refcount_t", machine.check_output("dmesg"))


def test_modules_in_use_are_replaced_by_a_reboot_where_that_is_allowed(machine: Host) -> None:
    machine.check_output("dpkg --remove nvme-mptcp-modules-$(uname -r)")
    machine.check_output("rmmod nvmet-tcp nvmet nvme-tcp nvme-fabrics && modprobe nvmet")
    machine.check_output(f"mkdir {NVMET}/subsystems/nqn.in.use")
    before = boot_id(machine)
    done = role("--extra-vars={nvme_kernel_reboot: true, nvme_kernel_proof_roles: []}")
    assert done.returncode == 0
    assert "and a reboot, for the loaded modules are in use by subsystem nqn.in.use" in words(done.stdout)
    assert boot_id(machine) != before
    again = role()
    assert again.returncode == 0
    assert "changed=0" in again.stdout
