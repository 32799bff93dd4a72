# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network's unit does at boot and after changes of NICs, without a kernel."""

from __future__ import annotations

import socket
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import systemd as _systemd
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, watch
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import converge as _mptcp_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.events import Seen

DESCRIPTION: dict[str, Any] = {
    "rails": [{"name": "rail0", "cidr": "10.10.0.0/24", "interface": "eth0", "address": "10.10.0.5"}],
    "limits": {"subflows": 2, "add_addr_accepted": 0},
    **{option: [] for option in ("endpoints", "addresses", "routes", "rules")},
    **{option: {} for option in ("sysctls", "interface_sysctls")},
}
UP = {"ifname": "eth0", "ifindex": 2, "flags": ["UP"], "addr_info": [{"local": "10.10.0.5", "prefixlen": 24}]}


def result(*plan: str, missing: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"plan": list(plan), "missing": list(missing)}


class Unit:
    """Answers of converging, one for each burst of events, and what was done with them."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.happened: list[str] = []
        self.looks = 0
        self.trouble: list[Exception] = []

    wake: float | None = None
    silent = frozenset({("10.10.255.1", "rail1")})

    def converge(self, wanted: Any, silent: Any = ()) -> Any:
        assert wanted is None, "what was saved, read under the lock"
        assert silent == (self.silent if "ready" in self.happened else ()), "what is left out stays left out"
        self.happened.append("converge")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self, longest: None) -> Seen:
        self.happened.append("wait")
        return Seen(network=True)

    def give_up(self, description: Any) -> list[str]:
        self.happened.append("give up")
        return []

    def look(self, description: Any, seen: Seen) -> list[str]:
        self.happened.append("look")
        if self.trouble:
            raise self.trouble.pop()
        return []


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Unit:
    made = Unit([])

    def look(*_arguments: str) -> Any:
        made.looks += 1
        return [UP] if made.looks >= 3 else []

    monkeypatch.setattr(watch, "Events", lambda: made)
    monkeypatch.setattr(watch, "Guard", lambda: made)
    monkeypatch.setattr(state, "load", lambda name: DESCRIPTION)
    monkeypatch.setattr(watch, "ready", lambda: made.happened.append("ready"))
    monkeypatch.setattr(actual, "ip_json", look)
    monkeypatch.setattr(_mptcp_converge, "converge", made.converge)
    return made


def test_boot_waits_for_the_nics_then_converges_then_says_ready(unit: Unit) -> None:
    unit.answers = [result("ip route add x"), result("ip route add y")]
    assert list(islice(watch.boot(DESCRIPTION), 2)) == ["ip route add x", "ip route add y"]
    assert unit.looks == 3
    assert unit.happened == ["converge", "look", "ready", "wait", "give up", "converge"]


def test_boot_does_not_wait_for_ever(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "BOOT_WAIT", 0.0)
    unit.answers = [result(missing=("rail0: gone",))]
    assert next(watch.boot(DESCRIPTION)) == "not usable: rail0: gone"


def test_journal_gets_a_line_only_when_something_changed(unit: Unit) -> None:
    gone = ("rail0: gone",)
    unit.answers = [result(), result(), result(missing=gone), result(missing=gone), result(), result("ip route add x")]
    lines = list(islice(watch.boot(DESCRIPTION), 4))
    assert lines == ["as described", "not usable: rail0: gone", "every rail has its NIC again", "ip route add x"]
    assert unit.answers == []


def test_failure_at_boot_fails_the_unit_and_a_later_one_does_not(unit: Unit) -> None:
    unit.answers = [OSError(1, "no MPTCP")]
    with pytest.raises(OSError, match="no MPTCP"):
        next(watch.boot(DESCRIPTION))
    unit.answers = [result(), OSError(1, "odd"), result("ip route add x")]
    lines = list(islice(watch.boot(DESCRIPTION), 3))
    assert lines == ["as described", "after a change of the network: [Errno 1] odd", "ip route add x"]


def test_failure_of_a_look_is_told_and_does_not_end_the_unit(unit: Unit) -> None:
    unit.trouble = [OSError(1, "odd")]
    unit.answers = [result(), result("ip route add x")]
    lines = list(islice(watch.boot(DESCRIPTION), 3))
    assert lines == ["as described", "after a look at the connections: [Errno 1] odd", "ip route add x"]


def test_systemd_is_told_when_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    _systemd.ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        _systemd.ready()
        assert systemd.recv(100) == b"READY=1"


def test_refused_change_is_tried_again_without_an_event_and_told_once(unit: Unit) -> None:
    waited: list[Any] = []

    def wait(longest: Any) -> Seen:
        waited.append(longest)
        return Seen(network=len(waited) == 1)

    unit.wait = wait  # type: ignore[method-assign]
    unit.answers = [result(), OSError(1, "odd"), OSError(1, "odd"), result("ip route add x")]
    lines = list(islice(watch.boot(DESCRIPTION), 3))
    assert lines == ["as described", "after a change of the network: [Errno 1] odd", "ip route add x"]
    assert waited == [None, watch.RETRY, watch.RETRY]


def test_damaged_file_is_told_while_the_unit_runs_and_does_not_end_it(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = [DESCRIPTION, state.Damaged("mptcp.json: endpoints is missing", "mend it"), DESCRIPTION]

    def load(name: str) -> Any:
        found = kept.pop(0) if len(kept) > 1 else kept[0]
        if isinstance(found, state.Damaged):
            raise found
        return found

    monkeypatch.setattr(state, "load", load)
    unit.answers = [result(), result(), result("ip route add x")]
    unit.wake = 2.0
    lines = list(islice(watch.boot(DESCRIPTION), 3))
    assert lines[0] == "as described"
    assert lines[1].endswith(": mptcp.json: endpoints is missing; mend it")
    assert unit.wake == 60.0, "not a line every 2 s"
    assert lines[2] == "ip route add x"
