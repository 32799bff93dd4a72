# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import concurrent.futures
import os
import zlib
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.nvmeof.mptcp.plugins.lookup.dhchap_secret import kept
from ansible_collections.nvmeof.mptcp.plugins.module_utils._dhchap import KEY_BYTES, generate, malformed


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets/host1"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: kept(str(path), 1), range(16)))
    assert len(found) == 1
    assert malformed(*found) == ""
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["host1"]
    assert kept(str(path), 3) in found
    assert kept(str(path) + "b", 1) not in found


def test_a_file_that_is_not_a_secret_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "host1"
    kept(str(path), 1)
    path.chmod(0o640)
    with pytest.raises(AnsibleError, match="has mode 0640"):
        kept(str(path), 1)
    path.write_text("hunter2")
    path.chmod(0o600)
    with pytest.raises(AnsibleError, match="is not a secret in the form") as caught:
        kept(str(path), 1)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("hmac", KEY_BYTES)
def test_the_form_is_the_kernel_s(hmac: int) -> None:
    secret = generate(hmac)
    head, number, content, end = secret.split(":")
    key = base64.b64decode(content)
    assert (head, number, end) == ("DHHC-1", f"0{hmac}", "")
    assert len(key) == KEY_BYTES[hmac] + 4
    assert int.from_bytes(key[-4:], "little") == zlib.crc32(key[:-4])
    assert malformed(secret) == ""
    assert "checksum is wrong" in malformed(secret.replace(content[:4], "AAAA", 1))
    assert malformed(None).startswith("is not a secret")
