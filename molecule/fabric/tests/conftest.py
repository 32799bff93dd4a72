# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two machines of the scenario, reached as ssh reaches them: no Ansible between a test and the kernel."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "molecule/shared"))

from fabric import initiator, target

__all__ = ["initiator", "target"]
