# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutated inventories: every filter ends in success or in an error in words, and never in one of Python's own."""

from __future__ import annotations

import collections
import json
import os
import random
import sys
from pathlib import Path
from typing import Any, Callable

import mutations
import netaddr
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.filter import connections, from_nvmetcli, proof, rails, subsystems
from fuzzing import cases, exception_in

WHOLE = 20_000
ROOT = Path(__file__).resolve().parents[4]
sys.path.append(str(ROOT / "tests/unit/plugins/plugin_utils"))
import test_topologies  # noqa: E402

FILTERS: dict[str, Callable[..., Any]] = {
    name: filter_
    for module in (connections, from_nvmetcli, proof, rails, subsystems)
    for name, filter_ in module.FilterModule().filters().items()
}
DHCHAP = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:"
PLANNED = {
    "transport": "mptcp",
    "traddr": "192.0.2.1",
    "trsvcid": "4420",
    "subsysnqn": "nqn.2026-11.org.example:vol0",
}
NVMETCLI: dict[str, Any] = {
    "hosts": [{"nqn": "nqn.2026-11.org.example:host0"}],
    "subsystems": [
        {
            "nqn": "nqn.2026-11.org.example:vol0",
            "attr": {"allow_any_host": "0", "serial": "A1", "cntlid_min": "1"},
            "allowed_hosts": ["nqn.2026-11.org.example:host0"],
            "namespaces": [
                {"nsid": 1, "enable": 1, "device": {"path": "/dev/sdb", "nguid": "0" * 8}, "ana_grpid": "1"}
            ],
        }
    ],
    "ports": [
        {
            "portid": 1,
            "addr": {
                "trtype": "tcp",
                "adrfam": "ipv4",
                "traddr": "10.0.0.1",
                "trsvcid": "4420",
                "treq": "not specified",
            },
            "subsystems": ["nqn.2026-11.org.example:vol0"],
            "referrals": [],
            "ana_groups": [{"grpid": 1, "ana": {"state": "optimized"}}],
        }
    ],
}


def _fabric(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "group_vars/all/fabric.yml").read_text())
    return found


def _answers(rails: list[str]) -> dict[str, Any]:
    """What nvme_info and mptcp_info tell of a host."""
    interfaces = {
        f"eth{n}": {"operstate": "up", "carrier": True, "rx_bytes": 9, "tx_bytes": 9} for n in range(len(rails))
    }
    controller = {
        "name": "nvme0", "transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "state": "live",
        "subsysnqn": "nqn.2026-11.org.example:vol0", "queue_count": 2,
    }  # fmt: skip
    nvme = {
        "transport": {"present": True, "kernel_release": "7.2.12+deb13-amd64"},
        "node_program": "x",
        "controllers": [controller],
        "interfaces": interfaces,
        "counters": {"MPTcpExtMPFallbackTokenInit": 0},
        "subsystems": [
            {
                "subsysnqn": "nqn.2026-11.org.example:vol0",
                "namespaces": [{"name": "nvme0n1", "nsid": 1, "uuid": "", "size": 2**30, "users": []}],
            }
        ],
    }
    flow = {"local": "198.51.100.9", "established": True}
    connection = {"remote": "192.0.2.1", "remote_port": 4420, "fallback": False, "subflows": [flow]}
    after = {
        "connections": [connection], "endpoints": [{"address": "198.51.100.9"}],
        "interfaces": interfaces, "counters": {"MPTcpExtMPFallbackTokenInit": 0},
    }  # fmt: skip
    return {"proof_nvme": nvme, "proof_after": after}


