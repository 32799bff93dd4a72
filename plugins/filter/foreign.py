# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells Ansible the filters through which another machine's words become a file's name or a text on a screen."""

from __future__ import annotations

from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar


def file_name(path: Any) -> str:
    """The name of the file that a path ends in. Raises AnsibleFilterError for what is no name of a file."""
    try:
        return grammar.checked("file name", str(path).rpartition("/")[2], "the last part of a path")
    except grammar.Refused as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"file_name": file_name, "shown": grammar.shown}
