# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which NIC a rail is on now."""

from __future__ import annotations

from typing import Any


def locate(rails: list[dict[str, str]], interfaces: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Which NIC each rail is on now: (interface by rail, what is wrong by rail).

    A rail is recognised by its address, for names of NICs can change between two boots. A rail with a problem has no
    usable NIC now; it holds up no other rail.
    """
    found: dict[str, str] = {}
    problems: dict[str, str] = {}
    for rail in rails:
        name, address = rail["name"], rail["address"]
        holders = [nic for nic, link in interfaces.items() if address in (a.split("/")[0] for a in link["addresses"])]
        if not holders:
            here = interfaces.get(rail["interface"])
            state = "does not exist" if here is None else f"has {', '.join(here['addresses']) or 'no address'}"
            problems[name] = f"no NIC has {address} ({rail['cidr']}); {rail['interface']} {state}"
            continue
        found[name] = rail["interface"] if rail["interface"] in holders else holders[0]
        if not interfaces[found[name]]["up"]:
            problems[name] = f"{found[name]} ({address}) is down: `ip link set {found[name]} up`"
    return found, problems
