# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import concurrent.futures
import os
import stat
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.nvmeof.mptcp.plugins.lookup.dhchap_secret import kept
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import KEY_BYTES, generate, malformed, no_secret

ROOT = Path(__file__).resolve().parents[4]


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


def test_folders_are_the_owner_s_alone_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        kept(str(tmp_path / "one/two/host1"), 1)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("one", "one/two", "one/two/host1")] == [
        0o700,
        0o700,
        0o600,
    ]


def test_a_secret_is_on_the_disk_before_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file with its content before its name; then the folder that has the name, and above it those that are new."""
    synced: list[tuple[str, bool]] = []

    def fsync(handle: int) -> None:
        synced.append((os.path.basename(os.readlink(f"/proc/self/fd/{handle}")), (tmp_path / "new/host1").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    kept(str(tmp_path / "new/host1"), 1)
    assert [(tmp_path.name, False), ("new", True)] == [synced[0], synced[-1]]
    assert [named for name, named in synced[1:-1]] == [False], "the file itself, before it has its name"


def secret_of_host(folder: Path, inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the lookup says in a playbook that is started from a folder."""
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory / "hosts.yml"), *arguments]
    command.append(str(inventory / "play/show.yml"))
    settings = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
    }
    return subprocess.run(command, cwd=folder, env=settings, check=False, capture_output=True, text=True)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """An inventory, and beside it a playbook that shows a host's secret to the one who asks."""
    (tmp_path / "play").mkdir()
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {host1: {ansible_connection: local, "
        "secret: \"{{ lookup('nvmeof.mptcp.dhchap_secret', 'keys/host1') }}\"}}}"
    )
    (tmp_path / "play/show.yml").write_text(
        "- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.debug: {msg: 'it is {{ secret }}'}}]}"
    )
    return tmp_path


def test_one_file_whatever_the_folder_and_none_in_check_mode(inventory: Path) -> None:
    here = inventory / "play"
    checked = secret_of_host(here, inventory, "--check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert no_secret(1) in checked.stdout
    assert f"{inventory}/keys/host1 does not exist" in " ".join((checked.stdout + checked.stderr).split())
    assert sorted(os.listdir(inventory)) == ["hosts.yml", "play"]
    ran = [
        secret_of_host(folder, inventory, *how) for folder, how in ((here, []), (inventory, []), (here, ["--check"]))
    ]
    secret = (inventory / "keys/host1").read_text().strip()
    assert [f"it is {secret}" in one.stdout for one in ran] == [True] * 3
    assert os.listdir(here) == ["show.yml"]


def test_a_secret_where_earlier_releases_made_it_is_not_replaced(inventory: Path) -> None:
    (inventory / "play/keys").mkdir()
    (inventory / "play/keys/host1").write_text(generate())
    refused = secret_of_host(inventory / "play", inventory)
    assert refused.returncode != 0
    words = " ".join((refused.stdout + refused.stderr).split())
    assert f"{inventory}/play/keys/host1 is in the current folder" in words
    assert f"move it to {inventory}/keys/host1" in words
    assert not (inventory / "keys").exists()


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
@pytest.mark.parametrize("make", [generate, no_secret])
def test_the_form_is_the_kernel_s(hmac: int, make) -> None:
    secret = make(hmac)
    head, number, content, end = secret.split(":")
    key = base64.b64decode(content)
    assert (head, number, end) == ("DHHC-1", f"0{hmac}", "")
    assert len(key) == KEY_BYTES[hmac] + 4
    assert int.from_bytes(key[-4:], "little") == zlib.crc32(key[:-4])
    assert malformed(secret) == ""
    assert "checksum is wrong" in malformed(secret.replace(content[:4], "AAAA", 1))
    assert malformed(None).startswith("is not a secret")
