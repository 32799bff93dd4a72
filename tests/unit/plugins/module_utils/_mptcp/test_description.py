# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A description that cannot be converged to is refused in words, before the network is even looked at."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import actual, converge

from _mptcp.test_plan import description


@pytest.mark.parametrize(
    ("option", "changes", "says"),
    [
        ("rails", {"cidr": "fish"}, "rails: cidr 'fish' is not a network"),
        ("rails", {"address": "10.10.0.5/24"}, "rails: address '10.10.0.5/24' is not an address"),
        ("rails", {"address": "2001:DB8::5"}, "as the kernel shows it: 2001:db8::5"),
        ("rails", {"name": "rail1"}, "rails: name rail1 is there twice"),
        ("endpoints", {"address": "10.10.0.256"}, "endpoints: address '10.10.0.256' is not"),
        ("endpoints", {"address": "10.10.1.5"}, "endpoints: address 10.10.1.5 is there twice"),
        ("endpoints", {"rail": "rail9"}, r"endpoints: 10.10.0.5: rail 'rail9' is not one of rails \(rail0, rail1"),
        ("endpoints", {"id": 0}, "id 0 of 10.10.0.5 is not a number from 1 to 255"),
        ("endpoints", {"id": 256}, "id 256 of 10.10.0.5"),
        ("endpoints", {"id": 2}, "endpoints: id 2 is there twice"),
        ("endpoints", {"flags": ["signal", "fullmesh"]}, "signal and fullmesh"),
        ("limits", {"subflows": -1}, "limits: subflows -1 is not"),
        ("limits", {"add_addr_accepted": 256}, "limits: add_addr_accepted 256 is not"),
        ("addresses", {"address": "lo"}, "addresses: address 'lo' is not"),
        ("addresses", {"address": "10.10.255.5"}, "as the kernel shows it: 10.10.255.5/32"),
        ("routes", {"dst": "10.10.0.1/24"}, "routes: dst '10.10.0.1/24' is not a prefix"),
        ("routes", {"type": "unicast"}, "routes: 10.10.0.0/24: a unicast route needs next hops"),
        ("routes", {"nexthops": [{"via": "", "rail": "rail0"}]}, "a blackhole has none"),
        ("routes", {"type": "unicast", "nexthops": [{"via": "", "rail": "x"}]}, "10.10.0.0/24: rail 'x' is not one"),
        ("routes", {"type": "unicast", "nexthops": [{"via": "x", "rail": "rail0"}]}, "via 'x' is not the address"),
        ("routes", {"type": "unicast", "nexthops": [{"via": "", "rail": "rail0"}] * 2}, "over rail0 has no via"),
        ("routes", {"metric": -1}, "metric -1 is not"),
        ("rules", {"from": "all"}, "rules: from 'all' is not a prefix"),
        ("rules", {"to": "x"}, "rules: to 'x' is not a prefix"),
        ("sysctls", {"../hostname": "x"}, "sysctls: '../hostname' is not the name of a sysctl"),
        ("interface_sysctls", {"net": "x"}, "interface_sysctls: 'net' is not the name of a sysctl"),
    ],
)
def test_what_cannot_be_is_refused(
    option: str, changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = description()
    of = wanted[option][0] if isinstance(wanted[option], list) else wanted[option]
    of.update(changes)
    monkeypatch.setattr(actual, "read", lambda: pytest.fail("the network was looked at"))
    with pytest.raises(ValueError, match=says):
        converge.converge(wanted, check=True)
