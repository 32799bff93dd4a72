# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""From the entries of a discovery log to connections: each field is checked, and nothing in it is mended. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import GRAMMARS, matches
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_allowed import Allowed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import (
    CURRENT,
    FAMILIES,
    NVM_SUBSYSTEM,
    REFERRAL,
    Entry,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import unfit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import (
    DISCOVERY_NQN,
    errors,
    name_of,
    normalise,
)

#: Reasons that are told, the first ones; of the others their number.
_TOLD = 4


@dataclass
class Refused:
    """What logs name and is not connected, by the reason: how many, and one of them or an empty text."""

    by_reason: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, what: str, why: str, count: int = 1) -> None:
        before, example = self.by_reason.get(why, (0, what))
        self.by_reason[why] = (before + count, example)

    def text(self) -> str:
        """One line, or an empty text."""
        told = [f"{count} because {why}{one and ', such as '}{one}" for why, (count, one) in self.by_reason.items()]
        if len(told) > _TOLD:
            rest = sum(count for count, _one in list(self.by_reason.values())[_TOLD:])
            told[_TOLD:] = [f"{rest} for {len(told) - _TOLD} other reasons"]
        return f"not connected, of what discovery logs name: {'; '.join(told)}" if told else ""


@dataclass
class Reading:
    """A log, judged. named: the connections that it may name, with their names. outside: names of those that it names.

    refused: all that is not in named.
    """

    named: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    refused: Refused = field(default_factory=Refused)


def judged(
    entries: Sequence[Entry], discovery: Mapping[str, Any], options: Mapping[str, Any], allowed: Allowed
) -> Reading:
    """What follows from a log. discovery, options: as for connection()."""
    out = Reading()
    for entry in entries:
        if entry.subtype == CURRENT:
            continue
        try:
            one = connection(entry, discovery, options)
        except NoConnection as error:
            out.refused.add(str(entry), str(error))
            continue
        why = allowed.why_not(one)
        if why:
            out.outside.add(name_of(one))
            out.refused.add(name_of(one), why)
        else:
            out.named.setdefault(name_of(one), one)
    return out


class NoConnection(ValueError):
    """An entry that no connection follows from. The text says why, in the same words for any number of such entries."""


def connection(entry: Entry, discovery: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The connection that an entry names, in its normal form. Raises NoConnection.

    discovery: the controller whose log it is, with the options that a referral gets. options: those of all others.
    """
    if entry.subtype not in (REFERRAL, NVM_SUBSYSTEM):
        raise NoConnection(f"its subsystem type is {entry.subtype}, which is unknown")
    if entry.transport != discovery["transport"]:
        # tcp, above all, is used only where the inventory says tcp.
        raise NoConnection(
            f"it is in a log that was read over {discovery['transport']}; list a discovery controller of its transport"
        )
    _check_place(entry)
    where = {"transport": entry.transport, "traddr": entry.traddr, "trsvcid": entry.trsvcid}
    if entry.subtype == REFERRAL or entry.subnqn == DISCOVERY_NQN:
        # Whatever the entry calls it: the kernel takes the well-known name for a discovery controller.
        found = {**discovery, **where, "subsysnqn": DISCOVERY_NQN}
    else:
        _check("NQN", entry.subnqn, "NQN")
        found = {**options, **where, "subsysnqn": entry.subnqn}
    for wrong in errors(found):
        raise NoConnection(wrong)
    return normalise(found)


def _check_place(entry: Entry) -> None:
    _check("address", entry.traddr, "address")
    _check("number", entry.trsvcid, "service")
    if not 0 < int(entry.trsvcid) < 65536 or entry.trsvcid.startswith("0"):
        raise NoConnection("its service is no port from 1 to 65535")
    try:
        version = ipaddress.ip_address(entry.traddr.partition("%")[0]).version
    except ValueError:
        raise NoConnection("its address is none") from None
    if FAMILIES.get(entry.adrfam) != version:
        raise NoConnection(f"its address family is {entry.adrfam} and its address is IPv{version}")
    wrong = unfit(entry.traddr)
    if wrong:
        raise NoConnection(f"its address cannot be used: {wrong}")


def _check(kind: str, text: str, field: str) -> None:
    if not matches(kind, text):
        raise NoConnection(f"its {field} is none: it must be {GRAMMARS[kind].form}")
