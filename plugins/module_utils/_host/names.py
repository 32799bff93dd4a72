# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Host names in connections: the kernel takes addresses alone, and a connection is known by its address."""

from __future__ import annotations

import concurrent.futures
import errno
import ipaddress
import re
import socket
from typing import Any, Callable, Iterable, Mapping, Sequence

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
#: So many names are asked for at a time.
_TOGETHER = 16

Lookup = Callable[[str], Sequence[str]]


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def is_name(text: str) -> bool:
    """Whether the text can be a host name (RFC 1123); what ends in a number is a mistyped address."""
    labels = text[:-1].split(".") if text.endswith(".") else text.split(".")
    return len(text) <= 253 and all(map(_LABEL.match, labels)) and not labels[-1].isdigit()


def unfit(text: str) -> str:
    """Why no connection can lead to an address or host name, or from it; empty when one can."""
    if not is_address(text):
        return "" if is_name(text) else "it must be an IPv4 or IPv6 address, or a host name"
    address, percent, zone = text.partition("%")
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast or address == "255.255.255.255":
        return "it must be the address of one machine"
    if percent and parsed.version == 4:
        return "only an IPv6 address has an interface behind %: remove that"
    return "write the interface behind %, or remove it" if percent and not zone else ""


def address_conflicts(connection: Mapping[str, Any]) -> list[str]:
    """What is wrong with the two addresses of a connection together; host names are left to resolved()."""
    given = {key: connection.get(key) for key in ("traddr", "host_traddr")}
    known = {key: text for key, text in given.items() if isinstance(text, str) and is_address(text)}
    found = [
        f"{key} {text!r} is link-local: write its interface, as in {text}%rail0, or set host_iface"
        for key, text in known.items()
        if ":" in text
        and "%" not in text
        and "host_iface" not in connection
        and ipaddress.ip_address(text).is_link_local
    ]
    if len({":" in text for text in known.values()}) > 1:
        found.append(
            f"host_traddr is {known['host_traddr']!r} and traddr {known['traddr']!r}; both must be of IPv4 or of IPv6"
        )
    return found


def addresses(name: str) -> list[str]:
    """The addresses of a name, in the system's order (RFC 6724); raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def has_route(address: str) -> bool:
    """Whether the machine has a route to the address. No packet is sent: connecting a datagram socket only asks."""
    try:
        family, kind, _protocol, _name, to = socket.getaddrinfo(address, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as asking:
            asking.connect(to)
    except OSError as error:
        return error.errno not in (errno.ENETUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True


class Names:
    """The addresses of the names in connections, each name asked for once.

    in_use: addresses that controllers use now. One of them stays the answer while its name still has it, so that names
    whose addresses come in turns do not move connections.
    """

    def __init__(
        self,
        connections: Iterable[Mapping[str, Any]],
        in_use: Iterable[str],
        lookup: Lookup = addresses,
        routed: Callable[[str], bool] = has_route,
    ) -> None:
        self._in_use, self._lookup, self._routed = set(in_use), lookup, routed
        names = sorted({one[key] for one in connections for key in ("traddr", "host_traddr") if self._asks(one, key)})
        self._found: dict[str, list[str]] = {}
        self._wrong: dict[str, str] = {}
        if names:
            # A name server that is away costs seconds for every name.
            with concurrent.futures.ThreadPoolExecutor(min(len(names), _TOGETHER)) as pool:
                list(pool.map(self._ask, names))

    @staticmethod
    def _asks(connection: Mapping[str, Any], key: str) -> bool:
        value = connection.get(key, "")
        return connection.get("transport") in ("mptcp", "tcp", "rdma") and bool(value) and not is_address(value)

    def _ask(self, name: str) -> None:
        try:
            self._found[name] = list(self._lookup(name))
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error)
            self._wrong[name] = f"{name!r} cannot be resolved ({why}): correct it, write an address, or see to DNS"

    def resolved(self, connection: Mapping[str, Any]) -> dict[str, Any]:
        """The connection with addresses in place of names. Raises ValueError for a name without one."""
        out = dict(connection)
        for key in ("traddr", "host_traddr"):
            name = connection.get(key, "")
            if not self._asks(connection, key):
                continue
            if name in self._wrong:
                raise ValueError(f"{key} {self._wrong[name]}")
            out[key] = self._best(name, out["traddr"] if key == "host_traddr" else "")
        return out

    def _best(self, name: str, beside: str) -> str:
        found = self._found.get(name, [])
        if beside:
            found = [one for one in found if (":" in one) == (":" in beside)]
        if not found:
            family = f" of the family of {beside}" if beside else ""
            raise ValueError(f"{name!r} has no address{family}: correct it, or write an address")
        kept = [one for one in found if one in self._in_use]
        return next(iter(kept), "") or next(filter(self._routed, found), found[0])
