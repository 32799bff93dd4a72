# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What a host has, as structured data: the reading of sysfs joined with the sockets and the users of namespaces."""

from __future__ import annotations

import functools
from typing import Any, Callable, Collection, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import normalise_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import Secret, secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Nvme, as_dict, recognise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.device_users import users as device_users
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.sock_diag import Connection, connections


def report(
    nvme: Nvme,
    sockets: Callable[[], Sequence[Connection]] = connections,
    users: Callable[[str], list[str]] = functools.partial(device_users, claims=False),
    shown: Callable[[str], Secret] = secret,
    known: Collection[str] = (),
) -> dict[str, Any]:
    """controllers, portals and subsystems, as the module nvme_info documents them. known: as in recognise()."""
    on_tcp = any(one.sysfs_transport in ("tcp", "mptcp") for one in nvme.controllers)
    # A machine without such a controller may have no kernel module that lists sockets.
    found = list(sockets()) if on_tcp else []
    nvme = recognise(nvme, [(one.remote, str(one.remote_port)) for one in found], known)
    subsystems = as_dict(nvme.subsystems)
    for subsystem in subsystems:
        for namespace in subsystem["namespaces"]:
            namespace["users"] = users(namespace["name"])
    controllers = as_dict(nvme.controllers)
    for controller in controllers:
        controller["authentication"] = _authentication(controller["path"], shown)
    return {
        "controllers": controllers,
        "portals": _portals(nvme, found),
        "subsystems": subsystems,
    }


def _authentication(path: str, shown: Callable[[str], Secret]) -> str:
    """Who has to prove a DH-HMAC-CHAP secret where the target asks for it: C(none), C(host) or C(mutual)."""
    host, target = (
        shown(f"{path}/{name}").value.startswith("DHHC-1:") for name in ("dhchap_secret", "dhchap_ctrl_secret")
    )
    return "mutual" if host and target else "host" if host else "none"


def _portals(nvme: Nvme, sockets: Sequence[Connection]) -> list[dict[str, Any]]:
    mptcp = [one for one in nvme.controllers if one.transport == "mptcp"]
    portals = sorted({(one.traddr, one.trsvcid) for one in mptcp})
    out = []
    for traddr, trsvcid in portals:
        members = [
            one for one in nvme.controllers if (one.transport, one.traddr, one.trsvcid) == ("mptcp", traddr, trsvcid)
        ]
        behind = [one for one in sockets if (normalise_address(one.remote), str(one.remote_port)) == (traddr, trsvcid)]
        out.append(
            {
                "traddr": traddr,
                "trsvcid": trsvcid,
                "controllers": [one.name for one in members],
                "queues": sum(one.queue_count for one in members),
                "connections": as_dict(behind),
            }
        )
    return out
