# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes in a description of discovery: one clear message each, and everything that is right is connected."""

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from conftest import NVMET, PREFIX, VOLUMES, Extra, controllers, everything_is_there, playbook, until
from machines import one_or_all
from testinfra.host import Host

GOOD = {"transport": "mptcp", "traddr": "10.10.255.1", "trsvcid": "4420", "keep_alive_tmo": 5, "reconnect_delay": 2}


@pytest.mark.parametrize(
    ("variables", "words"),
    one_or_all(
        ({"nvme_host_discovery": [{**GOOD, "tls": True}]}, ["tls", "no TLS for MPTCP"]),
        ({"nvme_host_discovery": [{**GOOD, "kato": 5}]}, ["kato"]),
        ({"nvme_host_discovery": [GOOD, {**GOOD, "trsvcid": "4429"}]}, ["4429", "ECONNREFUSED"]),
        ({"nvme_host_discovery": [GOOD, {**GOOD, "traddr": "10.10.255.77"}]}, ["10.10.255.77"]),
        ({"nvme_host_gone": "forget"}, ["nvme_host_gone", "forget", "disconnect"]),
        ({"nvme_host_connection_options": {"dhchap_secret": "hunter2"}}, ["dhchap_secret"]),
    ),
    ids=["TLS", "unknown option", "closed port", "nobody there", "unknown policy", "malformed secret"],
)
def test_a_mistake_is_told_and_costs_nothing(variables: dict, words: list[str], initiator: Host) -> None:
    before = controllers(initiator)
    result = playbook("hosts", nvme_host_timeout=2, **variables)
    assert result.returncode != 0
    assert [word for word in words if word not in result.stdout] == []
    assert "hunter2" not in result.stdout
    assert controllers(initiator) == before
    assert set(VOLUMES.values()) <= {nqn for _address, nqn, _kind in before}


def test_each_refusal_has_its_reason_and_the_other_connections_are_made(
    targets: dict[str, Host], initiator: Host
) -> None:
    extra = Extra(targets, "target1", 8)
    allowed, keyed, keyless = (f"{PREFIX}:{word}" for word in ("allowed", "keyed", "keyless"))
    secret = generate()
    extra.make(initiator)
    extra.forbid()
    for nqn in (allowed, keyed, keyless):
        extra.target.check_output(f"mkdir {NVMET}/hosts/{nqn} && ln -s {NVMET}/hosts/{nqn} {extra.path}/allowed_hosts/")
    for nqn in (keyed, keyless):
        extra.target.check_output(f"printf %s {generate()} > {NVMET}/hosts/{nqn}/dhchap_key")
    extra.serve()
    refused = {
        "does not allow this host": {"subsysnqn": extra.nqn},
        "rejected the authentication": {"subsysnqn": extra.nqn, "hostnqn": keyed, "dhchap_secret": secret},
        "wants authentication": {"subsysnqn": extra.nqn, "hostnqn": keyless},
        "serves no such subsystem": {"subsysnqn": f"{PREFIX}:nowhere"},
        "nothing listens there": {"subsysnqn": extra.nqn, "trsvcid": "4429"},
        "no-such-target.invalid": {"subsysnqn": extra.nqn, "traddr": "no-such-target.invalid"},
    }
    right = {**GOOD, "subsysnqn": extra.nqn, "hostnqn": allowed}
    before = controllers(initiator)
    try:
        result = playbook(
            "hosts", nvme_host_timeout=2, nvme_host_connections=[*({**GOOD, **one} for one in refused.values()), right]
        )
        assert result.returncode != 0
        assert [words for words in refused if words not in result.stdout] == []
        assert secret not in result.stdout
        assert controllers(initiator) == sorted([*before, (extra.address, extra.nqn, "io")])
        # What was right stays until it is described no more.
        assert playbook("hosts").returncode == 0
        assert controllers(initiator) == before
    finally:
        extra.destroy()
        extra.target.check_output(f"rmdir {NVMET}/hosts/{allowed} {NVMET}/hosts/{keyed} {NVMET}/hosts/{keyless}")


def test_the_description_that_was_right_is_still_the_one(initiator: Host) -> None:
    result = playbook("hosts")
    assert result.returncode == 0
    [recap] = [line for line in result.stdout.splitlines() if line.startswith("host1 ") and "unreachable=" in line]
    assert "changed=0" in recap
    until(lambda: everything_is_there(initiator), 30)
