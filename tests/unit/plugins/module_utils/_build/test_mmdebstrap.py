# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap

DEBIAN = """\
http://packages.example/cloud/|main|Example|Example
http://mirror.example/debian-security/|main|Debian|Debian-Security
http://mirror.example/debian/|contrib|Debian|Debian
http://mirror.example/debian/|main|Debian|Debian
http://second.example/debian/|main|Debian|Debian
"""


def program(folder: pathlib.Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_mirror_is_debians_main_archive() -> None:
    assert mmdebstrap.parse_index_targets(DEBIAN) == "http://mirror.example/debian"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "http://archive.example/ubuntu/|main|Ubuntu|Ubuntu\n",
        # apt leaves the words it cannot fill in when an index was never downloaded.
        "http://mirror.example/debian/|main|$(ORIGIN)|$(LABEL)\n",
    ],
)
def test_other_archives_are_not_taken_for_debian(
    output: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "apt-get", f"printf %s '{output}'\n", monkeypatch)
    with pytest.raises(mmdebstrap.MmdebstrapError, match="some_mirror"):
        mmdebstrap.find_mirror("some_mirror")


def test_what_apt_says_is_in_the_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "apt-get", "echo 'E: Malformed entry' >&2; exit 100\n", monkeypatch)
    with pytest.raises(mmdebstrap.MmdebstrapError, match=r"Malformed entry.*some_mirror"):
        mmdebstrap.find_mirror("some_mirror")


def test_proxies_and_dates_are_taken_over_and_nothing_else() -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire::http "";\nAcquire::http::Proxy "http://proxy.example:3142";\n'
        'Acquire::https::CaInfo "/ca.pem";\nAcquire::Check-Date "false";\nAcquire::Languages "none";\n'
    )
    assert mmdebstrap.transport_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::https::CaInfo "/ca.pem";',
        'Acquire::Check-Date "false";',
    ]


def test_the_suite_and_its_backports_come_from_the_mirror_and_are_verified() -> None:
    lines = mmdebstrap.sources("http://mirror.example/debian").splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ["http://mirror.example/debian", "trixie"],
        ["http://mirror.example/debian", "trixie-backports"],
    ]
    assert all("signed-by=" in line for line in lines)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(mmdebstrap, "KEYRING", "/dev/null")


@pytest.mark.usefixtures("root")
def test_a_root_file_system_appears_complete(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "apt-config", "true\n", monkeypatch)
    program(
        tmp_path,
        "mmdebstrap",
        f'for last; do :; done\ncat > {tmp_path}/stdin\nmkdir "{tmp_path}/out.partial"\necho step\n',
        monkeypatch,
    )
    (tmp_path / "out.partial").mkdir()
    printed: list[str] = []
    mmdebstrap.bootstrap(str(tmp_path / "out"), "http://mirror.example/debian", ["kmod"], on_line=printed.append)
    assert (tmp_path / "out").is_dir()
    assert not (tmp_path / "out.partial").exists()
    assert printed == ["step"]
    assert "trixie-backports" in (tmp_path / "stdin").read_text()


@pytest.mark.usefixtures("root")
def test_a_failure_shows_the_last_lines_and_leaves_no_target(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "apt-config", "true\n", monkeypatch)
    program(tmp_path, "mmdebstrap", "echo 'E: Version 7.2.8 was not found'; exit 25\n", monkeypatch)
    with pytest.raises(mmdebstrap.MmdebstrapError, match=r"(?s)25.*Version 7\.2\.8 was not found"):
        mmdebstrap.bootstrap(str(tmp_path / "out"), "http://mirror.example/debian", ["kmod"])
    assert not (tmp_path / "out").exists()


def test_a_missing_program_is_named_with_its_package(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(mmdebstrap.MmdebstrapError, match="apt-get install mmdebstrap"):
        mmdebstrap.check_prerequisites()


@pytest.mark.parametrize(
    "package",
    [
        # mmdebstrap splits at blanks, and apt-get takes the words for options of its own.
        "linux-headers-7.3.4+deb13-amd64=7.3.4-1~bpo13+1 -oDPkg::Chroot-Directory=/ -oDPkg::Pre-Invoke::=id>/root/x",
        "-oDPkg::Pre-Invoke::=id",
        "kmod\n-oDPkg::Pre-Invoke::=id",
        "kmod,make",
        "kmod=",
        "kmod=1=2",
        "./kmod.deb",
        "?essential",
    ],
)
def test_what_is_no_package_and_version_does_not_reach_apt(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(mmdebstrap, "check_prerequisites", lambda: None)
    program(tmp_path, "mmdebstrap", f"touch {tmp_path}/ran", monkeypatch)
    with pytest.raises(mmdebstrap.MmdebstrapError, match=r"which is no (package|version)"):
        mmdebstrap.bootstrap(str(tmp_path / "out"), "http://mirror.example/debian", ["make", package])
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "mirror", ["-oDir::Etc=x", "http://a.example/debian trixie main\ndeb http://b.example", "/srv/debian"]
)
def test_a_mirror_that_is_no_uri_is_no_line_of_sources(mirror: str) -> None:
    with pytest.raises(mmdebstrap.MmdebstrapError, match=r"mirror is .*, which is no URI"):
        mmdebstrap.sources(mirror)
