# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import identity, sysfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import Identity

NONE = Identity("", "")
OURS = Identity(nvme_tree.HOSTNQN, nvme_tree.HOSTID)
OTHER = "nqn.2026-11.org.example:h"


def live(root: Path, **changed: object) -> sysfs.Nvme:
    nvme_tree.controller(root, **changed)
    return sysfs.read(str(root))


def test_files_are_written_once(tmp_path: Path) -> None:
    want = identity.resolve(nvme_tree.HOSTNQN, "", NONE, sysfs.Nvme())
    assert want == OURS
    for operation in identity.plan(want, identity.find(str(tmp_path))):
        identity.write(operation, str(tmp_path))
    assert identity.find(str(tmp_path)) == OURS
    assert identity.plan(want, OURS) == []
    assert os.stat(tmp_path / "etc/nvme/hostid").st_mode & 0o777 == 0o644


def test_what_the_files_say_is_kept(tmp_path: Path) -> None:
    found = Identity(OTHER, "0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11")
    assert identity.resolve("", "", found, sysfs.Nvme()) == found
    assert identity.resolve(OTHER, "", found, sysfs.Nvme()) == found


def test_an_nqn_without_a_uuid_has_a_stable_identifier() -> None:
    first = identity.resolve(OTHER, "", NONE, sysfs.Nvme())
    assert first == identity.resolve(OTHER, "", NONE, sysfs.Nvme())
    assert first.hostid != identity.resolve(OTHER + "2", "", NONE, sysfs.Nvme()).hostid


def test_an_identity_in_use_is_not_changed(tmp_path: Path) -> None:
    nvme = live(tmp_path)
    with pytest.raises(identity.IdentityRefused, match="nvme0 of that name is live"):
        identity.resolve(OTHER, "", OURS, nvme)
    with pytest.raises(identity.IdentityRefused, match="nvme0 of that name uses"):
        identity.resolve("", "0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11", OURS, nvme)
    assert identity.resolve(OTHER, "", OURS, live(tmp_path, state="deleting")).hostnqn == OTHER


def test_a_file_without_an_identifier_is_told_unless_it_is_not_used() -> None:
    found = Identity(OTHER, "none,tls")
    with pytest.raises(identity.IdentityRefused, match="/etc/nvme/hostid says 'none,tls', which is no UUID: "):
        identity.resolve("", "", found, sysfs.Nvme())
    assert identity.resolve(OTHER, nvme_tree.HOSTID, found, sysfs.Nvme()).hostid == nvme_tree.HOSTID


@pytest.mark.parametrize(
    ("nqn", "identifier", "words"), [("", "", "hostnqn is not set"), (OTHER, "abc", "must be a UUID")]
)
def test_bad_input(nqn: str, identifier: str, words: str) -> None:
    with pytest.raises(identity.IdentityRefused, match=words):
        identity.resolve(nqn, identifier, NONE, sysfs.Nvme())
