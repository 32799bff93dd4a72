# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Desired and actual → the ordered operations between them. Pure.

Order: hosts, subsystems with their namespaces, ports, and only then what goes, from the outside in. Something goes
earlier only where nvmet or a host cannot bear both: an address that another port takes over, an identity or a device
that another namespace takes over, namespaces that make room for passthru or for others in a full subsystem, a list of
hosts that becomes "any", a subsystem whose NQN the discovery NQN takes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Collection, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.changes import changes
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.consistency import (
    IP_TRANSPORTS,
    NAMESPACES_MAX,
    WILDCARDS,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.identity import less, marks, remade, whole
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.prune import removals
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import (
    Object,
    Tree,
    is_builtin,
    key,
    label,
    parent,
)

# What goes, from the outside in; an object's kind, or the folder of a link.
_LAST = ("subsystems", "referral", "ana_group", "port", "allowed_hosts", "namespace", "subsystem", "host")


@dataclass
class Plan:
    """operations: what to do, in order. created, removed: paths that they make and remove. kept: see removals()."""

    operations: list[Operation] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def plan(
    desired: Tree,
    actual: Tree,
    owned: Collection[str],
    prune: str,
    root: str,
    same: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """The operations that bring actual to desired, touching nothing that is equal in both. same: see aliases()."""
    return _Planner(desired, actual, owned, prune, root, same).run()


class _Planner:
    def __init__(
        self, desired: Tree, actual: Tree, owned: Collection[str], prune: str, root: str, same: Mapping[str, str]
    ) -> None:
        self.same, self.remade = same, remade(desired, actual, same)
        self.desired, self.actual, self.root = whole(desired, actual, self.remade), less(actual, self.remade), root
        self.going, kept = removals(desired, actual, owned, prune)
        self.plan = Plan(removed=sorted(self.going), kept=kept)
        self.done: set[str] = set()
        self.inside: dict[str, list[str]] = {}
        for path in [*desired.objects, *desired.links]:
            self.inside.setdefault(parent(path), []).append(path)
        self.identities: dict[tuple[str, str], list[str]] = {}
        for path, found in actual.objects.items():
            if found.kind == "namespace" and (path in self.going or path in self.remade):
                for mark in marks(found, same):
                    self.identities.setdefault(mark, []).append(path)

    def run(self) -> Plan:
        self._discovery()
        self._object("")
        for path in self._of("host"):
            self._object(path)
        for path in self._of("subsystem"):
            self._subsystem(path)
        self._ports(self._of("port"))
        last: dict[str, list[str]] = {}
        for path in sorted(self.going):
            found = self.actual.objects.get(path)
            last.setdefault(found.kind if found else path.split("/")[-2], []).append(path)
        for kind in _LAST:
            self._remove(last.get(kind, []))
        return self.plan

    def _discovery(self) -> None:
        """Subsystems that go leave first where the new discovery NQN is how theirs begins."""
        values = [value for row, value in changes(self.desired, self.actual, "") if row.name == "discovery_nqn"]
        for path in [path for path in self._going("subsystems/") if path.count("/") == 1] if values else []:
            if key(path).startswith(values[0]):
                links = [link for link in self.going if self.actual.links.get(link) == path]
                self._remove([*sorted(links), *self._going(f"{path}/"), path])

    def _of(self, kind: str) -> list[str]:
        return [path for path, found in self.desired.objects.items() if found.kind == kind]

    def _subsystem(self, path: str) -> None:
        want = self.desired.objects[path].attributes
        if want.get("allow_any_host") == "1":
            self._remove(self._going(f"{path}/allowed_hosts/"))
        self._object(path)
        passthru = f"{path}/passthru"
        serves = self.desired.objects[passthru].attributes.get("enable") == "1"
        if serves:
            self._remove(self._going(f"{path}/namespaces/"))
            self._release(self.desired.objects[passthru].attributes.get("device_path"), passthru)
        self._object(passthru)
        # From here on it holds what it was given, for _release().
        have = self.actual.objects.get(passthru, Object("passthru"))
        self.actual.objects[passthru] = Object(
            "passthru", {**have.attributes, **self.desired.objects[passthru].attributes}
        )
        namespaces = [name for name in self._inside(path, self.desired.objects) if name != passthru]
        going = self._going(f"{path}/namespaces/")
        if going and len({*namespaces, *self._there(path)}) > NAMESPACES_MAX:
            self._remove(going)
        for name in namespaces:
            self._namespace(name)
        for name in self._inside(path, self.desired.links):
            self._link(name)

    def _there(self, subsystem: str) -> list[str]:
        return [path for path in self.actual.objects if path.startswith(f"{subsystem}/namespaces/")]

    def _release(self, controller: str | None, taker: str) -> None:
        """Close what passes the controller through now: nvmet gives it to one subsystem alone."""
        for path, found in self.actual.objects.items():
            holds = found.kind == "passthru" and found.attributes.get("enable") == "1" and path != taker
            other = self.desired.objects.get(path)
            if holds and found.attributes.get("device_path") == controller and (other or parent(path) in self.going):
                self._do("write", f"{path}/enable", "0")
                self.actual.objects[path] = Object("passthru", {**found.attributes, "enable": "0"})

    def _namespace(self, path: str) -> None:
        for mark in marks(self.desired.objects[path], self.same):
            self._remove(self.identities.get(mark, []))
        self._remove([path] if path in self.remade else [])
        self._object(path)

    def _ports(self, ports: list[str]) -> None:
        moving = [path for path in ports if path in self.actual.objects and self._moves(path)]
        closed = [link for path in moving for link in self.actual.links if link.startswith(f"{path}/subsystems/")]
        opening = [path for path in ports if path in moving or not self._is_open(path)]
        for path in self._going("ports/"):
            if path in self.actual.objects and any(self._collide(path, other) for other in opening):
                self._remove(self._going(f"{path}/subsystems/"))
        for link in closed:
            self._unlink(link)
        for path in ports:
            self._object(path)
            for name in self._inside(path, self.desired.objects):
                self._object(name)
        for path in ports:
            for link in self._inside(path, self.desired.links):
                self._link(link)
        for link in closed:
            if link not in self.going and link not in self.desired.links:
                self._symlink(link, self.actual.links[link])

    def _inside(self, path: str, which: Collection[str]) -> list[str]:
        return [name for name in self.inside.get(path, []) if name in which]

    def _moves(self, port: str) -> bool:
        """Whether the port has to be closed for a change."""
        return any(row.gate for row, _value in changes(self.desired, self.actual, port))

    def _is_open(self, port: str) -> bool:
        return any(link.startswith(f"{port}/subsystems/") for link in self.actual.links)

    def _collide(self, old: str, new: str) -> bool:
        """Whether two ports cannot listen at the same time."""
        have, want = self.actual.objects[old].attributes, self.desired.objects[new].attributes
        if not all(place.get("trtype") in IP_TRANSPORTS for place in (have, want)):
            return False
        addresses = {have.get("traddr"), want.get("traddr")}
        return have.get("trsvcid") == want.get("trsvcid") and (len(addresses) == 1 or bool(addresses & WILDCARDS))

    def _object(self, path: str) -> None:
        """Make the object where it is missing and write what differs."""
        new = path not in self.actual.objects
        if new and not is_builtin(self.desired, path):
            self._do("mkdir", path)
            self.plan.created += [] if path in self.remade else [path]
        for row in KINDS[self.desired.objects[path].kind].attributes:
            if row.secret and row.name in self.desired.objects[path].attributes:
                self._hide(f"{path}/{row.file}", new)
        for row, value in changes(self.desired, self.actual, path):
            self._do("write", f"{path}/{row.file}" if path else row.file, value, row.secret)

    def _hide(self, file: str, new: bool) -> None:
        """Before a key is in it, and also when it was there before: nvmet makes the file readable for everyone."""
        if new or file in self.actual.exposed:
            self._do("chmod", file, "0600")

    def _link(self, link: str) -> None:
        if link not in self.actual.links:
            self.plan.created.append(link)
        if link not in self.actual.links or link in self.done:
            self._symlink(link, self.desired.links[link])

    def _symlink(self, link: str, target: str) -> None:
        self._do("symlink", link, f"{self.root}/{target}")

    def _unlink(self, link: str) -> None:
        if link not in self.done:
            self.done.add(link)
            self._do("unlink", link)

    def _going(self, prefix: str) -> list[str]:
        return sorted(path for path in self.going if path.startswith(prefix))

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            if path in self.actual.links:
                self._unlink(path)
            elif path not in self.done:
                self.done.add(path)
                self._do("rmdir", path)

    def _do(self, verb: str, path: str, value: str = "", secret: bool = False) -> None:
        about = label(path.rpartition("/")[0] if verb in ("write", "chmod") else path)
        self.plan.operations.append(Operation(verb, f"{self.root}/{path}", value, about=about, secret=secret))
