# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One place in the inventory for both ends: what a host connects with is what its targets have."""

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.connections import host_targets, nvme_connections
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.host_secrets import BadSecret, host_keys, secrets

OWN = "nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"
KEY, CTRL = generate(), generate()
HOSTVARS = {
    "t1": {"fabric_service_address": "192.0.2.1"},
    "t2": {"fabric_service_address": "192.0.2.2"},
    "h1": {"nvme_host_hostnqn": OWN, "fabric_dhchap_secret": KEY, "fabric_dhchap_ctrl_secret": CTRL},
    "h2": {"nvme_host_hostnqn": f"{OWN[:-1]}2"},
    "h3": {"fabric_dhchap_secret": "hunter2"},
    "h4": {"fabric_dhchap_ctrl_secret": KEY},
}
FABRIC = [
    {"nqn": "nqn.2026-11.org.example:a", "allowed_hosts": ["h1", "h2"], "targets": ["t1"]},
    {"nqn": "nqn.2026-11.org.example:b", "allow_any_host": True},
]


def test_both_ends_have_the_same() -> None:
    served = [{**FABRIC[0], "allowed_hosts": [OWN, f"{OWN[:-1]}2"]}, FABRIC[1]]
    assert host_keys(served, ["h1", "h2"], HOSTVARS) == [{"nqn": OWN, "dhchap_key": KEY, "dhchap_ctrl_key": CTRL}]
    assert host_keys(served[1:], ["h1", "h2"], HOSTVARS) == []
    named, anyone, _ = nvme_connections(FABRIC, "h1", ["t1", "t2"], HOSTVARS)
    assert (named["dhchap_secret"], named["dhchap_ctrl_secret"]) == (KEY, CTRL)
    assert "dhchap_secret" not in anyone
    assert "dhchap_secret" not in nvme_connections(FABRIC, "h2", ["t1"], HOSTVARS)[0]
    assert host_targets(FABRIC, "h1", ["t1", "t2"], HOSTVARS) == ["t1"]


def test_a_secret_that_cannot_be_is_told_without_it() -> None:
    with pytest.raises(BadSecret, match="fabric_dhchap_secret of h3 is not a secret") as caught:
        host_keys([], ["h3"], HOSTVARS)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(BadSecret, match="is set without fabric_dhchap_secret"):
        secrets("h4", HOSTVARS)
