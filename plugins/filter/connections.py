# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of who connects where, of hosts' keys and of the load that proves it; the logic is in plugin_utils."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import (
    _connections,
    _fio_jobs,
    _host_secrets,
    _identity,
)


def _told(function: Callable[..., Any]) -> Callable[..., Any]:
    def told(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return told


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "fio_jobs": _told(_fio_jobs.fio_jobs),
            "host_keys": _told(_host_secrets.host_keys),
            "host_targets": _told(_connections.host_targets),
            "nvme_connections": _told(_connections.nvme_connections),
            "nvme_discovered": _told(_connections.nvme_discovered),
            "nvme_discovery": _told(_connections.nvme_discovery),
            "nvme_discovery_networks": _told(_connections.nvme_discovery_networks),
            "nvme_discovery_nqns": _told(_connections.nvme_discovery_nqns),
            "nvme_planned": _told(_connections.nvme_planned),
            "nvme_referrals": _told(_connections.nvme_referrals),
            "nvme_hostnqn": _told(_identity.hostnqn),
        }
