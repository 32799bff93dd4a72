# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Which places a discovery log may name: a peer does not decide where this host connects, nor who gets its answers."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Iterable, Mapping, Union

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import shown
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import is_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, normalise_address

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
_PATTERN = re.compile(r"[!-+\--~]{1,223}", re.ASCII)


class Allowed:
    """networks: CIDRs or addresses. nqns: NQNs, in which C(*) is any text. places: addresses that a person declared.

    Loopback, link-local and reserved addresses are part of a network only when all of it is of that kind.
    """

    def __init__(self, networks: Iterable[str], nqns: Iterable[str], places: Iterable[str] = ()) -> None:
        self._networks = [_network(one) for one in networks]
        self._places = {normalise_address(one) for one in places}
        self._nqns = [re.compile(".*".join(map(re.escape, one.split("*")))) for one in nqns]

    @classmethod
    def of(
        cls, description: Mapping[str, Any], declared: Iterable[Mapping[str, Any]], earlier: Iterable[str]
    ) -> Allowed:
        """What a description allows. declared: its connections. earlier: addresses that logs named before.

        One that was saved before there were such lists allows what its logs named until then, and any NQN there.
        """
        networks, nqns = description.get("discovery_networks"), description.get("discovery_nqns")
        networks = [one for one in earlier if not special(one)] if networks is None else networks
        nqns = ["*"] if nqns is None else nqns
        # What is wrong is told by who checks the description, and allows nothing until it is mended.
        return cls(*(([], []) if allowed_errors(networks, nqns) else (networks, nqns)), known_places(declared))

    def why_not(self, connection: Mapping[str, Any]) -> str:
        """Why a log may not name the connection, which is in its normal form; empty when it may."""
        nqn, traddr = connection["subsysnqn"], connection["traddr"]
        if nqn != DISCOVERY_NQN and not any(one.fullmatch(nqn) for one in self._nqns):
            return "its NQN is none of discovery_nqns"
        return "" if traddr in self._places else self._outside(traddr)

    def _outside(self, traddr: str) -> str:
        address, kind = ipaddress.ip_address(traddr.partition("%")[0]), special(traddr)
        if "%" in traddr and kind != "link-local":
            return "its address has an interface, which is nothing that a log can know"
        for network in self._networks:
            if address in network and _kind(network) == kind:
                ends = network.num_addresses > 2 and network.version == 4
                return "its address is a broadcast" if ends and address == network.broadcast_address else ""
        return (
            f"its address is {kind}, outside discovery_networks"
            if kind
            else "its address is outside discovery_networks"
        )


def special(text: str) -> str:
    """What kind of address this is, if it is none that just any machine can have; empty for all others."""
    return _kind(ipaddress.ip_address(text.partition("%")[0]))


def _kind(one: Address | Network) -> str:
    kinds = {
        "loopback": one.is_loopback,
        "link-local": one.is_link_local,
        "multicast": one.is_multicast,
        "unspecified": one.is_unspecified,
        "reserved": one.is_reserved,
    }
    return next((kind for kind, so in kinds.items() if so), "")


def _network(text: str) -> Network:
    """A network of one or more addresses; IPv4 written as IPv6 is IPv4. Raises ValueError."""
    address, slash, length = text.partition("/")
    plain = normalise_address(address)
    if ":" in address and ":" not in plain and slash:
        length = str(int(length) - 96)
    return ipaddress.ip_network(plain + slash + length)


def allowed_errors(networks: Any, nqns: Any) -> list[str]:
    """What is wrong with the two lists that somebody wrote, each with its remedy."""
    found = []
    for name, values in (("discovery_networks", networks), ("discovery_nqns", nqns)):
        if not isinstance(values, list):
            found.append(f"{name} is {shown(values)}; it must be a list")
    for value in networks if isinstance(networks, list) else []:
        try:
            _network(value if isinstance(value, str) else "")
        except ValueError:
            found.append(f"discovery_networks has {shown(value)}; write an address or a network, such as 192.0.2.0/24")
    for value in nqns if isinstance(nqns, list) else []:
        if not (isinstance(value, str) and _PATTERN.fullmatch(value)):
            found.append(f"discovery_nqns has {shown(value)}; write an NQN, in which * stands for any text")
    return found


def known_places(connections: Iterable[Mapping[str, Any]]) -> list[str]:
    """The addresses of connections."""
    return [one["traddr"] for one in connections if is_address(str(one.get("traddr", "")))]
