# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.answers import answer

NIC = {"operstate": "up", "carrier": True, "rx_bytes": 1, "tx_bytes": 2}
CONTROLLER = {
    "name": "nvme0",
    "transport": "mptcp",
    "state": "deleting (no IO)",
    "traddr": "198.51.100.1",
    "trsvcid": "4420",
    "subsysnqn": "nqn.2026-11.org.example:vol0",
    "queue_count": 3,
}


def nvme(**changed: Any) -> dict[str, Any]:
    return {
        "transport": {"present": True, "kernel_release": "7.3.4+deb13-amd64"},
        "node_program": "",
        "controllers": [CONTROLLER],
        "interfaces": {"eth0": NIC},
        "counters": {"MPJoinRejected": 0},
        **changed,
    }


def test_an_answer_is_what_the_machine_said() -> None:
    assert answer({"host1": {"proof_nvme": nvme()}}, "host1", "proof_nvme") == nvme()


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"transport": None}, "transport in proof_nvme of host1 is None"),
        ({"transport": {"present": "yes", "kernel_release": "7.3.4"}}, "present in transport in proof_nvme of host1"),
        ({"controllers": "none"}, "controllers in proof_nvme of host1 is 'none'"),
        ({"controllers": [{**CONTROLLER, "state": "live\n"}]}, r"state in controllers in proof_nvme of host1, entry 0"),
        ({"controllers": [{**CONTROLLER, "queue_count": "3"}]}, "queue_count in controllers"),
        ({"interfaces": {"eth0\x1b": {**NIC, "rx_bytes": None}}}, r"rx_bytes in 'eth0\\x1b' in interfaces"),
        ({"counters": {"MPJoinRejected": True}}, "'MPJoinRejected' in counters"),
    ],
)
def test_a_field_that_cannot_be_judged_is_named_with_its_machine(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused, match=field):
        answer({"host1": {"proof_nvme": nvme(**changed)}}, "host1", "proof_nvme")
