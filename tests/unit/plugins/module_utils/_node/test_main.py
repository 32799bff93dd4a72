# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the program of the units ends: a damaged file is told once, and any other failure is worth another start."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._node import main

ROLES = Path(__file__).resolve().parents[5] / "roles"
UNITS = {
    "mptcp": "mptcp/files/nvmeof-mptcp-network.service",
    "target": "nvme_target/files/nvmeof-mptcp-target.service",
    "host": "nvme_host/files/nvmeof-mptcp-host.service",
}


@pytest.mark.parametrize("name", state.COMPONENTS)
@pytest.mark.parametrize(("content", "says"), [("{", "is not valid JSON"), ("[]", "does not hold what")])
def test_unit_is_not_started_again_for_a_damaged_file(
    name: str,
    content: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(state.load, "__defaults__", (str(tmp_path),))
    (tmp_path / f"{name}.json").write_text(content)
    status = main.main(["converge", name])
    assert f"\nRestartPreventExitStatus={status}\n" in (ROLES / UNITS[name]).read_text(encoding="utf-8")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: {tmp_path}/{name}.json ")
    assert says in line
    assert " again" in line


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("not now"), lock.Busy("held")])
def test_unit_is_started_again_after_any_other_failure(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_name: str) -> None:
        raise error

    monkeypatch.setattr(state, "load", fails)
    assert main.main(["converge", "target"]) == 1


EVIL = "nqn.2026-11.org.example:a\nhost: 3 connection(s) as described\r\x1b[2K\x00\u2028\u202e\udcff"


def test_a_line_is_a_line_whatever_is_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state, "load", lambda name: {})
    monkeypatch.setitem(
        main._DO["converge"], "host", lambda: (COMPONENT, lambda saved: iter([EVIL, "rail0 über", "x" * 10000]))
    )
    assert main.main(["converge", "host"]) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == (
        r"host: nqn.2026-11.org.example:a\nhost: 3 connection(s) as described\r\x1b[2K\x00\u2028\u202e\udcff"
    )
    assert second == "host: rail0 über"
    assert third.endswith("x… (10006 characters)")


def test_an_error_is_a_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_name: str) -> None:
        raise ValueError(EVIL)

    monkeypatch.setattr(state, "load", fails)
    main.main(["converge", "host"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
