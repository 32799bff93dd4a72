# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import lzma
import os
import pathlib
import stat

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules

ID = bytes(range(20))
NOTE = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0" + ID

MODINFO = """\
filename:       {file}
nvmeof_mptcp:   linux-source-7.2 7.2.12-1~bpo13+1, patch sha256 00ff
alias:          nvmet-transport-4
alias:          nvmet-transport-3
license:        GPL v2
name:           nvmet_tcp
parm:           tls_handshake_timeout:nvme TLS handshake timeout in seconds (default 10) (int)
"""


@pytest.fixture
def modinfo(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A modinfo that prints a file's content; the file's path."""
    printed = tmp_path / "printed"
    program = tmp_path / "bin/modinfo"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat {printed} || exit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return printed


def loaded(sysfs: pathlib.Path, note: bytes | None) -> None:
    folder = sysfs / "nvmet_tcp"
    (folder / "notes").mkdir(parents=True)
    (folder / "initstate").write_text("live\n")
    if note is not None:
        (folder / "notes/.note.gnu.build-id").write_bytes(note)


def test_the_build_id_is_found_in_a_note_and_in_a_whole_module() -> None:
    assert modules.build_id(NOTE) == ID.hex()
    assert modules.build_id(b"\x7fELF" + b"x" * 100 + NOTE + b"y" * 100) == ID.hex()
    assert modules.build_id(b"\x7fELF") == ""


@pytest.mark.parametrize("suffix", [".ko", ".ko.xz"])
def test_a_module_that_is_loaded_as_it_is_on_disk(tmp_path: pathlib.Path, modinfo: pathlib.Path, suffix: str) -> None:
    file = tmp_path / f"nvmet-tcp{suffix}"
    file.write_bytes(lzma.compress(b"elf" + NOTE) if suffix.endswith("xz") else b"elf" + NOTE)
    modinfo.write_text(MODINFO.format(file=file))
    loaded(tmp_path / "sys", NOTE)
    module = modules.read("nvmet-tcp", str(tmp_path / "sys"))
    assert module.loaded == module.on_disk == ID.hex()
    assert not module.stale
    assert module.aliases == ("nvmet-transport-4", "nvmet-transport-3")
    assert module.provenance == "linux-source-7.2 7.2.12-1~bpo13+1, patch sha256 00ff"


@pytest.mark.parametrize("note", [NOTE[:-1] + b"\xff", None])
def test_another_build_than_the_one_on_disk_is_stale(
    tmp_path: pathlib.Path, modinfo: pathlib.Path, note: bytes | None
) -> None:
    file = tmp_path / "nvmet-tcp.ko"
    file.write_bytes(NOTE)
    modinfo.write_text(MODINFO.format(file=file))
    loaded(tmp_path / "sys", note)
    assert modules.read("nvmet-tcp", str(tmp_path / "sys")).stale


def test_a_module_that_is_nowhere(tmp_path: pathlib.Path, modinfo: pathlib.Path) -> None:
    module = modules.read("nvmet-tcp", str(tmp_path / "sys"))
    assert (module.file, module.loaded, module.on_disk, module.aliases) == ("", "", "", ())
    assert not module.stale


def test_a_module_that_is_part_of_the_kernel_is_as_it_should_be(tmp_path: pathlib.Path, modinfo: pathlib.Path) -> None:
    modinfo.write_text("name:           nvmet_tcp\nfilename:       (builtin)\nalias:          nvmet-transport-4\n")
    module = modules.read("nvmet-tcp", str(tmp_path / "sys"))
    assert module.loaded == module.on_disk == "builtin"
    assert not module.stale


def test_users_are_named_as_modprobe_names_them(tmp_path: pathlib.Path) -> None:
    (tmp_path / "nvme_fabrics/holders/nvme_rdma").mkdir(parents=True)
    assert modules.users("nvme-fabrics", str(tmp_path)) == ["nvme-rdma"]
    assert modules.users("nvmet", str(tmp_path)) == []
