# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.filter.from_nvmetcli import from_nvmetcli
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse

VOL, HOST = "nqn.2026-11.org.example:vol0", "nqn.2026-11.org.example:host1"
SAVED = {
    "discovery": {"nqn": "nqn.2014-08.org.nvmexpress.discovery"},
    "hosts": [{"nqn": HOST, "dhchap": {"key": "", "ctrl_key": "", "hash": "hmac(sha256)", "dhgroup": "null"}}],
    "ports": [
        {
            "addr": {
                "adrfam": "ipv4", "traddr": "192.0.2.1", "treq": "not specified", "trsvcid": "4420", "trtype": "tcp",
                "tsas": "none",
            },
            "ana_groups": [{"ana": {"state": "optimized"}, "grpid": 1}],
            "param": {"inline_data_size": "16384", "mdts": "-1", "pi_enable": "0"},
            "portid": 1,
            "referrals": [],
            "subsystems": [VOL],
        }
    ],
    "subsystems": [
        {
            "allowed_hosts": [HOST],
            "attr": {"allow_any_host": "0", "serial": "abc", "version": "2.1", "vendor_id": "0x1af4"},
            "namespaces": [
                {
                    "ana": {"grpid": "1"},
                    "ana_grpid": 1,
                    "resv": {"enable": "0"},
                    "device": {"nguid": "00000000-0000-0000-0000-000000000000", "path": "/dev/mapper/v",
                               "uuid": "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"},
                    "enable": 1,
                    "nsid": 7,
                }
            ],
            "nqn": VOL,
            # As nvmetcli 0.9 writes it: a list, numbers, and no "enable".
            "passthru": [{"device": {"path": "(null)"}, "admin_timeout": 0, "clear_ids": 0, "io_timeout": 0}],
        }
    ],
}  # fmt: skip


def test_what_nvmetcli_saved_is_a_description() -> None:
    found = from_nvmetcli(SAVED)
    assert found["subsystems"] == [
        {
            "nqn": VOL,
            "allow_any_host": False,
            "version": "2.1",
            "serial": "abc",
            "vendor_id": "0x1af4",
            "namespaces": [
                {
                    "nsid": 7,
                    "device_path": "/dev/mapper/v",
                    "uuid": "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d",
                    "resv_enable": False,
                    "ana_grpid": 1,
                    "enable": True,
                }
            ],
            "allowed_hosts": [HOST],
        }
    ]
    assert found["ports"][0]["traddr"] == "192.0.2.1"
    assert found["ports"][0]["inline_data_size"] == 16384
    assert "mdts" not in found["ports"][0]
    assert found["ports"][0]["ana_groups"] == [{"grpid": 1, "ana_state": "optimized"}]
    assert found["hosts"] == [{"nqn": HOST, "dhchap_hash": "hmac(sha256)", "dhchap_dhgroup": "null"}]
    assert set(parse(found).links) == {f"ports/1/subsystems/{VOL}", f"subsystems/{VOL}/allowed_hosts/{HOST}"}


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ("{}", "use from_json first"),
        ({"subsystems": [{"nqn": VOL, "passthru": [{}, {}]}]}, r"passthru has 2 entries, and a subsystem one"),
        ([SAVED], "use from_json first"),
        ({"subsystems": ["x"]}, r"nvmetcli.subsystems\[0\]: 'x' must be the dictionary of a subsystem"),
        ({"subsystems": [None]}, r"nvmetcli.subsystems\[0\]: None must be the dictionary of a subsystem"),
        ({"subsystems": {"nqn": VOL}}, "nvmetcli.subsystems: a value of type dict must be a list"),
        ({"subsystems": VOL}, f"nvmetcli.subsystems: '{VOL}' must be a list"),
        ({"ports": None}, "nvmetcli.ports: None must be a list"),
        ({"ports": [{}]}, r"nvmetcli.ports\[0\]: portid is missing"),
        ({"ports": [{"portid": [1]}]}, r"nvmetcli.ports\[0\]: portid is missing or no text"),
        ({"ports": [{"portid": 1, "addr": "tcp"}]}, r"nvmetcli.ports\[0\]: addr is not known of a port"),
        (
            {"ports": [{"portid": 1, "subsystems": [{"nqn": VOL}]}]},
            r"subsystems\[0\]: a value of type dict must be an NQN",
        ),
        ({"ports": [{"portid": 1, 7: 8, "x": 9}]}, "7, x is not known of a port"),
        (
            {"subsystems": [{"nqn": VOL, "attr": {"serial": ["a"]}}]},
            r"attr_serial must be a single value and is a value of",
        ),
        ({"subsystems": [{"nqn": VOL, "passthru": {}}]}, "passthru: a value of type dict must be a list"),
        ({"subsystems": [{"nqn": VOL, "passthru": [3]}]}, r"passthru\[0\]: 3 must be the dictionary of a passthru"),
        ({"hosts": [{"nqn": HOST, "dhchap": {"key": {"DHHC-1": 1}}}]}, r"dhchap_key must be .* a value of type dict;"),
        ({"subsystem": []}, "nvmetcli: subsystem is not known of a nvmet"),
        ({"ports": [{"portid": 1, "addr": {"colour": 1}}]}, r"ports\[0\]: addr_colour is not known of a port"),
        ({"ports": [{"portid": 1, "addr": {"adrfam": "ipx"}}]}, r"ports\[0\]: addr_adrfam 'ipx' must be one of ipv4"),
    ],
)
def test_what_is_not_understood_is_named(saved, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        from_nvmetcli(saved)


def test_a_group_of_which_the_kernel_had_no_attribute_is_nothing() -> None:
    plain = from_nvmetcli({"ports": [{"portid": 1}]})
    assert from_nvmetcli({"ports": [{"portid": 1, "param": {}}]}) == plain
