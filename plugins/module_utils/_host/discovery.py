# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What the discovery logs add to a description: connections to what they name, and what becomes of those that went."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, Callable, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery_log as _discovery_log
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.admin import discovery_log
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_allowed import Allowed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget, Spent
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_entry import Reading, Refused, judged
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import BadLog, Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_options import GONE, discovered
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_remembered import addresses_of, remembered
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller

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
    is not known now, each with the reason; nothing counts as gone meanwhile. refused: what logs name and is not
    connected. foreign: what is connected and would be refused now.
    remembered: what is to be there because a log named it last, while the log is out of reach.
    """

    connections: dict[str, Connection] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    gone: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    refused: Refused = field(default_factory=Refused)
    foreign: list[str] = field(default_factory=list)
    remembered: set[str] = field(default_factory=set)

    def notes(self) -> list[str]:
        """One line for each thing that a person should know, and one for all that was refused."""
        return [
            *(f"{name} is in no discovery log any more: {what}" for name, what in self.gone.items()),
            *(f"{name}: its discovery log is not known: {why}" for name, why in self.unread.items()),
            *filter(None, [self.refused.text()]),
            *(f"{name}: no log may name it; it stays, but is not made anew" for name in self.foreign),
            *(f"{name} is wanted as a discovery log named it last" for name in sorted(self.remembered)),
        ]


def kernel_log(controller: Controller, budget: Budget) -> list[Entry]:
    """The log of a controller of this machine. Raises OSError, BadLog or Spent."""
    return _discovery_log.read(discovery_log(controller.name), budget)


def follow(
    description: Mapping[str, Any],
    declared: Mapping[str, Connection],
    found: Mapping[str, Controller],
    earlier: Sequence[str],
    read_log: ReadLog,
    users: Callable[[str], list[str]],
    budget: Budget,
    readings: dict[str, Reading],
    lost: Collection[str] = (),
) -> Followed:
    """Read the log of every discovery controller that is live, referrals included, and say what follows.

    declared: connections of the description by name, discovery controllers among them. found: this host's controllers
    by the name of their connection. earlier: names that logs gave before. users: who uses a namespace, by its name.
    budget: what all of it may come to. readings: logs that were read already, by their controllers' names; the others
    are added. lost: names of connections that could not be made a moment ago; they come after others, and what was
    known of such a discovery controller's log counts until it can be read.
    """
    out = Followed()
    options, there = discovered(description), {name: found[name] for name in earlier if name in found}
    allowed = Allowed.of(description, declared.values(), addresses_of(earlier))
    waiting = [(name, one, 0) for name, one in declared.items() if _refers(one)]
    seen = {name for name, _one, _depth in waiting}
    roots, places = [one for _name, one, _depth in waiting], _places(declared)
    logs: list[dict[str, Connection]] = []
    if not waiting:
        return out
    for name, controller in there.items():
        # What is there stays, whatever is allowed now: a person decides when I/O ends.
        budget.hold(_kind(_who(controller)), name)
    while waiting:
        name, discovery, depth = waiting.pop(0)
        reading = _reading(name, found.get(name), read_log, readings, out, (discovery, options, allowed))
        _keep_foreign(reading.outside, declared, there, out)
        # What is declared from a local address or interface of its own is not connected a second time.
        named = {other: one for other, one in reading.named.items() if other in declared or _place(one) not in places}
        logs.append({other: one for other, one in named.items() if not _refers(one)})
        for other, one in named.items():
            if _refers(one) and other not in seen and depth < DEPTH and _admit(other, one, declared, budget, out):
                seen.add(other)
                waiting.append((other, one, depth + 1))
        if not waiting and out.unread:
            waiting = _referred(out, seen, roots, places, there)
    for other, one in _in_turn(logs, lost):
        _admit(other, one, declared, budget, out)
    if set(out.unread) & set(declared) & set(lost) - set(found):
        last = remembered(sorted(set(earlier) - set(found) - set(declared) - out.named), roots, options)
        new = {name: one for name, one in last.items() if _place(one) not in places and not allowed.why_not(one)}
        out.remembered.update(name for name, one in new.items() if _admit(name, one, declared, budget, out))
    _gone(out, description, declared, found, earlier, users)
    return out


def _reading(
    name: str,
    controller: Controller | None,
    read_log: ReadLog,
    readings: dict[str, Reading],
    out: Followed,
    judge_by: tuple[Connection, Connection, Allowed],
) -> Reading:
    """What one log names, or nothing with the reason in out."""
    if controller is None or controller.state != "live":
        out.unread[name] = "it is not connected" if controller is None else f"it is {controller.state}"
        return Reading()
    try:
        if controller.name not in readings:
            readings[controller.name] = judged(read_log(controller), *judge_by)
    except (OSError, BadLog, Spent) as error:
        out.unread[name] = getattr(error, "strerror", "") or str(error)
        return Reading()
    reading = readings[controller.name]
    for why, (count, example) in reading.refused.by_reason.items():
        out.refused.add(example, why, count)
    return reading


def _keep_foreign(
    outside: Collection[str], declared: Mapping[str, Connection], there: Mapping[str, Controller], out: Followed
) -> None:
    for name in sorted(there.keys() & set(outside) - declared.keys() - out.named):
        out.connections[name] = _who(there[name])
        out.named.add(name)
        out.kept.add(name)
        out.foreign.append(name)


def _admit(
    name: str, connection: Connection, declared: Mapping[str, Connection], budget: Budget, out: Followed
) -> bool:
    """Whether a connection that a log may name is to be there."""
    try:
        if name not in declared:
            budget.admit(_kind(connection), name)
            out.connections.setdefault(name, connection)
    except Spent as error:
        # Not which: in the next round it is another's turn, and the line would be another one.
        out.refused.add("", str(error))
        return False
    out.named.add(name)
    return True


def _refers(connection: Connection) -> bool:
    return bool(connection["subsysnqn"] == DISCOVERY_NQN)


def _kind(connection: Connection) -> str:
    return "referrals" if _refers(connection) else "connections"


def _in_turn(logs: Sequence[Mapping[str, Connection]], lost: Collection[str]) -> list[tuple[str, Connection]]:
    """One of each log after the other, so that a long log leaves room for the others; what was in vain comes last."""
    turns = itertools.zip_longest(*(log.items() for log in logs))
    return sorted((one for turn in turns for one in turn if one), key=lambda one: one[0] in lost)


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


def _who(controller: Controller) -> dict[str, str]:
    return {key: getattr(controller, key) for key in WHO if getattr(controller, key)}


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
