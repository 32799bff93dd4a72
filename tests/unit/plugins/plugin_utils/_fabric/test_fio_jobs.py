# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import configparser

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.fio_jobs import Unsafe, fio_jobs
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.identity import namespace_identifiers

NQN = "nqn.2026-11.org.example:vol0"
PLANNED = [{"subsysnqn": NQN}]


def described(*nsids: object, nqn: str = NQN, **more: object) -> dict:
    return {"nqn": nqn, "namespaces": [{"nsid": nsid, "device_path": "/dev/vdb", **more} for nsid in nsids]}


def has(*nsids: int, nqn: str = NQN, **more: object) -> dict:
    found = [
        {
            "name": f"nvme3n{nsid + 4}",
            "nsid": nsid,
            "uuid": namespace_identifiers(nqn, nsid)["uuid"],
            "size": 1 << 30,
            "users": [],
        }
        for nsid in nsids
    ]
    return {"subsystems": [{"subsysnqn": nqn, "namespaces": [{**one, **more} for one in found]}]}


def jobs(text: str) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(allow_no_value=True)
    parsed.read_string(text)
    return parsed


def test_every_namespace_is_read_and_none_is_written_by_default() -> None:
    found = jobs(fio_jobs([described(1, 2)], PLANNED, has(1, 2)))
    assert found.sections() == ["global", "nqn.2026-11.org.example-vol0-1", "nqn.2026-11.org.example-vol0-2"]
    for section in found.sections()[1:]:
        assert found[section]["rw"] == "read"


def test_scratch_is_written_with_checks_on_the_device_that_the_kernel_names() -> None:
    found = jobs(fio_jobs([described(1, scratch=True)], PLANNED, has(1), mib=64))
    write = found["nqn.2026-11.org.example-vol0-1"]
    assert (write["filename"], write["size"], write["verify"]) == ("/dev/nvme3n5", str(32 << 20), "crc32c")


def test_no_more_than_there_is() -> None:
    assert f"size={5 << 20}\n" in fio_jobs([described(1)], PLANNED, has(1, size=5 << 20))


def test_subsystems_of_other_hosts_are_left_out() -> None:
    assert fio_jobs([described(1, nqn=NQN + "x", scratch=True)], PLANNED, has(1)) == ""


@pytest.mark.parametrize(
    ("description", "info", "words"),
    [
        (described(1), {"subsystems": []}, "is not on this host"),
        (described(2), has(1), "namespace 2 is not on this host"),
        (described(1, scratch=True), has(1, uuid="0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11"), "it is another namespace"),
        (described(1, scratch=True), has(1, uuid=""), "has the UUID none"),
        (described(1, scratch=True), has(1, users=["mounted on /srv"]), "is 'mounted on /srv'"),
        (described(1, scratch=True, uuid="0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11"), has(1), "it is another namespace"),
    ],
)
def test_what_must_not_be_written_is_refused(description: dict, info: dict, words: str) -> None:
    with pytest.raises(Unsafe, match=words):
        fio_jobs([description], PLANNED, info)


def test_what_is_not_there_to_be_read_is_left_out() -> None:
    assert fio_jobs([{"nqn": NQN}], PLANNED, has(1)) == ""
    assert fio_jobs([described(1, enable=False)], PLANNED, has(1)) == ""
    assert "rw=read" in fio_jobs([described("1")], PLANNED, has(1))
    uuid = namespace_identifiers(NQN, 1)["uuid"].replace("-", "").upper()
    assert "rw=write" in fio_jobs([described(1, scratch=True, uuid=uuid)], PLANNED, has(1))


def test_a_namespace_in_use_is_read() -> None:
    assert "rw=read" in fio_jobs([described(1)], PLANNED, has(1, users=["mounted on /srv"]))


@pytest.mark.parametrize("name", ["nvme0n1\nexec_prerun=id", "../vda", "nvme0n1 -x", "vda"])
def test_a_device_that_is_none_of_nvme_s_is_no_line_of_a_job(name: str) -> None:
    with pytest.raises(Refused, match="name in namespaces in subsystems in nvme_info, entry 0, entry 0"):
        fio_jobs([described(1)], PLANNED, has(1, name=name))
