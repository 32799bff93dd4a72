# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every attribute of a description, values that it does not take."""

from __future__ import annotations

from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import Kind

VOL = "nqn.2026-11.org.example:vol0"
DEEP: list = []
for _ in range(100_000):
    DEEP = [DEEP]
# What no attribute takes.
NONSENSE = [
    [], {}, ["x"], {"a": 1}, [[["1"]]], {"nqn": VOL}, DEEP, ("x",), {1, 2}, b"x", object(), float("nan"), float("-inf"),
    1e300, 10**5000, "", " ", "\0", "a\0b", "a\nb", "\x1b[31m", "\ud800", "x" * 5000, "…",
]  # fmt: skip
NUMBERS = ["x", "1e3", "0x", "--1", "1 2", "\u0661", 1.5, True, False, -(10**30), 10**30, "9" * 30, "1\n2"]
SWITCHES = ["maybe", 2, -1, 1.5, "10", "tru", "true\nfalse"]
WORDS = ["udp", "MPTCP", 5, True, "mptcp\0", "x" * 99, "optimised", "inaccessible optimized"]
NQNS = ["vol0", 5, True, "nqn", "nqn.2026-13.org.example:x", "nqn.26-11.org.example:x", VOL + "/x", VOL + " x",
        VOL + "\nx", VOL + "\0", VOL + "\x7f", VOL + "\ud800", VOL + "x" * 222, VOL + "é" * 100]  # fmt: skip
SECRETS = ["hunter2", 5, True, "DHHC-1:00:short:", f"DHHC-1:04:{'a' * 48}:", f"DHHC-1:00:{'a' * 48}",
           f"DHHC-1:00:{'a' * 48}:\nx", f"DHHC-1:00:{'a' * 5000}:"]  # fmt: skip
IDENTIFIERS = ["x", "0" * 32, "1" * 31, "1" * 33, "g" * 32, 5, True, 1.5, "1" * 31 + "\0"]
#: What an attribute does not take, beside nonsense; those that are not here are of one of the types above.
BAD: dict[str, list[Any]] = {
    "nqn": NQNS, "discovery_nqn": NQNS, "uuid": IDENTIFIERS, "nguid": IDENTIFIERS, "dhchap_key": SECRETS,
    "dhchap_ctrl_key": SECRETS,
    "device_path": ["vdb", "./x", 5, True, "/dev/a\nb", "/dev/\0", "/dev/\ud800", "/" + "x" * 4001],
    "version": [2.1, 2, "2", "0.9", "2.256", "1.4.256", "2.1.0.0", "v2.1", True, "2.1\0"],
    "traddr": ["a b", "é", 5, True, "x" * 256, "127.0.0.1\n::1"],
    "trsvcid": ["é", True, "x" * 32, "44\n20", 4420.5],
    "name": ["a/b", "..", ".", "-a", "a b", "é", 5, True, "x" * 65, "a\nb"],
    "serial": ["x" * 21, "Ä", True, "a\tb", 1.5],
    "model": ["x" * 41, "Ä", False],
    "firmware": ["x" * 9, "Ä", False],
    "p2pmem": ["x" * 65, "Ä", False],
}  # fmt: skip
#: Attribute → the lowest and the highest number that it takes.
LIMITS = {
    "nsid": (1, 0xFFFFFFFE), "portid": (0, 65535), "grpid": (1, 127), "ana_grpid": (1, 127), "cntlid_min": (1, 65535),
    "cntlid_max": (1, 65535), "qid_max": (1, 128), "ieee_oui": (0, 0xFFFFFF), "vendor_id": (0, 65535),
    "subsys_vendor_id": (0, 65535), "admin_timeout": (0, 0xFFFFFFFF), "io_timeout": (0, 0xFFFFFFFF),
    "inline_data_size": (0, 0x7FFFFFFF), "max_queue_size": (16, 1024), "mdts": (0, 255),
}  # fmt: skip


def bad_values(name: str, kind: Kind) -> list[Any]:
    """What the attribute (or key) of this name of a kind of object does not take."""
    if name in LIMITS:
        low, high = LIMITS[name]
        return [*NONSENSE, *NUMBERS, low - 1, high + 1, str(low - 1), hex(high + 1)]
    row = kind.row(name)
    return [*NONSENSE, *BAD.get(name, SWITCHES if row and row.type == "bool" else WORDS)]
