# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The declared connections of a host, checked and with addresses in place of names. No I/O but what resolved does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import derived
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import (
    errors,
    name_of,
    normalise,
    nqn_errors,
)

IOPOLICIES = ("numa", "round-robin", "queue-depth")
PRUNE = ("owned", "all", "none")


class Invalid(ValueError):
    """The description cannot be; each error names the object, the value and the remedy."""

    def __init__(self, found: Sequence[str]) -> None:
        self.errors = list(found)
        super().__init__("; ".join(found))


@dataclass(frozen=True)
class Desired:
    """What is described of a host: connections by name, who this host is, and the policies.

    declared: the connections as they are written, names in place. failed: why the others cannot be made; while there is
    one, nothing is pruned, because it is not known which controller is the one that was meant.
    restored: it was saved by an earlier run; a later one that failed may have given live controllers and their targets
    other secrets.
    """

    # Not shown in a traceback: it holds secrets.
    connections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    hostnqn: str
    hostid: str
    iopolicy: str = ""
    prune: str = "owned"
    allow_disruption: tuple[str, ...] = ()
    declared: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    failed: tuple[str, ...] = ()
    restored: bool = False

    def saved(self) -> dict[str, Any]:
        """What boot converges to: the identity is the one in use, names stay names, a disruption is allowed once."""
        return {
            "connections": [dict(one) for one in self.declared],
            "hostnqn": self.hostnqn,
            "hostid": self.hostid,
            "iopolicy": self.iopolicy,
            "prune": self.prune,
        }


def usable(connections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The normal form of the connections that have no mistake."""
    return [normalise(one) for one in connections if not errors(one)]


def desired(
    connections: Sequence[Mapping[str, Any]],
    hostnqn: str,
    hostid: str,
    resolved: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda connection: connection,
    failed: Sequence[str] = (),
    **policies: Any,
) -> Desired:
    """The checked description; a connection that cannot be is told in failed and does not keep back the others.

    resolved: puts addresses in place of names, or raises ValueError. failed: what is known already.
    Raises Invalid for a host NQN that cannot be.
    """
    if hostnqn and nqn_errors("hostnqn", hostnqn):
        raise Invalid(nqn_errors("hostnqn", hostnqn))
    told, declared, by_name = list(failed), [], {}
    identifiers = {hostnqn: hostid}
    for index, connection in enumerate(connections):
        wrong = errors(connection)
        if not wrong:
            declared.append(normalise(connection))
            try:
                one = _with_identity(normalise(resolved(declared[-1])), hostnqn, identifiers)
                if name_of(one) in by_name:
                    raise ValueError(f"is the connection {name_of(one)!r} a second time; remove one of the two")
                by_name[name_of(one)] = one
            except ValueError as error:
                wrong = [str(error)]
        told += [f"connections[{index}] ({connection.get('subsysnqn')}): {one}" for one in wrong]
    return Desired(by_name, hostnqn, hostid, declared=tuple(declared), failed=tuple(told), **policies)


def _with_identity(connection: dict[str, Any], hostnqn: str, identifiers: dict[str, str]) -> dict[str, Any]:
    """The connection with both parts of a host identity of its own, or with none where it is the host's."""
    if "hostnqn" not in connection:
        return connection
    nqn = connection["hostnqn"]
    identifier = str(connection.get("hostid") or identifiers.get(nqn) or derived(nqn)).lower()
    for other_nqn, other in identifiers.items():
        if (other_nqn == nqn) != (other == identifier):
            raise ValueError(
                f"hostnqn {nqn} with hostid {identifier} contradicts {other_nqn} with {other} of this host; the kernel "
                "allows one identifier for a name and one name for an identifier"
            )
    identifiers[nqn] = identifier
    rest = {key: value for key, value in connection.items() if key not in ("hostnqn", "hostid")}
    return rest if nqn == hostnqn else {**rest, "hostnqn": nqn, "hostid": identifier}
