# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints what hostile answers of machines change, as JSON: a program of its own, for Ansible finds collections once."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

if __name__ == "__main__":
    init_plugin_loader([str(Path(__file__).resolve().parents[3] / "collections")])
    from foreign import attack

    print(json.dumps(attack.everything()))
