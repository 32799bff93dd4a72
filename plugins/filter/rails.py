# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters that plan the network of a machine from the description of the fabric; the logic is in plugin_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric import mptcp_network, rails
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import entrance


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "machine_rails": entrance(rails.machine_rails),
            "mptcp_plan": entrance(mptcp_network.mptcp_plan),
        }
