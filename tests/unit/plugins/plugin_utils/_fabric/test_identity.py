# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import uuid

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric import identity

OWN = "nqn.2014-08.org.nvmexpress:uuid:0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"
HOSTVARS = {
    "written": {"nvme_host_hostnqn": "nqn.2026-11.org.example:written", "ansible_facts": {"hostnqn": OWN}},
    "own": {"ansible_facts": {"hostnqn": OWN}},
    "none": {"ansible_facts": {"hostnqn": ""}},
    "unknown": {"ansible_facts": {"hostname": "unknown"}},
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nqn.2026-11.org.example:elsewhere", "nqn.2026-11.org.example:elsewhere"),
        ("written", "nqn.2026-11.org.example:written"),
        ("own", OWN),
    ],
)
def test_hostnqn_is_found_in_this_order(name: str, expected: str) -> None:
    assert identity.hostnqn(name, HOSTVARS) == expected


def test_a_machine_without_a_hostnqn_gets_a_stable_one_of_its_own() -> None:
    derived = identity.hostnqn("none", HOSTVARS)
    assert derived == identity.hostnqn("none", HOSTVARS)
    assert derived.startswith(identity.UUID_NQN)
    assert uuid.UUID(derived[len(identity.UUID_NQN) :]).version == 5
    assert derived != identity.hostnqn("other", {"other": HOSTVARS["none"]})


@pytest.mark.parametrize(("name", "words"), [("nobody", "inventory"), ("unknown", "gather_subset nvme")])
def test_an_unknown_machine_is_refused_with_the_remedy(name: str, words: str) -> None:
    with pytest.raises(identity.UnknownHost, match=words) as caught:
        identity.hostnqn(name, HOSTVARS)
    assert repr(name) in str(caught.value)


def test_serial_is_as_long_as_nvme_allows() -> None:
    assert len(identity.derived_serial("nqn.2026-11.org.example:vol0")) == 20


@pytest.mark.parametrize("nqn", ["nqn.2026-11.org.example:a -o", "nqn.2026-11.org.example:a\n", "host1", "nqn.$(id)"])
def test_what_a_machine_tells_for_its_hostnqn_has_to_be_one(nqn: str) -> None:
    with pytest.raises(Refused, match=r"ansible_facts\.hostnqn \(/etc/nvme/hostnqn\) of liar is "):
        identity.hostnqn("liar", {"liar": {"ansible_facts": {"hostnqn": nqn}}})
