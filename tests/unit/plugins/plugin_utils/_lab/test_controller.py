# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller lacks is said in one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import controller
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.controller import (
    check_controller,
    check_memory,
    check_space,
    missing_packages,
)
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

DEBIAN = {"ID": "debian", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}


@pytest.mark.parametrize("release", [DEBIAN, {"ID": "ubuntu", "ID_LIKE": "debian"}])
def test_a_debian_like_controller_is_accepted(release: dict[str, str]) -> None:
    check_controller("Linux", "x86_64", release, True)


@pytest.mark.parametrize(
    ("system", "machine", "release", "is_root", "words"),
    [
        ("Darwin", "arm64", {}, True, ["Linux x86-64", "Darwin arm64"]),
        ("Linux", "aarch64", DEBIAN, True, ["Linux aarch64"]),
        (
            "Linux",
            "x86_64",
            {"ID": "fedora", "PRETTY_NAME": "Fedora Linux 43"},
            True,
            ["Debian 12 or 13", "Fedora Linux 43"],
        ),
        ("Linux", "x86_64", {}, True, ["Debian 12 or 13", "unknown"]),
        ("Linux", "x86_64", DEBIAN, False, ["root", "sudo make lab"]),
    ],
)
def test_another_controller_is_refused_in_one_line(
    system: str, machine: str, release: dict[str, str], is_root: bool, words: list[str]
) -> None:
    with pytest.raises(LabError) as error:
        check_controller(system, machine, release, is_root)
    assert "\n" not in str(error.value)
    assert [word for word in words if word not in str(error.value)] == []


def test_too_little_space_names_the_path_what_is_there_and_what_is_needed(tmp_path: Path) -> None:
    check_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(LabError, match=r"/not/yet: .* GiB free, 1048576\.0 GiB needed") as error:
        check_space(tmp_path / "not" / "yet", 1 << 50)
    assert "lab_cache_dir" in str(error.value)


def test_too_little_memory_is_refused() -> None:
    meminfo = "MemTotal: 4000000 kB\nMemFree: 1 kB\nMemAvailable:    2097152 kB\n"
    check_memory(2048, meminfo)
    with pytest.raises(LabError, match="2048 MiB of memory available, 2049 MiB needed"):
        check_memory(2049, meminfo)


def test_missing_packages_are_those_whose_programs_or_files_are_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "present"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = {"present": "a", "no-such-program": "c", str(tmp_path / "no-file"): "b", str(program): "d"}
    monkeypatch.setattr(controller, "PACKAGES", wanted)
    monkeypatch.setattr(controller, "LOADER_PACKAGES", {"no-such-partitioner": "e", "present": "a"})
    assert missing_packages(["direct"]) == ["b", "c"]
    assert missing_packages(["direct", "grub"]) == ["b", "c", "e"]
