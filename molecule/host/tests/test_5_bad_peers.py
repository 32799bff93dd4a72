# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log that never holds still and a peer that accepts and says nothing: rails heal as ever, and playbooks end."""

from __future__ import annotations

import re
import time

from conftest import VOLUMES, everything_is_there, load, playbook, until
from hostile import ADDRESS, referred
from testinfra.host import Host

SILENT = 4498
#: Seconds from a reset to the new subflow: the watcher's burst, a second of grace, the endpoint and the handshake.
HEALED = 15.0


def subflows(initiator: Host) -> list[str]:
    """The host's ends of the subflows to nvmet."""
    shown = initiator.check_output("ss -Htn state established dport = :4420").splitlines()
    # ss shows an interface that it does not take: 10.10.0.101%rail0:34139
    return sorted(re.sub("%[^:]+", "", line.split()[2]) for line in shown)


def test_a_subflow_heals_and_site_ends_beside_bad_peers(targets: dict[str, Host], initiator: Host) -> None:
    until(lambda: everything_is_there(initiator), 60)
    before = len(subflows(initiator))
    target, volume = targets["target1"], VOLUMES["target1"]
    with load(initiator, volume), referred(target, "churn") as churn, referred(target, "silent", port=SILENT) as silent:
        until(lambda: churn.counts()["readings"] > 0, 60)
        until(lambda: silent.counts()["accepted"] > 0, 60)
        lost = next(one for one in subflows(initiator) if one.startswith("10.10.0."))
        initiator.check_output(f"ss -K src {lost}")
        began = time.monotonic()
        until(lambda: len(subflows(initiator)) < before, 5)
        until(lambda: len(subflows(initiator)) >= before, 60)
        healed = time.monotonic() - began
        began = time.monotonic()
        site = playbook("site", nvme_host_timeout=2)
        took = time.monotonic() - began
        assert everything_is_there(initiator)
    print(f"healed after {healed:.1f} s; site.yml took {took:.0f} s")
    assert healed < HEALED
    assert site.returncode == 0
    said = " ".join(re.sub(r"\\\\n", " ", site.stdout + site.stderr).split())
    assert f"{ADDRESS}:{SILENT}" in said
    assert "A discovery log names it: the service goes on trying" in said
    until(lambda: len(initiator.check_output("ls /sys/class/nvme").split()) == 4, 60)
