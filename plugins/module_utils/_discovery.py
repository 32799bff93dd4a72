# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What the discovery logs add to a description: connections to what they name, and what becomes of those that went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _discovery_log
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery_log import BadLog, Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery_options import GONE, discovered
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery_remembered import remembered
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import (
    DISCOVERY_NQN,
    errors,
    name_of,
    normalise,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host_names import is_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_admin import discovery_log
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Controller

#: Referrals are followed so far from a declared controller; the specification asks for at least eight levels.
DEPTH = 8
_USED = "kept as long as it is used"
#: What makes a connection the one that it is.
WHO = ("transport", "traddr", "trsvcid", "subsysnqn", "host_traddr", "host_iface")
#: What a log says of it.
_WHERE = WHO[:4]

Connection = Mapping[str, Any]
#: Name of a connection, and its controller, to the log.
ReadLog = Callable[[Controller], Sequence[Entry]]


@dataclass
class Followed:
    """connections: what to have besides the declared ones, by name; named: all that the logs name or that stays.

    kept: what stays although no log names it, or none could be read: connections as they are, without options.
    used: those of them that go once they are unused.
    gone: connections that no log names any more, each with what becomes of it. unread: discovery controllers whose log
    is not known now, each with the reason; nothing counts as gone meanwhile. ignored: entries that were not followed.
    remembered: what is to be there because a log named it last, while the log is out of reach.
    """

    connections: dict[str, Connection] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    gone: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    remembered: set[str] = field(default_factory=set)

    def notes(self) -> list[str]:
        """One line for each thing that a person should know."""
        return [
            *(f"{name} is in no discovery log any more: {what}" for name, what in self.gone.items()),
            *(f"{name}: its discovery log is not known: {why}" for name, why in self.unread.items()),
            *(f"not connected: {entry}: {why}" for entry, why in self.ignored.items()),
            *(f"{name} is wanted as a discovery log named it last" for name in sorted(self.remembered)),
        ]


def kernel_log(controller: Controller) -> list[Entry]:
    """The log of a controller of this machine. Raises OSError or BadLog."""
    return _discovery_log.read(discovery_log(controller.name))


def follow(
    description: Mapping[str, Any],
    declared: Mapping[str, Connection],
    found: Mapping[str, Controller],
    earlier: Sequence[str],
    read_log: ReadLog,
    users: Callable[[str], list[str]],
    lost: Collection[str] = (),
) -> Followed:
    """Read the log of every discovery controller that is live, referrals included, and say what follows.

    declared: connections of the description by name, discovery controllers among them. found: this host's controllers
    by the name of their connection. earlier: names that logs gave before. users: who uses a namespace, by its name.
    lost: names of connections that could not be made a moment ago; what was known of such a discovery controller's log
    counts until it can be read.
    """
    out = Followed()
    options = discovered(description)
    waiting = [(name, one, 0) for name, one in declared.items() if one["subsysnqn"] == DISCOVERY_NQN]
    seen = {name for name, _one, _depth in waiting}
    roots, places = [one for _name, one, _depth in waiting], _places(declared)
    if not waiting:
        return out
    while waiting:
        name, discovery, depth = waiting.pop(0)
        for connection in _named(name, discovery, options, found.get(name), read_log, out):
            other = name_of(connection)
            refers = connection["subsysnqn"] == DISCOVERY_NQN
            if refers and (other in seen or depth >= DEPTH):
                continue
            if other not in declared and _place(connection) in places:
                # It is declared from a local address or interface of its own, and is not connected a second time.
                continue
            out.named.add(other)
            if other not in declared:
                out.connections.setdefault(other, connection)
            if refers:
                seen.add(other)
                waiting.append((other, connection, depth + 1))
        if not waiting and out.unread:
            waiting = _referred(out, seen, roots, places, {one: found[one] for one in earlier if one in found})
    if set(out.unread) & set(declared) & set(lost) - set(found):
        _remember(out, declared, remembered(sorted(set(earlier) - set(found)), roots, options))
    _gone(out, description, declared, found, earlier, users)
    return out


def _place(connection: Connection) -> tuple[str, ...]:
    return tuple(str(connection.get(key, "")) for key in _WHERE)


def _places(declared: Mapping[str, Connection]) -> set[tuple[str, ...]]:
    """What the description connects as this host, from whichever local address."""
    return {_place(one) for one in declared.values() if "hostnqn" not in one}


def _referred(
    out: Followed,
    seen: set[str],
    roots: Sequence[Connection],
    places: set[tuple[str, ...]],
    earlier: Mapping[str, Controller],
) -> list[tuple[str, Connection, int]]:
    """Discovery controllers of earlier referrals, as what gave them may be away now: they stay, and are followed."""
    more: list[tuple[str, Connection, int]] = []
    for name, controller in earlier.items():
        who = _who(controller)
        if name in seen or who["subsysnqn"] != DISCOVERY_NQN or _place(who) in places:
            continue
        root = next((one for one in roots if one["transport"] == who["transport"]), {})
        seen.add(name)
        out.named.add(name)
        out.kept.add(name)
        out.connections[name] = who
        more.append((name, {**{key: value for key, value in root.items() if key not in WHO}, **who}, 1))
    return more


def _remember(out: Followed, declared: Mapping[str, Connection], known: Mapping[str, Connection]) -> None:
    places = _places(declared)
    for name, one in known.items():
        if name not in declared and name not in out.named and _place(one) not in places:
            out.connections[name] = one
            out.named.add(name)
            out.remembered.add(name)


def _who(controller: Controller) -> dict[str, str]:
    return {key: getattr(controller, key) for key in WHO if getattr(controller, key)}


def _named(
    name: str,
    discovery: Connection,
    options: Connection,
    controller: Controller | None,
    read_log: ReadLog,
    out: Followed,
) -> Sequence[Connection]:
    """The connections that one log names, or none with the reason in out."""
    if controller is None or controller.state != "live":
        out.unread[name] = "it is not connected" if controller is None else f"it is {controller.state}"
        return []
    try:
        entries = read_log(controller)
    except (OSError, BadLog) as error:
        out.unread[name] = getattr(error, "strerror", "") or str(error)
        return []
    connections = []
    for entry in entries:
        if entry.subtype not in (_discovery_log.REFERRAL, _discovery_log.NVM_SUBSYSTEM):
            continue
        connection = _connection(entry, discovery, options)
        wrong = _why_not(entry, discovery) or errors(connection)
        if wrong:
            out.ignored[str(entry)] = wrong[0]
        else:
            connections.append(normalise(connection))
    return connections


def _connection(entry: Entry, discovery: Connection, options: Connection) -> dict[str, Any]:
    where = {"transport": entry.transport, "traddr": entry.traddr, "trsvcid": entry.trsvcid}
    if entry.subtype == _discovery_log.REFERRAL:
        # Whatever the entry calls it: the kernel takes the well-known name for a discovery controller.
        return {**discovery, **where, "subsysnqn": DISCOVERY_NQN}
    return {**options, **where, "subsysnqn": entry.subnqn}


def _why_not(entry: Entry, discovery: Connection) -> list[str]:
    if entry.transport == discovery["transport"]:
        return [] if is_address(entry.traddr) else [f"its address is {entry.traddr!r}"]
    # tcp, above all, is used only where the inventory says tcp.
    return [f"it is in a log that was read over {discovery['transport']}; list a discovery controller of its transport"]


def _gone(
    out: Followed,
    description: Mapping[str, Any],
    declared: Mapping[str, Connection],
    found: Mapping[str, Controller],
    earlier: Sequence[str],
    users: Callable[[str], list[str]],
) -> None:
    """Decide on every connection that a log gave once and none gives now, nor the description."""
    policy, allowed = description.get("gone") or GONE[0], description.get("allow_disruption") or ()
    places = _places(declared)
    for name in earlier:
        controller = found.get(name)
        if controller is None or name in declared or name in out.named or _place(_who(controller)) in places:
            continue
        asked = users if controller.subsysnqn not in allowed else lambda _device: []
        stays = _stays(controller, policy, bool(out.unread), asked)
        if stays:
            out.connections[name] = _who(controller)
            out.named.add(name)
            out.kept.add(name)
            if stays.startswith(_USED):
                out.used.add(name)
        if not out.unread:
            out.gone[name] = stays or "disconnected"


def _stays(controller: Controller, policy: str, unsure: bool, users: Callable[[str], list[str]]) -> str:
    """Why a connection that has gone from the logs is kept, or an empty text."""
    if unsure:
        return "a log is not known"
    if controller.subsysnqn == DISCOVERY_NQN:
        return ""
    if policy != "disconnect":
        return "kept"
    users_of = {path.namespace: users(path.namespace) for path in controller.paths}
    used = [f"/dev/{namespace} is {', '.join(found)}" for namespace, found in users_of.items() if found]
    return f"{_USED}: {'; '.join(used)}" if used else ""
