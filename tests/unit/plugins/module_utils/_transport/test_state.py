# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the transport is there: the kernel's word for it, and the modules that would keep that word."""

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules as _module_files
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import probe
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state as _transport_state


@pytest.mark.parametrize(
    ("broken", "offered"),
    [
        ("", {"host": True, "target": True}),
        ("nvme-tcp", {"host": False, "target": True}),
        ("nvmet-tcp", {"host": True, "target": False}),
    ],
)
def test_a_name_that_the_kernel_knows_is_no_transport_without_its_module(
    monkeypatch: pytest.MonkeyPatch, broken: str, offered: dict[str, bool]
) -> None:
    said = "modprobe: Exec format error"
    monkeypatch.setattr(probe, "load", lambda modules: [said] if broken in modules else [])
    monkeypatch.setattr(probe, "offered_by_host", lambda: True)
    monkeypatch.setattr(probe, "offered_by_target", lambda: True)
    # The controller need not have kmod.
    monkeypatch.setattr(_module_files, "read", lambda name: _module_files.Module(name, "", "", "", (), ""))
    state = _transport_state.read(probe=True)
    assert state["offered"] == offered
    assert state["present"] is (broken == "")
    assert state["missing"] == ([said] if broken else [])
