# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""A host's description as boot finds it: JSON that refers to the 0600 files with DH-HMAC-CHAP secrets.

In every list of dictionaries of the description (the connections are one), the secrets of an entry are replaced by the
name of a file; entries with the same secrets share one.
"""

from __future__ import annotations

import functools
import json
import os
import re
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import secrets as _secrets
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import IOPOLICIES, PRUNE
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import LIMITS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import MODULES, OPTIONS

#: What refers to the file in an entry.
FILE = "keys"
#: Secrets that targets may have besides those of the entries, and what tells one of them from another.
EXPECTED = "expected"
_SECRETS = tuple(option.name for option in OPTIONS if option.secret)
_TEXT = Grammar(re.compile(r".+", re.DOTALL), 1000, "a text that is not empty")


@functools.lru_cache(maxsize=None)
def _shape() -> Shape:
    kinds: Mapping[str, type] = {"str": str, "int": int, "bool": bool}
    # In the place of its secrets an entry has the name of their file.
    options: dict[str, Any] = {f"{option.name}?": kinds[option.kind] for option in OPTIONS}
    options[f"{FILE}?"] = _secrets.FILE
    # Empty, they would count as not written.
    connection = {**options, "transport": tuple(MODULES), "subsysnqn": _TEXT}
    for name in ("transport?", "subsysnqn?"):
        del connection[name]
    return {
        "connections": [connection],
        "hostnqn": str,
        "hostid?": str,
        "iopolicy?": ("", *IOPOLICIES),
        "prune?": PRUNE,
        "discovery?": [connection],
        "discovered?": [options],
        "gone?": ("keep", "disconnect"),
        "discovery_interval?": int,
        "discovery_networks?": [str],
        "discovery_nqns?": [str],
        "discovery_limits?": {f"{kind}?": int for kind in LIMITS},
        f"{EXPECTED}?": [{EXPECTED: str, FILE: _secrets.FILE}],
    }


COMPONENT = state.Component("host", state.File(state.of_shape(_shape), "hosts.yml"))


def expect(entries: Sequence[Mapping[str, Any]], config_dir: str, check: bool = False) -> bool:
    """Keep the secrets of entries beside those of what was saved, until another description is; returns what changed.

    A run that changes secrets may end with some targets having the old ones and some the new ones.
    """
    saved, within = state.load(COMPONENT, config_dir), _secrets.folder(COMPONENT, config_dir)
    if saved is None:
        return False
    known = [_of(one) for one in _entries(load(config_dir) or {})]
    new = {json.dumps(one, sort_keys=True): one for one in map(_of, entries) if one and one not in known}
    there = saved.get(EXPECTED, [])
    keys = {f"{EXPECTED}-{number}": one for number, one in enumerate(new.values(), len(there) + 1)}
    if new and not check:
        files = _secrets.names(keys, {}, within)
        _secrets.write(keys, files, within)
        added = [{EXPECTED: label, FILE: files[label]} for label in keys]
        state.save(COMPONENT, {**saved, EXPECTED: [*there, *added]}, config_dir)
    return bool(new)


class Saving:
    """What saving a description takes, in two steps: the secrets before the kernel has them, the rest once it has all.

    description: what boot converges to, secrets included.
    """

    def __init__(self, description: Mapping[str, Any], config_dir: str) -> None:
        self._config_dir, self._within = config_dir, _secrets.folder(COMPONENT, config_dir)
        self._keys: dict[str, dict[str, str]] = {}
        shared: dict[tuple[tuple[str, str], ...], str] = {}
        self._entries = list(_entries(description))
        for entry in self._entries:
            secrets = _of(entry)
            label = shared.setdefault(tuple(sorted(secrets.items())), _label(entry))
            if secrets:
                self._keys[label] = secrets
        saved = state.load(COMPONENT, config_dir) or {}
        known = {_label(entry): entry[FILE] for entry in _entries(saved) if FILE in entry}
        self._files = _secrets.names(self._keys, known, self._within)
        self._content = {
            key: [self._referring(entry, shared) if isinstance(entry, dict) else entry for entry in value]
            if isinstance(value, list)
            else value
            for key, value in description.items()
        }

    def _referring(self, entry: Mapping[str, Any], shared: Mapping[tuple[tuple[str, str], ...], str]) -> dict[str, Any]:
        secrets = _of(entry)
        out = {key: value for key, value in entry.items() if key not in secrets}
        return {**out, FILE: self._files[shared[tuple(sorted(secrets.items()))]]} if secrets else out

    def is_needed(self) -> bool:
        """Whether a file would change; for check mode."""
        return state.would_save(COMPONENT, self._content, self._config_dir) or bool(self._unused())

    def write_keys(self) -> None:
        _secrets.write(self._keys, self._files, self._within)

    def expect(self) -> None:
        """Write ahead that targets may have these secrets, should this run end before all of them do."""
        expect(self._entries, self._config_dir)

    def commit(self) -> bool:
        """Make the description the one of the next boot, and remove the secrets that it does not refer to."""
        changed = state.save(COMPONENT, self._content, self._config_dir)
        unused = self._unused()
        for path in unused:
            os.unlink(path)
        return changed or bool(unused)

    def _unused(self) -> list[str]:
        return _secrets.unused(self._files.values(), self._within)


def restored(saved: Mapping[str, Any], config_dir: str) -> dict[str, Any]:
    """The saved description with its secrets, marked C(restored); C(failed) tells the entries whose cannot be read.

    These are left out.
    """
    within, out, failed = _secrets.folder(COMPONENT, config_dir), dict(saved), []
    for key, value in saved.items():
        if not isinstance(value, list):
            continue
        out[key] = []
        for entry in value:
            name = entry.get(FILE) if isinstance(entry, dict) else None
            if not name:
                out[key].append(entry)
                continue
            try:
                secrets = _secrets.read(os.path.join(within, name))
            except _secrets.Unreadable as error:
                failed.append(f"{_label(entry)}: {error}")
                continue
            out[key].append({**{key: value for key, value in entry.items() if key != FILE}, **secrets})
    return {**out, "failed": failed, "restored": True}


def load(config_dir: str) -> dict[str, Any] | None:
    """The saved description as restored() gives it, or None when none was ever applied. Raises Damaged."""
    saved = state.load(COMPONENT, config_dir)
    return None if saved is None else restored(saved, config_dir)


def _entries(description: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for value in description.values():
        if isinstance(value, list):
            yield from (entry for entry in value if isinstance(entry, dict))


def _of(entry: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry[name] for name in _SECRETS if entry.get(name)}


def _label(entry: Mapping[str, Any]) -> str:
    words = (
        entry.get(key) for key in ("transport", "traddr", "trsvcid", "host_traddr", "host_iface", "subsysnqn", EXPECTED)
    )
    # Without any of these they are the options of what discovery logs name.
    return " ".join(str(word) for word in words if word) or "discovered"
