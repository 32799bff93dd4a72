# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody who breaks out of a lab's machine has of the controller."""

from __future__ import annotations

import pwd
import stat
from pathlib import Path

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import process
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import user as _lab_user
from machines import LAB_DIR


def test_a_machine_is_a_process_of_its_own_user_without_rights_or_a_way_to_them() -> None:
    machines = process.find(LAB_DIR)
    assert sorted(where.name for where in machines.values()) == ["host1", "target1"]
    user = str(pwd.getpwnam(_lab_user.NAME).pw_uid)
    for pid in machines:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        status = {name: value.split() for name, value in (line.split(":", 1) for line in lines)}
        assert status["Uid"] == [user] * 4
        # 2: system calls are filtered.
        assert (status["Seccomp"], status["NoNewPrivs"]) == (["2"], ["1"])
        assert {int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")} == {0}


def test_nobody_else_on_the_controller_comes_to_disks_keys_and_control_sockets() -> None:
    assert not LAB_DIR.stat().st_mode & stat.S_IRWXO
    for where in process.find(LAB_DIR).values():
        assert where.stat().st_mode & (stat.S_IRWXO | stat.S_IRWXG) == 0
