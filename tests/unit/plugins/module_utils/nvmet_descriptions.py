# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random valid descriptions from small pools, so that two of them share, move and collide in everything."""

from __future__ import annotations

import uuid

from hypothesis import strategies as st

HOSTS = [f"nqn.2026-11.org.example:host{index}" for index in range(3)]
SUBSYSTEMS = [f"nqn.2026-11.org.example:vol{index}" for index in range(3)]
UUIDS = [str(uuid.UUID(int=index + 1)) for index in range(6)]
DEVICES = [f"/dev/disk/by-id/virtio-vol{index}" for index in range(6)]
CONTROLLERS = [f"/dev/nvme{index}" for index in range(3)]
ADDRESSES = [("ipv4", "127.0.0.1"), ("ipv4", "127.0.0.2"), ("ipv6", "::1")]
KEYS = [f"DHHC-1:00:{letter * 47}=:" for letter in "abc"]


def optional(**options):
    return st.fixed_dictionaries({}, optional=options)


def some(items):
    return st.lists(st.sampled_from(items), unique=True, max_size=len(items))


@st.composite
def hosts(draw):
    chosen = draw(some(HOSTS))
    settings = optional(
        dhchap_hash=st.sampled_from(["hmac(sha256)", "hmac(sha512)"]),
        dhchap_dhgroup=st.sampled_from(["null", "ffdhe2048"]),
        dhchap_key=st.sampled_from(KEYS),
        dhchap_ctrl_key=st.sampled_from(KEYS),
    )
    return [{"nqn": nqn, **draw(settings)} for nqn in chosen]


@st.composite
def namespaces(draw, uuids, devices):
    found = []
    for nsid in draw(st.lists(st.integers(1, 4), unique=True, max_size=3)):
        one = draw(
            optional(
                ana_grpid=st.integers(1, 3), buffered_io=st.booleans(), resv_enable=st.booleans(), enable=st.booleans()
            )
        )
        if uuids and draw(st.booleans()):
            one["uuid"] = uuids.pop(draw(st.integers(0, len(uuids) - 1)))
        if not devices:
            break
        found.append({"nsid": nsid, "device_path": devices.pop(draw(st.integers(0, len(devices) - 1))), **one})
    return found


@st.composite
def subsystems(draw):
    uuids, devices, found = list(UUIDS), list(DEVICES), []
    # All or none are passed through, or two descriptions would seldom move one.
    controllers = draw(st.permutations(CONTROLLERS)) if draw(st.booleans()) else []
    for nqn in draw(some(SUBSYSTEMS)):
        one = draw(
            optional(
                serial=st.sampled_from(["A1", "B2"]),
                model=st.sampled_from(["Linux", "box"]),
                qid_max=st.sampled_from([64, 128]),
                ieee_oui=st.sampled_from([0, 0xABCDEF]),
                vendor_id=st.sampled_from(["0x1af4", 0]),
            )
        )
        low, high = draw(st.sampled_from([(1, 65519), (1, 100), (101, 200), (65530, 65535)]))
        one.update(cntlid_min=low, cntlid_max=high)
        one.update({"allow_any_host": True} if draw(st.booleans()) else {"allowed_hosts": draw(some(HOSTS))})
        if controllers:
            settings = draw(optional(io_timeout=st.integers(0, 9), enable=st.booleans()))
            one["passthru"] = {"device_path": controllers.pop(), **settings}
        else:
            one["namespaces"] = draw(namespaces(uuids, devices))
        found.append({"nqn": nqn, **one})
    return found


