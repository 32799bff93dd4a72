# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DH-HMAC-CHAP secret out of a file on the controller, made when it does not exist."""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import KEY_BYTES, generate, malformed, no_secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import make_folders, sync_folder

DOCUMENTATION = r"""
name: dhchap_secret
author: The nvmeof.mptcp authors (@nvmeof)
short_description: A DH-HMAC-CHAP secret, made once and kept in a file
description:
  - Returns the secret in a file on the controller, in the form V(DHHC-1:0x:<base64>:). A file that does not exist is
    made with a new one, mode 0600; folders that do not exist are made with mode 0700.
  - In check mode nothing is made. A warning names the file that a run would make, and what is returned in its place
    has the form of a secret and is none, the same for every file.
  - To give a host a new secret, remove its file and run the playbook P(nvmeof.mptcp.rotate#playbook).
options:
  _terms:
    description: >-
      Paths of the files, one for each secret. A relative one is beside the inventory that the host is from
      (C(inventory_dir)), whatever the current folder and the playbook are.
    type: list
    elements: path
    required: true
  hmac:
    description: >-
      Hash that transforms a new key, V(1) for SHA-256, V(2) for SHA-384, V(3) for SHA-512 with keys of 32, 48 and 64
      bytes; V(0) for a key of 32 bytes that is used as it is. A secret that exists stays as it is.
    type: int
    choices: [0, 1, 2, 3]
    default: 1
"""

EXAMPLES = r"""
- name: Give every host a secret of its own (group_vars/nvme_hosts.yml)
  ansible.builtin.debug:
    msg: "{{ 'fabric_dhchap_secret: ' ~ lookup('nvmeof.mptcp.dhchap_secret', 'secrets/' ~ inventory_hostname) }}"
"""

RETURN = r"""
_raw:
  description: The secrets.
  type: list
  elements: str
"""


class LookupModule(LookupBase):
    """See above."""

    def run(self, terms: list[str], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Return the secrets, in the order of the paths. Raises AnsibleError for a file that is not one."""
        self.set_options(var_options=variables, direct=kwargs)
        hmac, known = self.get_option("hmac"), variables or {}
        if hmac not in KEY_BYTES:
            raise AnsibleError(f"dhchap_secret: hmac is {hmac!r}; it must be 0, 1, 2 or 3")
        try:
            paths = [place(str(path), known.get("inventory_dir")) for path in terms]
            return [kept(path, hmac, bool(known.get("ansible_check_mode"))) for path in paths]
        except OSError as error:
            raise AnsibleError(f"dhchap_secret: {error.filename}: {error.strerror}") from error


def place(path: str, beside: str | None) -> str:
    """Where the file of a path is. beside: folder of the inventory that the host is from."""
    path = os.path.expanduser(path)
    if os.path.isabs(path):
        return path
    if not beside:
        raise AnsibleError(
            f"dhchap_secret: {path} is relative to the inventory, and this host is in no file of one; write it whole"
        )
    found = os.path.join(beside, path)
    if not os.path.exists(found) and os.path.exists(path):
        # Another key would be made, and hosts that know the old one locked out.
        raise AnsibleError(
            f"dhchap_secret: {os.path.abspath(path)} is in the current folder, and its place is beside the inventory: "
            f"move it to {found}, or remove it"
        )
    return found


def kept(path: str, hmac: int, check: bool = False) -> str:
    """The secret in a file; many processes may ask for the same new one at a time, and all get one."""
    if not os.path.exists(path):
        if check:
            Display().warning(f"dhchap_secret: {path} does not exist; a run that is not in check mode makes it")
            return no_secret(hmac)
        _make(path, hmac)
    with open(path, encoding="utf-8", errors="replace") as stream:
        mode, secret = os.fstat(stream.fileno()).st_mode, stream.read().strip()
    if mode & 0o077:
        raise AnsibleError(f"dhchap_secret: {path} has mode {mode & 0o7777:04o}, so others can read it; chmod 0600 it")
    wrong = malformed(secret)
    if wrong:
        raise AnsibleError(f"dhchap_secret: what is in {path} {wrong}")
    return secret


def _make(path: str, hmac: int) -> None:
    """A new secret, which is on the disk before any machine gets it; one that another process makes meanwhile stays."""
    folder = os.path.dirname(os.path.abspath(path))
    make_folders(folder, 0o700)
    # mkstemp makes it 0600. A link appears with its content, and never in place of another one.
    handle, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(generate(hmac) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    # Also for the one of another process, which may not have come to that yet.
    sync_folder(folder)
