# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silent peers, which accept and then say nothing, on a made-up clock: what they cost, and whom they hold up."""

from __future__ import annotations

import contextlib
import errno
from typing import Sequence

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import SHARE, SILENT, Patience

GOOD, DEAD, MUTE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
TAKES = {GOOD: 0.05, DEAD: 3.0, MUTE: 10.0}


class Kernel:
    """Makes one connect at a time; a good peer is connected at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.spent = dict.fromkeys(TAKES, 0.0)
        self.asked: list[tuple[str, str]] = []
        self.answers: set[str] = {GOOD}
        self.patience = Patience(lambda: self.now)

    def ask(self, options: str) -> str:
        address, service = (word.partition("=")[2] for word in options.split(","))
        self.asked.append((address, service))
        takes = TAKES[GOOD if address in self.answers else address]
        self.now += takes
        self.spent[address] += takes
        if address not in self.answers:
            raise connect.ConnectFailed(errno.ETIMEDOUT, "no.", False)
        return "nvme0"

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def connector(self, timeout: float = 0.0, comes_again: bool = True) -> connect.Connector:
        return connect.Connector(
            timeout, 1.0, self.ask, lambda: self.now, self.sleep, patience=self.patience, comes_again=comes_again
        )

    def rounds(self, peers: Sequence[tuple[str, str]], seconds: float, pause: float = 1.0) -> set[tuple[str, str]]:
        """Rounds of a service for so long; what was made is not asked for again. Returns what was made."""
        made: set[tuple[str, str]] = set()
        while self.now < seconds:
            missing = [one for one in peers if one not in made]
            connector = self.connector()
            made |= {tuple(one.about.split()) for one in connector.run([operation(*one) for one in missing])}
            if not connector.unasked:
                self.patience.failures.clear()
                self.now += pause
        return made


def operation(address: str, service: str = "4420") -> Operation:
    value = f"traddr={address},trsvcid={service}"
    return Operation("write", "/dev/nvme-fabrics", value, about=f"{address} {service}")


def test_a_silent_peer_takes_a_tenth_of_the_time_at_most_and_a_dead_one_is_asked_as_ever() -> None:
    kernel = Kernel()
    peers = [(MUTE, "4420"), (DEAD, "4420"), (GOOD, "4420")]
    assert kernel.rounds(peers, 3600.0) == {(GOOD, "4420")}
    assert 0 < kernel.spent[MUTE] <= 3600.0 / SHARE
    assert kernel.spent[DEAD] > 1000.0


def test_any_number_of_ports_of_a_silent_address_takes_a_tenth_together() -> None:
    kernel = Kernel()
    ports = [(MUTE, str(port)) for port in range(4420, 4676)]
    assert kernel.rounds([*ports, (GOOD, "4420")], 7200.0, pause=10.0) == {(GOOD, "4420")}
    assert kernel.spent[MUTE] <= 7200.0 / SHARE
    # Each has its turn: none is asked twice before all were asked once.
    asked = [one for one in kernel.asked if one[0] == MUTE]
    assert len(set(asked)) == len(asked) > 60


def test_who_has_learnt_to_answer_is_connected_when_its_time_has_come() -> None:
    kernel = Kernel()
    peers = [(MUTE, "4420"), (MUTE, "4421")]
    kernel.rounds(peers, 300.0)
    kernel.answers.add(MUTE)
    assert kernel.rounds(peers, 300.0 + SHARE * TAKES[MUTE]) == set(peers)


def test_a_silent_peer_is_asked_last_and_what_comes_up_meanwhile_first() -> None:
    kernel = Kernel()
    everything = [operation(MUTE), operation(GOOD), operation(DEAD)]
    first = kernel.connector()
    assert list(first.run(everything)) == []
    # The first one took its time: before the others are asked, it is looked whether more has happened.
    assert ([one.name for one in first.failures], first.unasked) == ([f"{MUTE} 4420"], [f"{GOOD} 4420", f"{DEAD} 4420"])
    second = kernel.connector()
    assert [one.about for one in second.run(everything)] == [f"{GOOD} 4420"]
    assert second.unasked == []
    assert sorted(one.name for one in second.failures) == [f"{DEAD} 4420", f"{MUTE} 4420"]
    assert [address for address, _service in kernel.asked] == [MUTE, GOOD, DEAD]
    kernel.patience.failures.clear()
    kernel.now += 1000
    list(kernel.connector().run([operation(MUTE), operation(GOOD)]))
    assert [address for address, _service in kernel.asked[3:]] == [GOOD, MUTE]


@pytest.mark.parametrize("takes", [SILENT - 0.1, SILENT])
def test_a_playbook_asks_a_silent_peer_once_and_says_so(takes: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TAKES, MUTE, takes)
    kernel = Kernel()
    connector = kernel.connector(20.0, comes_again=False)
    assert [one.about for one in connector.run([operation(MUTE), operation(GOOD)])] == [f"{GOOD} 4420"]
    (failure,) = connector.failures
    assert len(kernel.asked) == failure.attempts + 1
    assert (failure.attempts == 1) == (takes >= SILENT)
    assert ("tried once" in failure.text()) == (takes >= SILENT)


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    for number in range(3000):
        with contextlib.suppress(OSError), kernel.patience.measured((f"2001:db8::{number:x}", "4420")):
            kernel.now += 60.0
            raise OSError(errno.ETIMEDOUT, "no")
    assert kernel.patience.rank(("2001:db8::0", "4420")) == 0
    assert kernel.patience.rank((f"2001:db8::{2999:x}", "4420")) == 3001
    assert len(kernel.patience._silent) == len(kernel.patience._addresses) == 1024
