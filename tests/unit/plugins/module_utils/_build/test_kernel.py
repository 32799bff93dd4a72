# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import config, kernel
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets that make was run with, in a chroot where nothing is compiled."""
    targets: list[str] = []

    def run(chroot, *command, stdin=None, lines=15, environment=None, log=None) -> str:
        assert command[0] == "make"
        assert environment["LOCALVERSION"] == "-mptcp.1"
        target = command[-1]
        targets.append(target)
        linux = chroot / "build/kernel/linux"
        if target == "tinyconfig":
            (linux / ".config").write_text("CONFIG_TINY=y\n")
        if target == "bindeb-pkg":
            if (linux / "broken").exists():
                log.write("  CC      a.o\na.c:1:2: error: no such thing\nmake: *** [a.o] Error 1\n")
                raise _chroot.CommandError("make ended with 2")
            (linux.parent / "linux-image-7_1_amd64.deb").write_text("a package")
        return ""

    monkeypatch.setattr(_chroot, "run", run)
    return targets


def build(tmp_path: pathlib.Path, *names: str, fragment: str = "CONFIG_TINY=y") -> list[str]:
    """Build a source with these files; the answer is what there was to take."""
    taken: list[str] = []

    def unpack(folder: pathlib.Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("/* code */\n")

    def take(work: pathlib.Path) -> None:
        taken.extend(path.name for path in sorted(work.iterdir()))
        taken.append((work / "linux/drivers/nvme/target/tcp.c").read_text())

    fragments = [Text("site", fragment)]
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        kernel.build(tmp_path, unpack, [], "tinyconfig", fragments, "-mptcp.1", "commit 1", log, take)
    return taken


FILES = tuple(f"drivers/nvme/{name}.c" for name in ("host/fabrics", "host/tcp", "target/core", "target/tcp"))


def test_a_kernel_is_built_recorded_and_taken(tmp_path: pathlib.Path, made: list[str]) -> None:
    (tmp_path / "build/kernel/left over").mkdir(parents=True)
    taken = build(tmp_path, *FILES)
    assert taken == [
        "linux",
        "linux-image-7_1_amd64.deb",
        '/* code */\nMODULE_INFO(nvmeof_mptcp, "commit 1");\n',
    ]
    assert made == ["mrproper", "tinyconfig", "olddefconfig", "bindeb-pkg"]
    assert not (tmp_path / "build/kernel").exists()


def test_a_compiler_s_first_errors_and_the_log_are_named(tmp_path: pathlib.Path, made: list[str]) -> None:
    with pytest.raises(_chroot.BuildError) as failure:
        build(tmp_path, *FILES, "broken")
    assert str(failure.value) == (
        f"the build failed, see {tmp_path / 'log'} on the build host:\n"
        "a.c:1:2: error: no such thing\nmake: *** [a.o] Error 1"
    )
    assert not (tmp_path / "build/kernel").exists()


def test_a_symbol_that_did_not_stick_ends_the_build_before_the_compiler(
    tmp_path: pathlib.Path, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "parse", lambda text: {"CONFIG_X": "y"} if text == "CONFIG_X=y" else {})
    with pytest.raises(_chroot.BuildError, match="did not take CONFIG_X: site wants y, got n"):
        build(tmp_path, *FILES, fragment="CONFIG_X=y")
    assert "bindeb-pkg" not in made


def test_a_source_without_nvme_is_refused(tmp_path: pathlib.Path, made: list[str]) -> None:
    with pytest.raises(_chroot.BuildError, match=r"the source has no drivers/nvme/host/tcp\.c: is it a Linux kernel's"):
        build(tmp_path, "drivers/nvme/host/fabrics.c")
    assert made == []


def test_errors_of_an_earlier_step_are_not_the_reason() -> None:
    log = "# make mrproper\nx: error: old\n# make bindeb-pkg\n  CC a.o\nlast words\n"
    assert kernel.first_errors(log) == "CC a.o\nlast words"


def test_a_full_disk_is_named_before_anything_is_built(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.check_space(tmp_path)
    monkeypatch.setattr(kernel, "_SPACE", 1 << 60)
    with pytest.raises(_chroot.BuildError, match=r"GiB free, a kernel takes 1073741824 GiB at least: make room"):
        kernel.check_space(tmp_path)
