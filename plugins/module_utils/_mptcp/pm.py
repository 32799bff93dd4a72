# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Endpoints and limits of the in-kernel MPTCP path manager, read from the kernel.

``ip -j mptcp limits`` prints no JSON and iproute2 prints no flag that it is too old to know, so both are read over
generic netlink. Source: include/uapi/linux/mptcp_pm.h, Documentation/netlink/specs/mptcp_pm.yaml.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink

FAMILY = "mptcp_pm"
_GET_ADDR = 3
_GET_LIMITS = 6
_ATTR_ADDR = 1
_ATTR_RCV_ADD_ADDRS = 2
_ATTR_SUBFLOWS = 3
_ADDR_ID, _ADDR_V4, _ADDR_V6, _ADDR_PORT, _ADDR_FLAGS, _ADDR_IFINDEX = 2, 3, 4, 5, 6, 7
FLAGS = {"signal": 1, "subflow": 2, "backup": 4, "fullmesh": 8, "implicit": 16, "laminar": 32}


class NoMptcp(OSError):
    """This kernel was built without MPTCP."""

    def __init__(self) -> None:
        super().__init__(errno.EPROTONOSUPPORT, "the running kernel has no MPTCP (CONFIG_MPTCP): boot one that has it")


def endpoints(interfaces: dict[int, str]) -> list[dict[str, Any]]:
    """Every endpoint as {address, id, flags, dev, port}; dev is empty without one and C(if7) for a NIC that is gone.

    interfaces: names by index.
    """
    return [_endpoint(answer[_ATTR_ADDR], interfaces) for answer in _ask(_GET_ADDR, dump=True) if _ATTR_ADDR in answer]


def _endpoint(nested: bytes, interfaces: dict[int, str]) -> dict[str, Any]:
    found = dict(netlink.attributes(nested))
    family, raw = (socket.AF_INET, found[_ADDR_V4]) if _ADDR_V4 in found else (socket.AF_INET6, found[_ADDR_V6])
    flags = struct.unpack("=I", found.get(_ADDR_FLAGS, b"\0" * 4))[0]
    index = struct.unpack("=i", found.get(_ADDR_IFINDEX, b"\0" * 4))[0]
    return {
        "address": socket.inet_ntop(family, raw),
        "id": found.get(_ADDR_ID, b"\0")[0],
        "flags": sorted(name for name, bit in FLAGS.items() if flags & bit),
        "dev": interfaces.get(index, f"if{index}") if index else "",
        "port": struct.unpack("=H", found.get(_ADDR_PORT, b"\0\0"))[0],
    }


def limits() -> dict[str, int]:
    """C(subflows) and C(add_addr_accepted), each per connection."""
    answer = _ask(_GET_LIMITS)[0]
    return {
        "subflows": struct.unpack("=I", answer[_ATTR_SUBFLOWS])[0],
        "add_addr_accepted": struct.unpack("=I", answer[_ATTR_RCV_ADD_ADDRS])[0],
    }


def _ask(command: int, dump: bool = False) -> list[dict[int, bytes]]:
    try:
        return netlink.generic(FAMILY, command, dump=dump)
    except FileNotFoundError:
        raise NoMptcp from None
