# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What a plan would cost the hosts that are connected now. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.ana import accessible, afterwards
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, key


@dataclass
class Disruption:
    """One subsystem: ports that drop its controllers, namespaces that go (for a moment or for good), who feels it.

    inaccessible: ID of a port → IDs of the namespaces that stay but have no accessible ANA state there any more.
    """

    subsystem: str
    ports: list[str] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    inaccessible: dict[str, list[str]] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)

    def words(self) -> str:
        what = [f"drops every controller on port {', '.join(self.ports)}"] if self.ports else []
        what += [f"takes away namespace {', '.join(self.namespaces)}"] if self.namespaces else []
        what += [
            f"makes namespace {', '.join(namespaces)} inaccessible on port {port}"
            for port, namespaces in self.inaccessible.items()
        ]
        return f"subsystem {self.subsystem} is in use by {', '.join(self.hosts)} and this {' and '.join(what)}"


def forecast(
    operations: Sequence[Operation], actual: Tree, users: Mapping[tuple[str, str], list[str]], root: str
) -> list[Disruption]:
    """The disruptions of a plan. users: (port, subsystem) → hosts, see live.py."""
    if not any(users.values()):
        return []
    served: dict[str, set[str]] = {}
    for link, target in actual.links.items():
        if "/allowed_hosts/" not in link:
            served.setdefault(key(target), set()).add("/".join(link.split("/")[:2]))
    found: dict[str, Disruption] = {}
    for operation in operations:
        path = operation.path[len(root) + 1 :]
        for nqn, port, namespace in _hit(operation, path, actual, served):
            hosts = users.get((port, nqn), [])
            if hosts:
                one = found.setdefault(nqn, Disruption(nqn))
                _add(one.ports if not namespace else one.namespaces, namespace or key(port))
                one.hosts = sorted({*one.hosts, *hosts})
    for port, namespace in _hidden(operations, actual, root):
        nqn = namespace.split("/")[1]
        if users.get((port, nqn)):
            one = found.setdefault(nqn, Disruption(nqn))
            _add(one.inaccessible.setdefault(key(port), []), key(namespace))
            one.hosts = sorted({*one.hosts, *users[port, nqn]})
    return list(found.values())


def _add(to: list[str], item: str) -> None:
    if item not in to:
        to.append(item)


def _hidden(operations: Sequence[Operation], actual: Tree, root: str) -> list[tuple[str, str]]:
    """(port, namespace) that a host can use now, and cannot once all is done although both are still there."""
    tree = afterwards(actual, operations, root)
    then = accessible(tree)
    return [
        (port, namespace)
        for port, namespace in accessible(actual)
        if (port, namespace) not in then
        and tree.objects.get(namespace, Object("namespace")).attributes.get("enable") == "1"
        and f"{port}/subsystems/{namespace.split('/')[1]}" in tree.links
    ]


def _hit(operation: Operation, path: str, actual: Tree, served: Mapping[str, set[str]]) -> list[tuple[str, str, str]]:
    """(subsystem, port, namespace) that an operation disrupts; no namespace: the controllers themselves."""
    parts = path.split("/")
    if operation.verb == "unlink" and parts[0] == "ports" and path in actual.links:
        return [(parts[3], "/".join(parts[:2]), "")]
    if parts[0] != "subsystems" or len(parts) < 3:
        return []
    ports = sorted(served.get(parts[1], ()))
    if parts[2] == "attr_qid_max":
        return [(parts[1], port, "") for port in ports]
    if parts[2] in ("namespaces", "passthru") and _takes_away(operation, path, actual):
        return [(parts[1], port, parts[3] if parts[2] == "namespaces" else "passthru") for port in ports]
    return []


def _takes_away(operation: Operation, path: str, actual: Tree) -> bool:
    """Whether a namespace that is served now stops being so; an identity changes only while it is closed."""
    closes = operation.verb == "write" and key(path) == "enable" and operation.value == "0"
    found = actual.objects.get(path.rpartition("/")[0] if closes else path)
    return (closes or operation.verb == "rmdir") and found is not None and found.attributes.get("enable") == "1"
