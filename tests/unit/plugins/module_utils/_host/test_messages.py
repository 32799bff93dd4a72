# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads of input that cannot be: the module itself, on an emulated host that stays as it is."""

from __future__ import annotations

import functools
import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.nvmeof.mptcp.plugins.modules import nvme_connections
from emulated_fabrics import CONNECTION, CONVERGE, DISCOVERY, SECRET, Kernel, description, state

_INTERVAL = "it must be from 0 to 2147483"


def called(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, **changed: object) -> dict:
    """What the module answers; in check mode, for a wrong connection does not keep back the others otherwise."""
    out = io.StringIO()
    monkeypatch.setattr(nvme_connections, "converge", functools.partial(CONVERGE, connector=None))
    given = {**description(), **changed, "_ansible_check_mode": True}
    with patch_module_args(given), redirect_stdout(out), pytest.raises(SystemExit):
        nvme_connections.main()
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"timeout": -1}, ["timeout is -1; it must be from 0 to 86400"]),
        ({"timeout": 10**400}, ["timeout is 1000", "it must be from 0 to 86400"]),
        ({"discovery_interval": -1}, ["discovery_interval is -1", _INTERVAL]),
        ({"connections": {"traddr": "192.0.2.1"}}, ["connections", "dict", "list"]),
        ({"connections": [{**CONNECTION, "kato": 5}]}, ["connections.kato", "nr_io_queues"]),
        ({"connections": [{**CONNECTION, "queue_size": "big"}]}, ["queue_size", "big", "found in 'connections'"]),
        ({"connections": [{**CONNECTION, "tls": True}]}, ["connections[0]", "tls is True", "use dhchap_secret"]),
        (
            {"connections": [{**CONNECTION, "transport": "tcp", "tls": True, "tls_key": 7}]},
            ["connections[0]", "tls_key is 7", "serial", "tls: true"],
        ),
        ({"discovery": [{**DISCOVERY, "transport": "tcp", "keyring": 7}]}, ["discovery[0]", "keyring is 7", "serial"]),
        (
            {"discovery": [{**DISCOVERY, "transport": "tcp"}], "discovered": {"tls_key": 7}},
            ["discovered: tls_key is 7"],
        ),
        ({"connections": [CONNECTION, CONNECTION]}, ["connections[1]", "a second time; remove one"]),
        ({"connections": [{**CONNECTION, "dhchap_secret": SECRET[:-3]}]}, ["is not a secret in the form", "make one"]),
        ({"discovery": [{**DISCOVERY, "traddr": "0.0.0.0"}]}, ["discovery[0]", "0.0.0.0", "address of one machine"]),
        ({"discovery": [DISCOVERY], "discovered": {"tls": True}}, ["discovered: tls is True", "no TLS for MPTCP"]),
        ({"discovery": [DISCOVERY], "discovered": {"queue_size": 10**300}}, ["discovered: queue_size", "16 to 1024"]),
        ({"hostnqn": "host\x1b1"}, ["hostnqn is 'host\\x1b1'", "an NQN starts with nqn."]),
        ({"hostid": "1"}, ["hostid is '1'", "must be a UUID"]),
        ({"gone": "remove"}, ["gone", "keep, disconnect"]),
    ],
)
def test_bad_input_is_told_by_object_value_and_remedy_and_changes_nothing(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict, words: list[str]
) -> None:
    before = state(tmp_path)
    found = called(kernel, monkeypatch, **changed)
    assert found["failed"], found
    assert all(word in found["msg"] for word in words), found["msg"]
    assert SECRET[:-3] not in json.dumps(found)
    assert "Traceback" not in json.dumps(found)
    assert state(tmp_path) == before
    assert kernel.asked == []
