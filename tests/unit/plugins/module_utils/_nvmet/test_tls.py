# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS that stands in for authentication is refused before anything is changed, unless the description accepts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.filter.from_nvmetcli import from_nvmetcli
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.keys import give
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import load
from nvmet_descriptions import KEYS

from _nvmet.test_converge import HOST, VOL, machine, simple

OTHER, SECOND = "nqn.2026-11.org.example:host1", "nqn.2026-11.org.example:vol1"
WORD = {"allow_unauthenticated_tls": True}


def served(**second: Any) -> dict[str, Any]:
    """A TLS port with a subsystem for one host, and a second subsystem."""
    found = simple(trtype="tcp", tsas="tls1.3", subsystems=[VOL, SECOND])
    found["subsystems"].append({"nqn": SECOND, "serial": "A2", **second})
    return found


KEYED = {**simple(trtype="tcp", tsas="tls1.3"), "hosts": [{"nqn": HOST, "dhchap_key": KEYS[0]}]}
WEAK = [
    (KEYED, f"{HOST} has a dhchap_key: it would be let in without"),
    (served(allowed_hosts=[OTHER]), f"2 hosts are allowed there: who has the PSK of {HOST} can be {OTHER}"),
    (served(allow_any_host=True), f"subsystem {SECOND} has allow_any_host: whoever has a PSK is let in as any host"),
]


@pytest.mark.parametrize(("description", "message"), WEAK)
@pytest.mark.parametrize("check", [False, True])
def test_tls_in_place_of_authentication_is_refused(
    tmp_path: Path, description: dict[str, Any], message: str, check: bool
) -> None:
    on = machine(tmp_path)
    with pytest.raises(Invalid) as caught:
        converge(description, check=check, machine=on)
    [problem] = caught.value.problems
    assert problem.startswith("port 1: tsas tls1.3 ")
    assert message in problem
    assert problem.endswith("or accept it by allow_unauthenticated_tls: true")
    assert KEYS[0] not in problem
    assert not [path for path in on.kernel.objects if path.startswith(("ports/", "subsystems/"))]


@pytest.mark.parametrize(("description", "message"), WEAK)
def test_it_is_accepted_by_its_name(tmp_path: Path, description: dict[str, Any], message: str) -> None:
    on = machine(tmp_path)
    accepted = {**description, "ports": [{**port, **WORD} for port in description["ports"]]}
    converge(accepted, machine=on)
    assert on.kernel.objects["ports/1"]["addr_tsas"] == "tls1.3"
    assert not converge(accepted, machine=on).changed
    # A run that starts from what was saved is not asked again.
    give(HOST, {"dhchap_key": KEYS[1]}, machine=on)


@pytest.mark.parametrize(
    "description",
    [
        simple(trtype="tcp", tsas="tls1.3"),
        served(allowed_hosts=[HOST]),
        {**KEYED, "ports": [{**KEYED["ports"][0], "tsas": "none"}]},
        {**served(allowed_hosts=[OTHER]), "ports": simple(trtype="tcp", tsas="tls1.3")["ports"]},
    ],
    ids=["one host", "the same host twice", "keys without TLS", "another host on another port"],
)
def test_other_tls_and_other_authentication_is_served(tmp_path: Path, description: dict[str, Any]) -> None:
    assert converge(description, machine=machine(tmp_path)).changed


def test_a_key_that_only_nvmet_has_counts(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge({**simple(trtype="tcp"), "hosts": [{"nqn": HOST, "dhchap_key": KEYS[0]}]}, machine=on)
    with pytest.raises(Invalid, match="has a dhchap_key"):
        converge(simple(trtype="tcp", tsas="tls1.3"), machine=on)


def test_boot_serves_what_an_earlier_release_saved(tmp_path: Path) -> None:
    on = machine(tmp_path)
    saved = {"prune": "owned", "target": served(allowed_hosts=[OTHER]), "keys": {}}
    boot(saved, machine=on)
    assert on.kernel.objects["ports/1"]["addr_tsas"] == "tls1.3"


def test_the_word_is_true_or_false(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="allow_unauthenticated_tls: 'ja' must be true or false"):
        converge(simple(trtype="tcp", tsas="tls1.3", allow_unauthenticated_tls="ja"), machine=machine(tmp_path))


def test_what_nvmetcli_saved_is_asked_as_well(tmp_path: Path) -> None:
    address = {"trtype": "tcp", "adrfam": "ipv4", "traddr": "192.0.2.1", "trsvcid": "4420", "tsas": "tls1.3"}
    saved = {
        "hosts": [{"nqn": HOST}, {"nqn": OTHER}],
        "subsystems": [{"nqn": VOL, "allowed_hosts": [HOST, OTHER], "namespaces": []}],
        "ports": [{"portid": 1, "addr": address, "subsystems": [VOL], "referrals": []}],
    }
    with pytest.raises(Invalid, match="allow_unauthenticated_tls"):
        converge(from_nvmetcli(saved), machine=machine(tmp_path))
    assert not load(str(tmp_path / "etc"))
