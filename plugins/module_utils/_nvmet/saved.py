# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""A target's description as boot finds it: JSON that refers to the files with the hosts' DH-HMAC-CHAP keys."""

from __future__ import annotations

import functools
import os
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import secrets, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import HOST, KINDS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.prune import CHOICES
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, describe, key, label


@functools.lru_cache(maxsize=None)
def _shape() -> Shape:
    def inside(name: str) -> dict[str, Any]:
        kind = KINDS[name]
        found: dict[str, Any] = {f"{row.name}?": (str, int, float, bool, None) for row in kind.attributes}
        found.update({f"{word}?": bool for word in kind.words})
        if kind.key:
            found[kind.key] = (str, int)
        found.update({f"{group}?": ([inside(inner)], None) for group, inner in kind.groups.items()})
        found.update({f"{link}?": ([str], None) for link in kind.links})
        found.update({f"{fixed}?": (inside(fixed), None) for fixed in kind.fixed})
        return found

    return {"target": inside("nvmet"), "prune?": CHOICES, "keys?": {...: secrets.FILE}}


COMPONENT = state.Component("target", state.File(state.of_shape(_shape), "targets.yml"))


def load(config_dir: str) -> Mapping[str, Any]:
    """What was saved, or nothing. Raises ValueError when it is damaged."""
    return state.load(COMPONENT, config_dir) or {}


def served(saved: Mapping[str, Any]) -> set[str]:
    """Paths of the devices that the saved description served."""
    subsystems = saved.get("target", {}).get("subsystems") or []
    found = [one for each in subsystems for one in [*(each.get("namespaces") or []), each.get("passthru") or {}]]
    return {one["device_path"] for one in found if isinstance(one.get("device_path"), str)}


class Saving:
    """What saving a description takes, in two steps: the keys before the kernel has them, the rest once it has all."""

    def __init__(self, wanted: Tree, prune: str, config_dir: str) -> None:
        self._config_dir, self._within = config_dir, secrets.folder(COMPONENT, config_dir)
        self._keys = _keys(wanted)
        known = load(config_dir).get("keys", {})
        self._files = secrets.names(self._keys, known, self._within)
        self._content = {"prune": prune, "target": describe(wanted), "keys": self._files}

    def is_needed(self) -> bool:
        """Whether a file would change; for check mode."""
        return state.would_save(COMPONENT, self._content, self._config_dir) or bool(self._unused())

    def write_keys(self) -> None:
        secrets.write(self._keys, self._files, self._within)

    def commit(self) -> None:
        """Make the description the one of the next boot, and remove the keys that it does not refer to."""
        state.save(COMPONENT, self._content, self._config_dir)
        for path in self._unused():
            os.unlink(path)

    def _unused(self) -> list[str]:
        return secrets.unused(self._files.values(), self._within)


def keep_keys(wanted: Tree, actual: Tree, known: Mapping[str, str], config_dir: str) -> list[str]:
    """Add to the described hosts the keys that they have and that nobody wrote: those of nvmet, else the saved ones.

    nvmet cannot forget a key but with its host, so leaving one out must not make boot forget it.
    known: NQN → name of its saved key file. Returns a sentence for each host whose keys are saved but cannot be read.
    """
    problems = []
    for path, host in wanted.objects.items():
        if host.kind == HOST.name:
            live = actual.objects.get(path, host).attributes
            have = {row.name: live[row.name] for row in HOST.attributes if row.secret and row.name in live}
            file, saved = known.get(key(path)), {}
            try:
                saved = secrets.read(os.path.join(secrets.folder(COMPONENT, config_dir), file)) if file else {}
            except secrets.Unreadable as error:
                if not {**have, **host.attributes}.get("dhchap_key"):
                    problems.append(f"{label(path)}: {error}; or write dhchap_key, the host is not let in without it")
            host.attributes = {**saved, **have, **host.attributes}
    return problems


def _keys(tree: Tree) -> dict[str, dict[str, str]]:
    names = [row.name for row in HOST.attributes if row.secret]
    hosts = {key(path): found.attributes for path, found in tree.objects.items() if found.kind == HOST.name}
    found = {nqn: {name: of[name] for name in names if name in of} for nqn, of in hosts.items()}
    return {nqn: keys for nqn, keys in found.items() if keys}


def restored(saved: Mapping[str, Any], config_dir: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The saved description with its keys, and host NQN → why its keys cannot be read."""
    within, hosts, unreadable = secrets.folder(COMPONENT, config_dir), [], {}
    for host in saved["target"].get("hosts") or []:
        name, keys = saved.get("keys", {}).get(host["nqn"]), {}
        try:
            keys = secrets.read(os.path.join(within, name)) if name else {}
        except secrets.Unreadable as error:
            unreadable[host["nqn"]] = str(error)
        hosts.append({**host, **keys})
    return {**saved["target"], "hosts": hosts}, unreadable
