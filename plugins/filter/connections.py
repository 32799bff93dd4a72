# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of who connects where, of hosts' keys and of the load that proves it; the logic is in plugin_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric import connections, fio_jobs, host_secrets, identity
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import entrance


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "fio_jobs": entrance(fio_jobs.fio_jobs),
            "host_keys": entrance(host_secrets.host_keys),
            "host_targets": entrance(connections.host_targets),
            "nvme_connections": entrance(connections.nvme_connections),
            "nvme_discovered": entrance(connections.nvme_discovered),
            "nvme_discovery": entrance(connections.nvme_discovery),
            "nvme_discovery_networks": entrance(connections.nvme_discovery_networks),
            "nvme_discovery_nqns": entrance(connections.nvme_discovery_nqns),
            "nvme_planned": entrance(connections.nvme_planned),
            "nvme_referrals": entrance(connections.nvme_referrals),
            "nvme_hostnqn": entrance(identity.hostnqn),
        }
