# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What each file of ours holds, by its name: a key that a release adds to a file is a line here.

Values that a playbook writes too (options of a connection, attributes of nvmet, the plan of a network) are judged where
those of a playbook are; here is what has to be before anything can judge them. A file of an older release has what that
release wrote: what was added since may be missing. A key that is not here is of a newer release, and its meaning is not
known: the file is refused.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Callable, Mapping, NamedTuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import GRAMMARS, Grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape, check

_KEY_FILE = Grammar(
    re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9.:_-]+", re.ASCII), 255, "the name of a key file, without a folder"
)
# Whatever somebody called the packages of a kernel of his own.
_PACKAGE = Grammar(re.compile(r"[A-Za-z0-9][A-Za-z0-9+._~-]*", re.ASCII), 255, "the name of a package")
_TEXT = Grammar(re.compile(r".+", re.DOTALL), 1000, "a text that is not empty")
_PRUNE = ("owned", "all", "none")


class File(NamedTuple):
    """check: raises ValueError for what it cannot hold. playbook: writes it anew. loss: what a damaged one loses."""

    check: Callable[[Any], None]
    playbook: str
    loss: str = ""


def _of(shape: Callable[[], Shape]) -> Callable[[Any], None]:
    return lambda found: check(found, shape())


# Each imports what it needs alone: a boot and a shutdown wait for it.
def _network(found: Any) -> None:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import description

    description.check(found)


@functools.lru_cache(maxsize=None)
def _target() -> Shape:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS

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

    return {"target": inside("nvmet"), "prune?": _PRUNE, "keys?": {...: _KEY_FILE}}


@functools.lru_cache(maxsize=None)
def _host() -> Shape:
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import LIMITS
    from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import MODULES, OPTIONS

    kinds: Mapping[str, type] = {"str": str, "int": int, "bool": bool}
    # In the place of its secrets an entry has the name of their file.
    options: dict[str, Any] = {f"{option.name}?": kinds[option.kind] for option in OPTIONS}
    options["keys?"] = _KEY_FILE
    # Empty, they would count as not written.
    connection = {**options, "transport": tuple(MODULES), "subsysnqn": _TEXT}
    for name in ("transport?", "subsysnqn?"):
        del connection[name]
    return {
        "connections": [connection],
        "hostnqn": str,
        "hostid?": str,
        "iopolicy?": ("", "numa", "round-robin", "queue-depth"),
        "prune?": _PRUNE,
        "discovery?": [connection],
        "discovered?": [options],
        "gone?": ("keep", "disconnect"),
        "discovery_interval?": int,
        "discovery_networks?": [str],
        "discovery_nqns?": [str],
        "discovery_limits?": {f"{kind}?": int for kind in LIMITS},
        "expected?": [{"expected": str, "keys": _KEY_FILE}],
    }


def _kernel() -> Shape:
    release = GRAMMARS["kernel release"]
    trial = {
        "release": release,
        "previous": str,
        "timeout": range(10**7),
        "boot": str,
        "since": int,
        "guard": str,
        "kept?": bool,
    }
    return {"trial?": (trial, None), "proven?": [release], "installed?": {...: [_PACKAGE]}}


_UNOWNED = "what earlier runs made counts as made by others, and is not removed without being asked"

FILES: Mapping[str, File] = {
    "mptcp.json": File(_network, "networks.yml"),
    "target.json": File(_of(_target), "targets.yml"),
    "host.json": File(_of(_host), "hosts.yml"),
    "kernel.json": File(_of(_kernel), "kernels.yml", "kernels that were tried before stay installed"),
    "mptcp.owned.json": File(_of(lambda: [str]), "networks.yml", _UNOWNED),
    "target.owned.json": File(_of(lambda: [str]), "targets.yml", _UNOWNED),
    "host.owned.json": File(_of(lambda: [str]), "hosts.yml", _UNOWNED),
    "host.discovered.owned.json": File(_of(lambda: [str]), "hosts.yml", _UNOWNED),
    "target.interrupted.json": File(
        _of(lambda: {"links": {...: str}, "namespaces": {...: {...: str}}}),
        "targets.yml",
        "what others had linked to our ports has to be linked again by them",
    ),
    "target.sizes.json": File(_of(lambda: {...: int}), "targets.yml"),
}

#: Of a file of keys: options of the fabrics device, or attributes of nvmet.
KEYS: Shape = {f"{name}?": str for name in ("dhchap_secret", "dhchap_ctrl_secret", "dhchap_key", "dhchap_ctrl_key")}
