# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvmet refuses, as one table: the emulation is checked against it, and the real kernel too.

A case is a name, the operations that must succeed, the one that must not, and its errno. DEVICE stands for a file.
"""

from __future__ import annotations

S, T, H = (
    "subsystems/nqn.2026-11.org.example:s",
    "subsystems/nqn.2026-11.org.example:t",
    "hosts/nqn.2026-11.org.example:h",
)
NS, P, Q = f"{S}/namespaces/1", "ports/1", "ports/2"
ALLOWED = f"{S}/allowed_hosts/nqn.2026-11.org.example:h"
SERVED = f"{P}/subsystems/nqn.2026-11.org.example:s"
DEVICE = "{device}"

SUBSYSTEM = [("mkdir", S)]
NAMESPACE = [*SUBSYSTEM, ("mkdir", NS), ("write", f"{NS}/device_path", DEVICE)]
ENABLED = [*NAMESPACE, ("write", f"{NS}/enable", "1")]
HOST = [*SUBSYSTEM, ("mkdir", H)]


def port(path: str = P, trtype: str = "loop", traddr: str = "127.0.0.1") -> list:
    return [
        ("mkdir", path),
        ("write", f"{path}/addr_trtype", trtype),
        *([] if trtype == "loop" else [
            ("write", f"{path}/addr_adrfam", "ipv4"),
            ("write", f"{path}/addr_traddr", traddr),
            ("write", f"{path}/addr_trsvcid", "4429"),
        ]),
    ]  # fmt: skip


OPEN = [*SUBSYSTEM, *port(), ("symlink", SERVED, S)]

CASES = [
    ("discovery is no subsystem", [], ("mkdir", "subsystems/nqn.2014-08.org.nvmexpress.discovery"), "EINVAL"),
    ("a folder is made once", SUBSYSTEM, ("mkdir", S), "EEXIST"),
    ("nsid 0", SUBSYSTEM, ("mkdir", f"{S}/namespaces/0"), "EINVAL"),
    ("the last nsid", SUBSYSTEM, ("mkdir", f"{S}/namespaces/4294967295"), "EINVAL"),
    ("an nsid that is no number", SUBSYSTEM, ("mkdir", f"{S}/namespaces/x"), "EINVAL"),
    ("a port above 65535", [], ("mkdir", "ports/65536"), "EINVAL"),
    ("a port that is no number", [], ("mkdir", "ports/x"), "EINVAL"),
    ("ANA group 1 is there", port(), ("mkdir", f"{P}/ana_groups/1"), "EEXIST"),
    ("ANA group 129", port(), ("mkdir", f"{P}/ana_groups/129"), "EINVAL"),
    ("ANA group 1 stays", port(), ("rmdir", f"{P}/ana_groups/1"), "EPERM"),
    ("an unknown ANA state", port(), ("write", f"{P}/ana_groups/1/ana_state", "fast"), "EINVAL"),
    ("an empty serial", SUBSYSTEM, ("write", f"{S}/attr_serial", "x" * 21), "EINVAL"),
    ("a long model", SUBSYSTEM, ("write", f"{S}/attr_model", "x" * 41), "EINVAL"),
    ("a long firmware", SUBSYSTEM, ("write", f"{S}/attr_firmware", "x" * 9), "EINVAL"),
    ("an OUI of 25 bits", SUBSYSTEM, ("write", f"{S}/attr_ieee_oui", "0x1000000"), "EINVAL"),
    ("cntlid 0", SUBSYSTEM, ("write", f"{S}/attr_cntlid_min", "0"), "EINVAL"),
    ("cntlid_max below min", [*SUBSYSTEM, ("write", f"{S}/attr_cntlid_min", "9")],
     ("write", f"{S}/attr_cntlid_max", "8"), "EINVAL"),
    ("cntlid_min above max", SUBSYSTEM, ("write", f"{S}/attr_cntlid_min", "65535"), "EINVAL"),
    ("qid_max 129", SUBSYSTEM, ("write", f"{S}/attr_qid_max", "129"), "EINVAL"),
    ("any host beside allowed ones", [*HOST, ("symlink", ALLOWED, H)],
     ("write", f"{S}/attr_allow_any_host", "1"), "EINVAL"),
    ("allowed hosts beside any", [*HOST, ("write", f"{S}/attr_allow_any_host", "1")],
     ("symlink", ALLOWED, H), "EINVAL"),
    ("a host is allowed once", [*HOST, ("symlink", ALLOWED, H)], ("symlink", ALLOWED, H), "EEXIST"),
    ("a subsystem is no host", [*HOST, ("mkdir", T)], ("symlink", ALLOWED, T), "EINVAL"),
    ("a host that is allowed stays", [*HOST, ("symlink", ALLOWED, H)], ("rmdir", H), "EBUSY"),
    ("a link to nothing", SUBSYSTEM, ("symlink", ALLOWED, H), "ENOENT"),
    ("enable without a path", [*SUBSYSTEM, ("mkdir", NS)], ("write", f"{NS}/enable", "1"), "EINVAL"),
    ("enable without the device", [*SUBSYSTEM, ("mkdir", NS), ("write", f"{NS}/device_path", "/nowhere/at/all")],
     ("write", f"{NS}/enable", "1"), "ENOENT"),
    ("the path of an enabled namespace", ENABLED, ("write", f"{NS}/device_path", "/x"), "EBUSY"),
    ("the uuid of an enabled namespace", ENABLED,
     ("write", f"{NS}/device_uuid", "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"), "EBUSY"),
    ("the nguid of an enabled namespace", ENABLED,
     ("write", f"{NS}/device_nguid", "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"), "EBUSY"),
    ("buffered_io of an enabled namespace", ENABLED, ("write", f"{NS}/buffered_io", "1"), "EINVAL"),
    ("resv_enable of an enabled namespace", ENABLED, ("write", f"{NS}/resv_enable", "1"), "EINVAL"),
    ("the size of a namespace that is not enabled", NAMESPACE, ("write", f"{NS}/revalidate_size", "1"), "EINVAL"),
    ("not to look at the size", ENABLED, ("write", f"{NS}/revalidate_size", "0"), "EINVAL"),
    ("a uuid that is none", NAMESPACE, ("write", f"{NS}/device_uuid", "x"), "EINVAL"),
    ("ANA group 0", NAMESPACE, ("write", f"{NS}/ana_grpid", "0"), "EINVAL"),
    ("a subsystem that holds a namespace", NAMESPACE, ("rmdir", S), "ENOTEMPTY"),
    ("passthru without a path", SUBSYSTEM, ("write", f"{S}/passthru/enable", "1"), "EINVAL"),
    ("an unknown transport", port(), ("write", f"{P}/addr_trtype", "udp"), "EINVAL"),
    ("an unknown family", port(), ("write", f"{P}/addr_adrfam", "ipx"), "EINVAL"),
    ("an unknown treq", port(), ("write", f"{P}/addr_treq", "maybe"), "EINVAL"),
    ("mdts 256", port(), ("write", f"{P}/param_mdts", "256"), "EINVAL"),
    ("the address of an open port", OPEN, ("write", f"{P}/addr_traddr", "127.0.0.2"), "EACCES"),
    ("the transport of an open port", OPEN, ("write", f"{P}/addr_trtype", "tcp"), "EACCES"),
    ("mdts of an open port", OPEN, ("write", f"{P}/param_mdts", "5"), "EACCES"),
    ("a subsystem is served once", OPEN, ("symlink", SERVED, S), "EEXIST"),
    ("a host is no subsystem", [*HOST, *port()], ("symlink", SERVED, H), "EINVAL"),
    ("a subsystem that is served stays", OPEN, ("rmdir", S), "EBUSY"),
    ("a port that serves stays", OPEN, ("rmdir", P), "ENOTEMPTY"),
    ("a port without a transport", [*SUBSYSTEM, ("mkdir", P)], ("symlink", SERVED, S), "EINVAL"),
    ("an address that is taken", [*SUBSYSTEM, *port(P, "tcp"), *port(Q, "tcp"), ("symlink", SERVED, S)],
     ("symlink", f"{Q}/subsystems/nqn.2026-11.org.example:s", S), "EADDRINUSE"),
    ("an address within the wildcard",
     [*SUBSYSTEM, *port(P, "tcp", "0.0.0.0"), *port(Q, "tcp"), ("symlink", SERVED, S)],
     ("symlink", f"{Q}/subsystems/nqn.2026-11.org.example:s", S), "EADDRINUSE"),
    ("a referral that is enabled",
     [*port(), ("mkdir", f"{P}/referrals/r"), ("write", f"{P}/referrals/r/enable", "1")],
     ("write", f"{P}/referrals/r/addr_traddr", "127.0.0.1"), "EACCES"),
    ("discovery named as a subsystem begins", SUBSYSTEM,
     ("write", "discovery_nqn", "nqn.2026-11.org.example"), "EINVAL"),
    ("a key that is none", [("mkdir", H)], ("write", f"{H}/dhchap_key", "x"), "EINVAL"),
    ("an unknown hash", [("mkdir", H)], ("write", f"{H}/dhchap_hash", "md5"), "EINVAL"),
    ("an attribute that does not exist", SUBSYSTEM, ("write", f"{S}/attr_colour", "1"), "ENOENT"),
    ("a group stays", [], ("rmdir", "ports"), "EPERM"),
]  # fmt: skip
