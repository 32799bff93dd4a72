# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A discovery controller that means no good, to which a target refers: what it gets, and what others notice."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Callable, Iterator

import pytest
from conftest import PREFIX, UNIT, VOLUMES, everything_is_there, journal, load, mark, until
from hostile import PORT, Hostile, referred
from machines import LONG
from testinfra.host import Host

#: Next to the target on its first rail, and in no network that the inventory knows.
FOREIGN, NEIGHBOUR = "10.77.0.1", "10.77.0.2"
REFUSED = "host: not connected, of what discovery logs name: "
#: Connections that logs may name here; two are there.
LIMIT = 14


@pytest.fixture
def target(targets: dict[str, Host]) -> Host:
    return targets["target1"]


@pytest.fixture
def refers(target: Host, initiator: Host) -> Iterator[Callable[..., Hostile]]:
    """Starts the program and has target1 refer to it."""
    until(lambda: everything_is_there(initiator), 60)
    with contextlib.ExitStack() as ends:
        yield lambda mode, *more: ends.enter_context(referred(target, mode, *more))
    until(lambda: len(initiator.check_output("ls /sys/class/nvme").split()) == 4, 30)


def refused(initiator: Host, since: str) -> list[str]:
    return [line for line in journal(initiator, since).splitlines() if line.startswith(REFUSED)]


def followed(hostile: Hostile, initiator: Host, since: str) -> str:
    """The one line about what was refused, once the log was read and nothing comes after that."""
    until(lambda: len(refused(initiator, since)) > 0, 60)
    time.sleep(4)
    (line,) = refused(initiator, since)
    assert everything_is_there(initiator)
    assert hostile.counts()["authentications"] == 0
    return line


def test_no_place_outside_of_the_fabric_hears_of_the_host(
    target: Host, initiator: Host, refers: Callable[..., Hostile]
) -> None:
    with contextlib.ExitStack() as ends:
        for machine, address in ((target, FOREIGN), (initiator, NEIGHBOUR)):
            machine.check_output(f"ip address add {address}/24 dev rail0")
            ends.callback(machine.run, f"ip address del {address}/24 dev rail0")
        listener = Hostile(target, "silent", FOREIGN)
        ends.callback(target.run, f"systemctl stop {listener.unit}")
        with load(initiator, VOLUMES["target1"]):
            since = mark(initiator)
            hostile = refers("foreign", f"--foreign {FOREIGN} --nqn {VOLUMES['target1']}")
            line = followed(hostile, initiator, since)
        assert "1 because its address is loopback, outside discovery_networks, such as mptcp 127.0.0.1:22" in line
        assert "1 because its address is link-local, outside discovery_networks" in line
        assert f"2 because its address is outside discovery_networks, such as mptcp {FOREIGN}:{PORT}" in line
        assert listener.counts()["accepted"] == 0
        # It could have been reached.
        initiator.check_output(f"python3 -c 'import socket; socket.create_connection((\"{FOREIGN}\", {PORT}), 9)'")
        until(lambda: listener.counts()["accepted"] == 1, 10)


def test_a_name_that_is_none_is_one_line_and_forges_none(initiator: Host, refers: Callable[..., Hostile]) -> None:
    with load(initiator, VOLUMES["target1"]):
        since = mark(initiator)
        hostile = refers("control")
        line = followed(hostile, initiator, since)
    assert "3 because its NQN is none: it must be nqn.<year>-<month>." in line
    assert f"{PREFIX}:hostile\\nhost: 3 connection(s) as described" in line
    said = journal(initiator, since).splitlines()
    assert "host: 3 connection(s) as described" not in said
    assert all(one.isprintable() for one in said)
    assert set(hostile.counts()["connects"]) == {"nqn.2014-08.org.nvmexpress.discovery"}


@pytest.fixture
def limited(initiator: Host) -> Iterator[None]:
    """Fewer connections than the default, so that this takes seconds; written where a playbook writes it."""

    def write(limits: dict[str, int]) -> None:
        change = 'd = json.load(open(p)); d.update(discovery_limits=json.loads(given)); json.dump(d, open(p, "w"))'
        edit = f"python3 -c 'import json, sys; p, given = sys.argv[1:]; {change}' /etc/nvmeof-mptcp/host.json"
        initiator.check_output(f"systemctl stop {UNIT} && {edit} '{json.dumps(limits)}' && systemctl start {UNIT}")

    write({"connections": LIMIT})
    yield
    write({})


def asked(hostile: Hostile) -> list[str]:
    """The subsystems that the host asked the program for."""
    return [nqn for nqn in hostile.counts()["connects"] if "hostile" in nqn]


@pytest.mark.usefixtures("limited")
def test_a_flood_is_as_many_connects_as_are_allowed(initiator: Host, refers: Callable[..., Hostile]) -> None:
    with load(initiator, VOLUMES["target1"]):
        since = mark(initiator)
        hostile = refers("flood", "--count 100")
        until(lambda: len(asked(hostile)) >= LIMIT - 2, 180)
        until(lambda: len(refused(initiator, since)) > 0, 60)
        lines = refused(initiator, since)
        assert everything_is_there(initiator)
    words = f"{100 - LIMIT + 2} because the limit of {LIMIT} connections is reached (discovery_limits)"
    # On a busy machine the seconds of a pass can be over as well, which is another line.
    assert {line.partition(";")[0] for line in lines} == {f"{REFUSED}{words}"}
    assert len(lines) == len(set(lines))
    # A pass over all of them asks for so many, and the next one for others.
    assert len(asked(hostile)) < 2 * LIMIT


@LONG
def test_a_log_that_never_holds_still_holds_up_nothing(initiator: Host, refers: Callable[..., Hostile]) -> None:
    with load(initiator, VOLUMES["target1"]):
        since = mark(initiator)
        hostile = refers("churn")
        words = "the discovery log changed during each of 8 readings"
        until(lambda: words in journal(initiator, since), 60)
        before = hostile.counts()["readings"]
        time.sleep(10)
        assert everything_is_there(initiator)
        read = hostile.counts()["readings"] - before
    print(f"the header of the log was read {read} times in 10 s")
    # Twice for each of eight tries, and at most one round a second.
    assert read <= 11 * 2 * 8
    assert sum(words in line for line in journal(initiator, since).splitlines()) == 1
