# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A damaged description of the network: one line with file, problem and remedy, and no network is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, converge, events, saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._node import main

from _mptcp.test_plan import description


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(state.load, "__defaults__", (str(tmp_path),))
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "locks"))
    monkeypatch.setattr(actual, "read", lambda: pytest.fail("the network was looked at"))
    monkeypatch.setattr(events.socket, "socket", lambda *_arguments: pytest.fail("events were asked for"))
    return tmp_path / "mptcp.json"


def changed(**options: Any) -> str:
    return json.dumps({**description(), **options})


DAMAGED = {
    "half": ('{"rails": [', "is not valid JSON"),
    "not text": ("\0", "is not valid JSON"),
    "empty": ("", "is not valid JSON"),
    "a list": ("[]", "does not hold what"),
    "nothing": ("{}", "rails is missing"),
    "no rails": (changed(rails=None), "rails is None and must be a list"),
    "a rail of text": (changed(rails=["rail0"]), "rails[0] is 'rail0' and must be a dictionary"),
    "a rail without address": (
        changed(rails=[{"name": "rail0", "cidr": "10.10.0.0/24", "interface": "eth0"}]),
        "rails[0].address is missing",
    ),
    "limits": (
        changed(limits={"subflows": "6", "add_addr_accepted": 0}),
        "limits.subflows is '6' and must be a whole number",
    ),
    "flag": (changed(limits={"subflows": True, "add_addr_accepted": 0}), "limits.subflows is True and must be a whole"),
    "table": (
        changed(routes=[{"type": "blackhole", "dst": "10.10.0.0/24", "metric": 1, "nexthops": [], "table": 7}]),
        "routes[0].table is 7 and must be a text",
    ),
    "hops": (
        changed(routes=[{"type": "unicast", "dst": "10.10.0.0/24", "metric": 1, "nexthops": [{"rail": "rail0"}]}]),
        "routes[0].nexthops[0].via is missing",
    ),
    "value": (changed(endpoints=[{**description()["endpoints"][0], "address": "fish"}]), "'fish' is not an address"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_unit_says_what_is_wrong_in_one_line(kind: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, says = DAMAGED[kind]
    file.write_text(content)
    assert main.main(["converge", "mptcp"]) == os.EX_CONFIG
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert "/mptcp.json " in line
    assert says in line
    assert line.endswith("; run the playbook networks.yml again, which writes it anew")


@pytest.mark.parametrize("kind", DAMAGED)
def test_event_and_report_say_it_too(kind: str, file: Path) -> None:
    content, says = DAMAGED[kind]
    file.write_text(content)
    for work in (lambda: converge.converge(None), saved.load):
        with pytest.raises(state.Damaged) as damaged:
            work()
        assert says in str(damaged.value)


def test_nothing_saved_is_no_damage(file: Path) -> None:
    assert saved.load() is None
    file.write_text(changed())
    assert saved.load() == description()
