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
from ansible_collections.nvmeof.mptcp.plugins.module_utils._dhchap import KEY_BYTES, generate, malformed

DOCUMENTATION = r"""
name: dhchap_secret
author: The nvmeof.mptcp authors (@nvmeof)
short_description: A DH-HMAC-CHAP secret, made once and kept in a file
description:
  - Returns the secret in a file on the controller, in the form V(DHHC-1:0x:<base64>:). A file that does not exist is
    made with a new one, mode 0600, its folders 0700.
  - To give a host a new secret, remove its file and run the playbook P(nvmeof.mptcp.rotate#playbook).
options:
  _terms:
    description: Paths of the files, one for each secret.
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
        hmac = self.get_option("hmac")
        if hmac not in KEY_BYTES:
            raise AnsibleError(f"dhchap_secret: hmac is {hmac!r}; it must be 0, 1, 2 or 3")
        try:
            return [kept(os.path.expanduser(str(path)), hmac) for path in terms]
        except OSError as error:
            raise AnsibleError(f"dhchap_secret: {error.filename}: {error.strerror}") from error


def kept(path: str, hmac: int) -> str:
    """The secret in a file; many processes may ask for the same new one at a time, and all get one."""
    if not os.path.exists(path):
        folder = os.path.dirname(os.path.abspath(path))
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # mkstemp makes it 0600. A link appears with its content, and never in place of another one.
        handle, temporary = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(generate(hmac) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
    with open(path, encoding="utf-8", errors="replace") as stream:
        mode, secret = os.fstat(stream.fileno()).st_mode, stream.read().strip()
    if mode & 0o077:
        raise AnsibleError(f"dhchap_secret: {path} has mode {mode & 0o7777:04o}, so others can read it; chmod 0600 it")
    wrong = malformed(secret)
    if wrong:
        raise AnsibleError(f"dhchap_secret: what is in {path} {wrong}")
    return secret
