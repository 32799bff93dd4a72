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
        if draw(st.integers(0, 5)) == 0:
            one["passthru"] = {"device_path": "/dev/nvme0", **draw(optional(io_timeout=st.integers(0, 9)))}
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
    if draw(st.integers(0, 4)) == 0:
        found["discovery_nqn"] = "nqn.2026-11.org.example.discovery"
    return found
