# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What survives a reboot: one JSON file per slice (mptcp, target, host), and what we own.

The description is renamed into place only after an apply succeeded, so a refused plan is not applied at the next boot.
Ownership is written ahead of an apply, so a killed run neither forgets nor adopts anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from typing import Any, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation, put

#: The saved descriptions; also what the boot units converge to.
CONFIG_DIR = "/etc/nvmeof-mptcp"
#: What an earlier description of ours created, per slice.
OWNED_DIR = "/var/lib/nvmeof-mptcp"
SLICES = ("mptcp", "target", "host")


class Damaged(ValueError):
    """A file of ours does not hold what we write; only a playbook or a person mends that."""


class Unsaved(OSError):
    """A file of ours could not be written; the old one stays. applied: what had been done to the system before."""

    def __init__(self, code: int, reason: str, path: str) -> None:
        super().__init__(code, reason, path)
        self.applied: list[Operation] = []

    def __str__(self) -> str:
        name = errno.errorcode.get(self.errno or 0, str(self.errno))
        remedy = _REMEDIES.get(self.errno or 0, "Correct that")
        done = f" {len(self.applied)} operation(s) were applied before and stay." if self.applied else ""
        return f"{self.filename} could not be written: {name}, {self.strerror}.{done} {remedy}, and run again."


_REMEDIES = {
    errno.ENOSPC: "Free space or inodes on its file system",
    errno.EDQUOT: "Raise root's quota on its file system",
    errno.EROFS: "Mount its file system for writing",
}


@contextlib.contextmanager
def telling() -> Iterator[list[Operation]]:
    """The list of what was applied; Unsaved gets it on its way out."""
    applied: list[Operation] = []
    try:
        yield applied
    except Unsaved as unsaved:
        unsaved.applied = applied
        raise


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Raises Unsaved for a failure to write path."""
    try:
        yield
    except OSError as error:
        raise Unsaved(error.errno or 0, error.strerror or str(error), path) from error


def replace_file(path: str, content: str | bytes, mode: int = 0o600) -> None:
    """Rename a file into place, so that a reader sees the old content or the new one, also after a crash.

    Raises Unsaved.
    """
    with writing(path):
        put(path, content, mode)


def read_json(path: str) -> Any | None:
    """What a file of ours holds, or None when it does not exist. Raises Damaged."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Damaged(f"{path} is not valid JSON ({error}); remove it and run the playbook again") from None


def load(slice_name: str, config_dir: str = CONFIG_DIR) -> dict[str, Any] | None:
    """The saved description of a slice, or None when none was ever applied. Raises Damaged."""
    path = os.path.join(config_dir, f"{slice_name}.json")
    found = read_json(path)
    if found is not None and not isinstance(found, dict):
        raise damaged(path)
    return found


def saved(config_dir: str = CONFIG_DIR) -> list[str]:
    """The slices of which a description was saved, so those that a playbook has deployed here."""
    return [name for name in SLICES if os.path.exists(os.path.join(config_dir, f"{name}.json"))]


def damaged(path: str, then: str = "run the playbook again, which writes it anew") -> Damaged:
    """The error of a file of ours that is JSON but does not hold what we write."""
    return Damaged(f"{path} does not hold what this collection wrote; remove it and {then}")


def save(slice_name: str, description: dict[str, Any], config_dir: str = CONFIG_DIR) -> bool:
    """Keep an applied description for the next boot; returns whether the file changed."""
    path = os.path.join(config_dir, f"{slice_name}.json")
    if would_save(slice_name, description, config_dir):
        replace_file(path, json.dumps(description, indent=2, sort_keys=True) + "\n")
        return True
    return False


def would_save(slice_name: str, description: dict[str, Any], config_dir: str = CONFIG_DIR) -> bool:
    """Whether save() would change the file; for check mode."""
    return load(slice_name, config_dir) != description


_UNOWNED = "what earlier runs made then counts as made by others, and is not removed without being asked"


def owned(slice_name: str, owned_dir: str = OWNED_DIR) -> list[str]:
    """Names of the objects that this collection created, sorted. Raises Damaged."""
    path = os.path.join(owned_dir, f"{slice_name}.owned.json")
    try:
        found = read_json(path)
    except Damaged as error:
        raise Damaged(f"{error}; {_UNOWNED}") from None
    if found is not None and not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise damaged(path, f"run the playbook again; {_UNOWNED}")
    return found or []


def own(slice_name: str, names: list[str], owned_dir: str = OWNED_DIR) -> bool:
    """Write down what is ours; call it with the union before an apply and with the description's names after it."""
    if sorted(names) == owned(slice_name, owned_dir):
        return False
    replace_file(os.path.join(owned_dir, f"{slice_name}.owned.json"), json.dumps(sorted(names), indent=2) + "\n")
    return True
