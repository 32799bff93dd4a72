# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One discovery address: everything of both targets appears, and follows every change with Ansible absent."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Iterator

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
    journal,
    mark,
    until,
)
from testinfra.host import Host


def test_the_host_knows_one_discovery_address_and_nothing_else(initiator: Host) -> None:
    saved = json.loads(initiator.check_output("cat /etc/nvmeof-mptcp/host.json"))
    assert saved["connections"] == []
    assert [one["traddr"] for one in saved["discovery"]] == [ADDRESSES["target1"]]
    assert saved["discovery_interval"] == 0


def test_everything_of_both_targets_is_there(initiator: Host) -> None:
    until(lambda: everything_is_there(initiator), 30)
    found = Counter((address, nqn) for address, nqn, kind in controllers(initiator) if kind == "io")
    assert found == {(ADDRESSES[name], nqn): 1 for name, nqn in VOLUMES.items()}
    for nqn in VOLUMES.values():
        initiator.check_output(f"dd if={device(nqn)} of=/dev/null bs=1M count=8 iflag=direct")


def test_a_subsystem_comes_goes_and_comes_back_by_itself(extra: Extra, initiator: Host) -> None:
    for _ in range(2):
        since = mark(initiator)
        appears(extra, initiator)
        for words in ("says that its discovery log has changed", extra.nqn):
            until(lambda since=since, words=words: words in journal(initiator, since), 10)
        since = mark(initiator)
        extra.stop()
        # The target takes its controllers away with it; the kernel gives up one that is refused for good.
        until(lambda: not extra.is_there(initiator), 30)
        until(lambda since=since: "was removed" in journal(initiator, since), 10)


@pytest.fixture
def policy(initiator: Host) -> Iterator[None]:
    """The policy disconnect, written where a playbook writes it; afterwards the scenario's own again."""

    def write(name: str) -> None:
        change = f's/"gone": "[a-z]*"/"gone": "{name}"/'
        # Between the rounds of the service, which saves what it has converged to.
        edit = f"sed -i '{change}' /etc/nvmeof-mptcp/host.json"
        initiator.check_output(f"systemctl stop {UNIT} && {edit} && systemctl start {UNIT}")

    write("disconnect")
    yield
    write("keep")


def is_connected(initiator: Host, extra: Extra) -> bool:
    return extra.nqn in {nqn for _address, nqn, _kind in controllers(initiator)}


def test_what_a_log_names_no_more_is_reported_and_kept(extra: Extra, initiator: Host) -> None:
    appears(extra, initiator)
    since = mark(initiator)
    extra.forbid()
    until(lambda: f"{extra.nqn} is in no discovery log any more: kept" in journal(initiator, since), 15)
    assert is_connected(initiator, extra)


@pytest.mark.usefixtures("policy")
def test_by_policy_it_is_disconnected_once_nothing_uses_it(extra: Extra, initiator: Host) -> None:
    appears(extra, initiator)
    initiator.check_output(f"systemd-run -q --unit user sh -c 'exec sleep 3600 < {extra.device}'")
    opened = "readlink /proc/$(systemctl show -P MainPID user)/fd/0"
    until(lambda: initiator.run(opened).stdout.startswith("/dev/nvme"), 10)
    since = mark(initiator)
    extra.forbid()
    try:
        until(lambda: "kept as long as it is used" in journal(initiator, since), 15)
        assert is_connected(initiator, extra)
    finally:
        initiator.check_output("systemctl stop user")
    until(lambda: not is_connected(initiator, extra), 30)
    assert "disconnected" in journal(initiator, since)


def test_many_changes_at_once_are_all_followed(targets: dict[str, Host], initiator: Host) -> None:
    extras = [Extra(targets, name, number) for number, name in enumerate(["target1", "target2"] * 3, start=2)]
    for one in extras:
        one.make(initiator)
    try:
        for one in extras:
            one.serve()
        started = time.monotonic()
        until(lambda: all(one.is_there(initiator) for one in extras), 30)
        print(f"{len(extras)} subsystems were there {time.monotonic() - started:.1f} s after the last was served")
    finally:
        for one in extras:
            one.destroy()
    until(lambda: not any(one.is_there(initiator) for one in extras), 30)