@st.composite
def ports(draw, served):
    found, places = [], [(family, address, service) for family, address in ADDRESSES for service in (4420, 4421)]
    for portid in draw(st.lists(st.integers(0, 3), unique=True, max_size=3)):
        one = draw(
            optional(
                max_queue_size=st.sampled_from([64, 128]),
                mdts=st.sampled_from([0, 5]),
                inline_data_size=st.sampled_from([8192, 16384]),
                treq=st.sampled_from(["not specified", "not required"]),
            )
        )
        trtype = draw(st.sampled_from(["tcp", "mptcp", "loop"]))
        if trtype != "loop":
            family, address, service = places.pop(draw(st.integers(0, len(places) - 1)))
            one.update(adrfam=family, traddr=address, trsvcid=str(service))
        one["subsystems"] = draw(some(served)) if served else []
        one["ana_groups"] = [
            {"grpid": grpid, "ana_state": draw(st.sampled_from(["optimized", "inaccessible", "non-optimized"]))}
            for grpid in draw(st.lists(st.integers(1, 3), unique=True))
        ]
        one["referrals"] = [
            {"name": name, "trtype": "tcp", "adrfam": "ipv4", "traddr": "127.0.0.9",
             "trsvcid": draw(st.sampled_from(["8009", "8010"])), **draw(optional(enable=st.booleans()))}
            for name in draw(some(["a", "b"]))
        ]  # fmt: skip
        found.append({"portid": portid, "trtype": trtype, **one})
    return found


@st.composite
def descriptions(draw):
    """A valid description of a whole target."""
    found = {"hosts": draw(hosts()), "subsystems": draw(subsystems())}
    found["ports"] = draw(ports([item["nqn"] for item in found["subsystems"]]))
    for item in found["subsystems"]:
        serving = [port for port in found["ports"] if item["nqn"] in port["subsystems"]]
        offered = {1, *(group["grpid"] for port in serving for group in port["ana_groups"])}
        for namespace in item.get("namespaces", []) if serving else []:
            if namespace.get("ana_grpid", 1) not in offered:
                del namespace["ana_grpid"]
    if draw(st.integers(0, 4)) == 0:
        found["discovery_nqn"] = "nqn.2026-11.org.example.discovery"
    return found


#: A description with an object of every kind and a value for every attribute.
FULL: dict = {
    "discovery_nqn": "nqn.2026-11.org.example.discovery",
    "hosts": [
        {"nqn": "nqn.2026-11.org.example:host0", "dhchap_hash": "hmac(sha512)", "dhchap_dhgroup": "ffdhe2048",
         "dhchap_key": f"DHHC-1:00:{'a' * 47}=:", "dhchap_ctrl_key": f"DHHC-1:01:{'b' * 47}=:"},
        {"nqn": "nqn.2026-11.org.example:host1"},
    ],
    "subsystems": [
        {"nqn": SUBSYSTEMS[0], "allow_any_host": False, "version": "2.1", "serial": "A1", "model": "box",
         "firmware": "1", "ieee_oui": 1, "cntlid_min": 1, "cntlid_max": 99, "vendor_id": "0x1af4",
         "subsys_vendor_id": 1, "qid_max": 9, "pi_enable": False,
         "allowed_hosts": ["nqn.2026-11.org.example:host0", "nqn.2026-11.org.example:host9"],
         "namespaces": [
             {"nsid": 1, "device_path": "/dev/disk/by-id/a", "uuid": "1" * 32, "nguid": "2" * 32, "buffered_io": True,
              "resv_enable": True, "p2pmem": "0000:01:00.0", "ana_grpid": 2, "enable": True},
             {"nsid": 2, "device_path": "/dev/disk/by-id/b"},
         ]},
        {"nqn": SUBSYSTEMS[1], "allow_any_host": True, "passthru": {"device_path": "/dev/nvme0", "admin_timeout": 1,
         "io_timeout": 1, "clear_ids": True, "enable": True}},
    ],
    "ports": [
        {"portid": 1, "trtype": "tcp", "adrfam": "ipv4", "traddr": "127.0.0.1", "trsvcid": "4420", "tsas": "none",
         "treq": "not required", "inline_data_size": 8192, "max_queue_size": 64, "mdts": 5, "pi_enable": False,
         "subsystems": SUBSYSTEMS[:2], "ana_groups": [{"grpid": 1, "ana_state": "optimized"}, {"grpid": 2}],
         "referrals": [{"name": "a", "trtype": "tcp", "adrfam": "ipv6", "traddr": "::1", "trsvcid": "8009", "portid": 1,
                        "treq": "not specified", "enable": True}]},
        {"portid": 2, "trtype": "mptcp", "adrfam": "ipv6", "traddr": "::1", "trsvcid": "4420"},
    ],
}  # fmt: skip
