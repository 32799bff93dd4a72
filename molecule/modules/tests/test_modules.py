# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patched modules in the kernel: what they offer, and what they refuse."""

from __future__ import annotations

import hashlib
import re

import pytest
from conftest import MODULES, NVMET, PORTS, ROOT, connect, disconnect, transports, verify
from testinfra.host import Host

PATCH = ROOT / "roles/nvme_kernel/files/patches/nvme-mptcp.patch"
ADDRESS = "traddr=127.0.0.1"
MPTCP = f"transport=mptcp,{ADDRESS},trsvcid={PORTS['mptcp']}"
TCP = f"transport=tcp,{ADDRESS},trsvcid={PORTS['tcp']}"


@pytest.mark.parametrize("name", MODULES)
def test_modules_come_from_the_package_and_say_of_what_they_are_made(machine: Host, name: str) -> None:
    assert "/updates/nvme-mptcp/" in machine.check_output(f"modinfo -F filename {name}")
    made_of = machine.check_output(f"modinfo -F nvmeof_mptcp {name}")
    assert hashlib.sha256(PATCH.read_bytes()).hexdigest() in made_of
    assert re.match(r"linux-source-7\.\d+ 7\.\d+\.\d+-", made_of)


def test_a_namespace_over_both_transports_at_once(target: Host) -> None:
    assert connect(target, MPTCP) == (True, "")
    assert connect(target, TCP) == (True, "")
    assert transports(target) == ["mptcp", "tcp"]
    verify(target)


def test_a_second_controller_of_the_same_address_is_refused(target: Host) -> None:
    assert connect(target, MPTCP)[0]
    done, said = connect(target, MPTCP)
    assert not done
    assert "already in progress" in said


def test_a_kernel_event_names_the_transport(target: Host) -> None:
    target.check_output("udevadm control --log-level=info")
    assert connect(target, MPTCP)[0]
    assert "NVME_TRTYPE=mptcp" in target.check_output("cat /sys/class/nvme/nvme0/uevent")


@pytest.mark.parametrize("option", ["tls", "concat", "keyring", "tls_key"])
def test_security_that_mptcp_does_not_have_is_refused(target: Host, option: str) -> None:
    value = option
    if option in ("keyring", "tls_key"):
        # With a key that exists, or the key would be what is refused.
        serial = int(target.check_output("awk '/keyring *\\.nvme/ {print $1}' /proc/keys").split()[0], 16)
        value = f"{option}={serial}"
    done, said = connect(target, f"{MPTCP},{value}")
    assert not done
    assert "Invalid argument" in said


def test_a_peer_without_mptcp_is_refused_and_named(target: Host) -> None:
    done, said = connect(target, f"transport=tcp,{ADDRESS},trsvcid={PORTS['mptcp']}")
    assert not done
    assert "Connection reset" in said
    assert re.search(r"port 4420: refused 127\.0\.0\.1:\d+, plain TCP on an mptcp port", target.check_output("dmesg"))


def test_a_fallback_is_refused_and_named(target: Host) -> None:
    done, said = connect(target, f"transport=mptcp,{ADDRESS},trsvcid={PORTS['tcp']}")
    assert not done
    assert "Protocol not supported" in said
    assert "refused, 127.0.0.1:4421 fell back to plain TCP" in target.check_output("dmesg")


def test_reset_and_reconnect(target: Host) -> None:
    assert connect(target, MPTCP)[0]
    target.check_output("echo 1 > /sys/class/nvme/nvme0/reset_controller")
    assert target.check_output("cat /sys/class/nvme/nvme0/state") == "live"
    assert transports(target) == ["mptcp"]


def test_a_port_in_use_can_go(target: Host) -> None:
    assert connect(target, MPTCP)[0]
    port = f"{NVMET}/ports/{PORTS['mptcp']}"
    link = target.check_output(f"ls -d {port}/subsystems/*")
    subsystem = target.check_output(f"readlink -f {link}")
    target.check_output(f"rm {link}")
    target.check_output(f"ln -s {subsystem} {link}")
    disconnect(target)
    assert connect(target, MPTCP)[0]
