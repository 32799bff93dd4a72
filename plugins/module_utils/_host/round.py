# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What is to be there besides what is: the description, what the discovery logs add to it, and the plan between."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from dataclasses import replace
from typing import Any, Collection, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery as _discovery
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery_options
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import identity as _host_identity
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as keeping
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.connect import Failure
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import desired, usable
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery import Followed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget, Spent
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_entry import Reading
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import BadLog, Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import Names
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, name_of, normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.plan import Plan, index, plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller, Nvme
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.device_users import members, users

#: So many connections in vain of those that logs name are told one by one; of more a log could name any number.
_TOLD = 8
#: Names of the connections that a discovery log gave, in the file of what is ours beside that of the host.
NAMED = keeping.COMPONENT._replace(name="host.discovered")


class Round:
    """One run of converging: what the description declares, looked at again whenever something was connected.

    want: all that is to be there, as of the last plan. followed: what the logs had to do with it. made: the connections
    that this run made, by name, with all their options. expected: secrets that targets may have besides the saved ones.
    budget: of what logs name, given or a new one.
    """

    def __init__(
        self,
        description: Mapping[str, Any],
        who: _host_identity.Identity,
        nvme: Nvme,
        last: Collection[str],
        budget: Budget | None = None,
    ) -> None:
        self._description, self._last = description, last
        # Only what was saved can have any: what a playbook says has to be so.
        self.expected: Sequence[Mapping[str, Any]] = description.get(keeping.EXPECTED) or ()
        discovery = discovery_options.controllers(description)
        connections = usable([*description["connections"], *discovery])
        self._names = Names(connections, [one.traddr for one in nvme.controllers])
        policies = {
            "iopolicy": description.get("iopolicy", ""),
            "prune": description.get("prune", "owned"),
            "allow_disruption": tuple(description.get("allow_disruption", ())),
            "restored": description.get("restored", False),
        }
        identity = (who.hostnqn, who.hostid, self._names.resolved)
        self._io = desired(description["connections"], *identity, description.get("failed", ()), **policies)
        self._discovery = desired(discovery, *identity)
        wrong = [f"discovery{one[len('connections') :]}" for one in self._discovery.failed]
        self._declared = replace(
            self._io,
            connections={**self._io.connections, **self._discovery.connections},
            failed=(*self._io.failed, *wrong, *discovery_options.option_errors(description)),
        )
        self.want, self.followed = self._declared, Followed()
        self.made: dict[str, Mapping[str, Any]] = {}
        # One reading of a log serves the whole run; a change after it is an event, and the next run.
        self._readings: dict[str, Reading] = {}
        self._unread: dict[str, Exception] = {}
        self.budget = budget or discovery_options.budget(description)
        self._put_off: set[str] = set()
        self._ask = True

    def plan(self, nvme: Nvme, ask: bool = True) -> Plan:
        """Follow the logs and plan. ask: whether a log that was not read yet is read; that can take its target long."""
        nvme, self._ask = self._known(nvme), ask
        using = functools.lru_cache(maxsize=None)(functools.partial(_using, nvme))
        found, before = index(nvme, self.want.hostnqn), self.followed.gone
        self.followed = _discovery.follow(
            self._description,
            self._declared.connections,
            found,
            state.owned(NAMED),
            self._read,
            using,
            self.budget,
            self._readings,
            self._last,
        )
        # What this run has disconnected is in no reading any more, and still to be told.
        earlier = {name: what for name, what in before.items() if name not in self.followed.named}
        self.followed.gone = {**earlier, **self.followed.gone}
        put_off = self._put_off - set(found)
        if put_off:
            self.followed.refused.add("", "the seconds of this round were over (discovery_limits)", len(put_off))
        named = {name: one for name, one in self.followed.connections.items() if name not in put_off}
        wanted = {**self._declared.connections, **named}
        order = sorted(wanted, key=lambda name: name in self._last)
        self.want = replace(self._declared, connections={name: wanted[name] for name in order})
        previous = {**self._previous(), **self.made}
        steps = plan(self.want, nvme, self._removable(), previous, using, _loaded, secret)
        # A discovery controller has no namespaces to spread I/O over.
        steps.operations = [one for one in steps.operations if one.about != DISCOVERY_NQN]
        return steps

    def may(self, name: str) -> bool:
        """Whether there is time left to make a connection; for a declared one there is always."""
        try:
            if name in self.followed.connections:
                self.budget.time()
        except Spent:
            self._put_off.add(name)
            return False
        return True

    def still(self, nvme: Nvme) -> Plan:
        """The plan now, by the logs as they were read: quick, and without consequences for want and followed."""
        before = self.want, self.followed
        try:
            return self.plan(nvme, ask=False)
        finally:
            self.want, self.followed = before

    def is_of_log(self, failure: Failure) -> bool:
        """Whether a connection that could not be made is one that a log names, and nobody has declared."""
        return failure.name in self.followed.connections

    def told(self, failures: Sequence[Failure]) -> list[str]:
        """A line for each connection that could not be made; one for those that logs name, when they are many."""
        of_logs = [one for one in failures if self.is_of_log(one)]
        if len(of_logs) <= _TOLD:
            return [one.text() for one in failures]
        codes = sorted({errno.errorcode.get(one.error.errno or 0, "unknown") for one in of_logs})
        rest = [one.text() for one in failures if one not in of_logs]
        return [*rest, f"{len(of_logs)} connections that discovery logs name could not be made ({', '.join(codes)})"]

    def _removable(self) -> list[str]:
        """Of what is ours, the names that may go for not being wanted any more."""
        owned = state.owned(keeping.COMPONENT)
        # A playbook that failed at one connection has made the others, and was not saved: only a playbook takes back
        # what one has described.
        return [name for name in owned if name in self.followed.gone] if self.want.restored else owned

    def found(self, nvme: Nvme) -> dict[str, Controller]:
        """The controllers by the name of their connection."""
        return index(self._known(nvme), self.want.hostnqn)

    def awaited(self, nvme: Nvme) -> list[str]:
        """What no event will tell: discovery controllers that are live and gave no log, and what is to be unused."""
        live = {name for name, one in self.found(nvme).items() if one.state == "live"}
        unread = [f"{name}: its discovery log" for name in sorted(live & set(self.followed.unread))]
        put_off = [f"{name}: to be made" for name in sorted(self._put_off - set(self.found(nvme)))]
        return [*unread, *put_off[:1], *(f"{name}: to be unused" for name in sorted(self.followed.used))]

    def own(self, after: Nvme | None = None) -> None:
        """Write down what is ours: ahead of a change all that was and will be, after it what is."""
        # What the policy left stays ours, for a run with another one.
        left = set(self.found(after)) - set(self.want.connections) if after else None
        for kept, names in ((keeping.COMPONENT, set(self.want.connections)), (NAMED, self.followed.named)):
            before = set(state.owned(kept))
            state.own(kept, sorted(names | (before if left is None else before & left)))

    def saved(self) -> dict[str, Any]:
        """What boot converges to; what logs name is not part of it."""
        return {
            **self._io.saved(),
            "discovery": [dict(one) for one in self._discovery.declared],
            "discovered": [discovery_options.discovered(self._description)],
            "gone": self._description.get("gone") or discovery_options.GONE[0],
            "discovery_interval": self._description.get("discovery_interval") or 0,
            **discovery_options.rules(self._description),
            **({keeping.EXPECTED: list(self.expected)} if self.expected else {}),
        }

    def _known(self, nvme: Nvme) -> Nvme:
        """The reading with every discovery controller under the name by which it was asked for.

        A target may give its discovery service a name of its own, which sysfs shows then.
        """
        declared = {id(one) for name, one in index(nvme, self.want.hostnqn).items() if name in self.want.connections}
        controllers = [
            replace(one, subsysnqn=DISCOVERY_NQN) if one.cntrltype == "discovery" and id(one) not in declared else one
            for one in nvme.controllers
        ]
        return replace(nvme, controllers=tuple(controllers))

    def _read(self, controller: Controller) -> Sequence[Entry]:
        if controller.name in self._unread:
            raise self._unread[controller.name]
        if not self._ask:
            raise OSError(errno.EAGAIN, "it was not read yet")
        try:
            return _discovery.kernel_log(controller, self.budget.share())
        except (OSError, BadLog, Spent) as error:
            self._unread[controller.name] = error
            raise

    def _previous(self) -> dict[str, Mapping[str, Any]]:
        """The connections last applied, by name; those whose host name has no address now are left out."""
        saved = keeping.load(state.CONFIG_DIR) or {"connections": []}
        out: dict[str, Mapping[str, Any]] = {}
        for one in map(normalise, [*saved["connections"], *discovery_options.controllers(saved)]):
            with contextlib.suppress(ValueError):
                resolved = normalise(self._names.resolved(one))
                out[name_of(resolved)] = resolved
        # Those that logs gave got the options that were saved for all of them.
        for name in set(state.owned(NAMED)) & self.followed.named & set(self.want.connections) - self.followed.kept:
            connection = self.want.connections[name]
            if connection["subsysnqn"] != DISCOVERY_NQN:
                who = {key: connection[key] for key in _discovery.WHO if key in connection}
                out.setdefault(name, normalise({**discovery_options.discovered(saved), **who}))
        return out


def _using(nvme: Nvme, device: str) -> list[str]:
    """Who uses a namespace. What is written on it counts too: LVM or md that is not running now may need it next."""
    reached = any(one.reaches(device) for one in nvme.controllers)
    return users(device) or (members(device) if reached else [])


def _loaded(module: str) -> bool:
    return os.path.isdir(f"/sys/module/{module}")
