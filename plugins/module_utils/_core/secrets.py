# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Keys at rest: one 0600 file for each NQN, which a saved description only refers to.

A key that changes gets a file of another name. What is saved is therefore the one commit: a run that is refused or
killed leaves the old description with the old keys.
"""

from __future__ import annotations

import json
import os
import re
import stat
from typing import Iterable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import make_folders
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.shape import Shape, Unfit, check
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import (
    Component,
    read_checked,
    replace_file,
    writing,
)

#: NQN → its keys by the name of their option, for example C(dhchap_key).
Keys = Mapping[str, Mapping[str, str]]
#: Of a file of keys: options of the fabrics device, or attributes of nvmet.
_KEYS: Shape = {f"{name}?": str for name in ("dhchap_secret", "dhchap_ctrl_secret", "dhchap_key", "dhchap_ctrl_key")}
#: How a saved description refers to one.
FILE = Grammar(re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9.:_-]+", re.ASCII), 255, "the name of a key file, without a folder")


class Unreadable(Exception):
    """A key file cannot be used; the message names the file, the reason and the remedy, and never what is in it."""


def folder(component: Component, config_dir: str) -> str:
    """Where the keys of one component are; no other one writes or removes files there."""
    return os.path.join(config_dir, "keys", component.name)


def read(path: str) -> dict[str, str]:
    """The keys in one file. Raises Unreadable, also for a file that others than its owner may read."""
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        found = read_checked(path, lambda keys: check(keys, _KEYS))
    except FileNotFoundError:
        raise Unreadable(f"key file {path} is missing; run the playbook again, which writes it") from None
    except OSError as error:
        raise Unreadable(f"key file {path} cannot be read ({error.strerror}); run the playbook again") from None
    except Unfit:
        # What is wrong in it is not told: it may be a key.
        mode, found = 0, None
    if mode & 0o077:
        raise Unreadable(
            f"key file {path} has mode {mode:04o}, so others may know the keys; give that host new ones and run the "
            "playbook again, or chmod 0600 the file if nobody has read it"
        )
    # An empty file would let a host in that proves nothing.
    if not found:
        raise Unreadable(f"key file {path} does not hold keys; run the playbook again, which writes it")
    return dict(found)


def names(wanted: Keys, known: Mapping[str, str], within: str) -> dict[str, str]:
    """NQN → name of the file of its keys: the known one while it holds these very keys, else one that is new."""
    return {nqn: _name(nqn, keys, known.get(nqn, ""), within) for nqn, keys in wanted.items()}


def _name(nqn: str, keys: Mapping[str, str], known: str, within: str) -> str:
    try:
        if known and read(os.path.join(within, known)) == dict(keys):
            return known
    except Unreadable:
        pass
    # Readable for a person, unique by chance, and at most 167 of the 255 bytes of a file name, whatever the NQN.
    return f"{re.sub('[^A-Za-z0-9.:_-]', '_', nqn)[:150]}.{os.urandom(8).hex()}"


def write(wanted: Keys, files: Mapping[str, str], within: str) -> None:
    """Write the files that do not exist yet; files is what names() gave."""
    for nqn, name in files.items():
        path = os.path.join(within, name)
        if not os.path.exists(path):
            with writing(path):
                # keys/NAME below the folder of the descriptions, which everybody may look into.
                make_folders(os.path.dirname(os.path.dirname(within)), 0o755)
                make_folders(within, 0o700)
            replace_file(path, json.dumps(dict(wanted[nqn]), indent=2, sort_keys=True) + "\n", 0o600)


def unused(files: Iterable[str], within: str) -> list[str]:
    """Paths of the files that nothing refers to: of hosts that went, of keys that changed, of a run that failed."""
    try:
        found = os.listdir(within)
    except FileNotFoundError:
        return []
    return sorted(os.path.join(within, name) for name in set(found) - set(files))