def _bases() -> list[dict[str, Any]]:
    """Whole inventories: networks, subsystems, targets, hosts, and the variables of each machine."""
    out = []
    for name in ("lab", "example"):
        fabric = _fabric(ROOT / "inventories" / name)
        networks = fabric["fabric_networks"]
        hostvars = {}
        for number, machine in enumerate(("target1", "target2", "host1", "host2"), 1):
            words = {}
            for rail, network in enumerate(networks):
                cidr = netaddr.IPNetwork(network["cidr"])
                words[f"eth{rail}"] = f"{cidr.network + number}/{cidr.prefixlen}"
            hostvars[machine] = test_topologies.variables(words)
            hostvars[machine]["ansible_facts"]["hostnqn"] = f"nqn.2026-11.org.example:{machine}"
            if machine.startswith("target"):
                hostvars[machine]["fabric_service_address"] = f"192.0.2.{number}"
                hostvars[machine].update(_answers(networks))
            else:
                hostvars[machine]["fabric_dhchap_secret"] = DHCHAP
                hostvars[machine].update(_answers(networks))
        hostvars["target1"]["nvme_target_ports"] = [
            {"portid": 1, "trtype": "mptcp", "adrfam": "ipv4", "traddr": "192.0.2.1", "trsvcid": "4420"}
        ]
        hostvars["host1"]["nvme_host_hostnqn"] = "nqn.2026-11.org.example:one"
        for subsystem in fabric["fabric_subsystems"]:
            subsystem.update(allowed_hosts=["host1", "nqn.2026-11.org.example:host2"])
            subsystem.pop("targets", None)
            for namespace in subsystem["namespaces"]:
                namespace.pop("scratch", None)
        out.append(
            {
                "networks": networks, "subsystems": fabric["fabric_subsystems"], "hostvars": hostvars,
                "targets": ["target1", "target2"], "hosts": ["host1", "host2"],
            }
        )  # fmt: skip
    for case in test_topologies.POSSIBLE:
        networks, hostvars = test_topologies.fabric(case)
        out.append(
            {
                "networks": networks,
                "subsystems": [{"nqn": "nqn.2026-11.org.example:vol0", "namespaces": [{"nsid": 1}]}],
                "hostvars": hostvars,
                "targets": [one for one in hostvars if one[0] in "tb"],
                "hosts": [one for one in hostvars if one[0] in "hb"],
            }
        )
    return [
        {
            "saved": NVMETCLI,
            "connections": [PLANNED],
            "discovery": [{"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "8009"}],
            "mib": 64,
            **one,
        }
        for one in out
    ]


def _calls(base: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Each filter with the arguments that roles and playbooks give it."""
    networks, fabric, hostvars = base["networks"], base["subsystems"], base["hostvars"]
    targets, hosts, planned, discovery = base["targets"], base["hosts"], base["connections"], base["discovery"]
    names = list(hostvars) if isinstance(hostvars, dict) else []
    first = targets[0] if isinstance(targets, list) and targets else names[0] if names else "nobody"
    last = hosts[-1] if isinstance(hosts, list) and hosts else names[-1] if names else "nobody"
    variables = hostvars.get(last) if isinstance(hostvars, dict) and isinstance(last, str) else None
    info = variables.get("proof_nvme", {}) if isinstance(variables, dict) else {}
    controllers = info.get("controllers", []) if isinstance(info, dict) else []
    return {
        "fio_jobs": (fabric, planned, info, base["mib"]),
        "from_nvmetcli": (base["saved"],),
        "host_keys": (fabric, hosts, hostvars),
        "host_targets": (fabric, last, targets, hostvars),
        "machine_rails": (networks, hostvars, last),
        "mptcp_plan": (networks, hostvars, last, targets, hosts),
        "nvme_connections": (fabric, last, targets, hostvars),
        "nvme_discovered": (last, hostvars),
        "nvme_discovery": (targets, hostvars),
        "nvme_discovery_networks": (networks, targets, hostvars),
        "nvme_discovery_nqns": (fabric,),
        "nvme_hostnqn": (last, hostvars),
        "nvme_planned": ([], discovery, fabric, last, targets, hostvars, controllers),
        "nvme_referrals": (targets, first, hostvars),
        "proof_of_run": (hostvars, last, targets, networks, planned),
        "proof_of_start": (hostvars, last, targets, planned),
        "subsystems": (fabric, first, hostvars, targets),
    }


BASES = _bases()


def test_every_filter_is_called_and_takes_what_is_not_mutated() -> None:
    for base in BASES[:2]:
        calls = _calls(base)
        assert set(calls) == set(FILTERS)
        for name, arguments in calls.items():
            FILTERS[name](*arguments)


def _ends(base: dict[str, Any], rng: random.Random, ends: collections.Counter[str]) -> None:
    mutated = mutations.tree(base, rng)
    if not (isinstance(mutated, dict) and set(base) <= set(mutated)):
        return
    for name, arguments in _calls(mutated).items():
        try:
            FILTERS[name](*arguments)
        except AnsibleFilterError as error:
            ends["in words"] += 1
            said = str(error)
            assert not exception_in(said), f"{name}: {said[:500]}"
            assert len(said) < 5000, f"{name}: {said[:500]}"
            assert DHCHAP not in said, name
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {str(error)[:200]}") from error
        else:
            ends["success"] += 1


def test_mutated_inventories(monkeypatch: pytest.MonkeyPatch) -> None:
    program = proof.build()
    monkeypatch.setattr(proof, "build", lambda: program)
    ends: collections.Counter[str] = collections.Counter()
    for seed, rng in cases(WHOLE):
        base = rng.choice(BASES[:2] if rng.randrange(2) else BASES)
        try:
            _ends(base, rng, ends)
        except AssertionError as error:
            raise AssertionError(f"SEED={seed}: {error}") from error.__cause__
    print(json.dumps(ends))
    one_alone = seed == os.environ.get("SEED")
    assert one_alone or min(ends["success"], ends["in words"]) > 1000
