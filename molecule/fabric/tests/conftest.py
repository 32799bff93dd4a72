# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines of the scenario, reached as ssh reaches them: no Ansible between a test and the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from testinfra.host import Host

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "molecule/shared"))

from machines import connect


@pytest.fixture(scope="session")
def target() -> Host:
    return connect("target1")


@pytest.fixture(scope="session")
def initiator() -> Host:
    return connect("host1")
