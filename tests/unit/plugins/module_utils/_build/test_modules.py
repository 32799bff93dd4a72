# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import pathlib
import stat
import subprocess

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import module_package
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import modules as _module_build
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.modules import MODULES
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import Release, parse_release

VERSION = "7.2.12-1~bpo13+1"
PATCH = pathlib.Path(__file__).parents[5] / "roles/nvme_kernel/files/patches/nvme-mptcp.patch"


@pytest.fixture
def release() -> Release:
    found = parse_release("7.2.12+deb13-cloud-amd64")
    assert found is not None
    return found


def test_all_modules_are_built() -> None:
    assert sorted(name for names in _module_build.FOLDERS.values() for name in names) == sorted(MODULES)


def test_the_number_that_modules_are_compiled_with_is_that_of_the_patch() -> None:
    line = next(line for line in PATCH.read_text().splitlines() if line.startswith("+\tNVMF_TRTYPE_MPTCP"))
    number = line.split("=")[1].split(",")[0].strip()
    assert f"-DNVMF_TRTYPE_MPTCP={number}" == _module_build._DEFINES


def test_the_patch_touches_nothing_but_what_is_rebuilt() -> None:
    files = {line.split(" b/")[1] for line in PATCH.read_text().splitlines() if line.startswith("diff --git")}
    assert files == {
        "drivers/nvme/host/fabrics.c",
        "drivers/nvme/host/tcp.c",
        "drivers/nvme/target/configfs.c",
        "drivers/nvme/target/tcp.c",
        # Only a constant, see the test above: its structures are shared with modules that stay.
        "include/linux/nvme.h",
    }


def test_the_package_is_named_for_the_kernel_and_found_by_its_content(tmp_path: pathlib.Path, release: Release) -> None:
    package = module_package.describe(tmp_path, release, VERSION, "a patch")
    assert package.name == "nvme-mptcp-modules-7.2.12+deb13-cloud-amd64"
    assert package.version.startswith(f"{VERSION}+mptcp.")
    assert package == module_package.describe(tmp_path, release, VERSION, "a patch")
    others = [
        module_package.describe(tmp_path, release, VERSION, "another patch"),
        module_package.describe(tmp_path, release, "7.2.12-2~bpo13+1", "a patch"),
    ]
    assert package.folder not in [other.folder for other in others]


def test_the_modules_of_a_second_upload_are_packed_for_it(tmp_path: pathlib.Path) -> None:
    release = parse_release("7.3.4+deb13+1-amd64")
    assert release is not None
    package = module_package.describe(tmp_path, release, "7.3.4-2~bpo13+1", "a patch")
    assert package.name == "nvme-mptcp-modules-7.3.4+deb13+1-amd64"
    assert package.path.name == f"nvme-mptcp-modules-7.3.4+deb13+1-amd64_{package.version}_amd64.deb"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_what_is_packed_can_be_read_by_everyone_whatever_the_umask(
    tmp_path: pathlib.Path, release: Release, monkeypatch: pytest.MonkeyPatch, umask: int
) -> None:
    monkeypatch.setattr(module_package, "_made_of", lambda chroot, package: "{}")
    monkeypatch.setattr(_chroot, "run", lambda chroot, *command: "")
    root = tmp_path / "build/package"
    before = os.umask(umask)
    try:
        modules = tmp_path / "modules"
        modules.mkdir()
        (modules / "nvmet.ko").write_text("")
        module_package._pack(tmp_path, root, modules, module_package.describe(tmp_path, release, VERSION, "a patch"))
    finally:
        os.umask(before)
    programs = {root / "DEBIAN/preinst", root / "DEBIAN/postinst", root / "DEBIAN/postrm"}
    for path in (root, *root.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() or path in programs else 0o644), path
    assert list(root.rglob("nvmet.ko"))


@pytest.mark.parametrize(
    ("unpacked", "initrd", "made"),
    [
        # At which second: by itself, together with its kernel, with a note that a reboot has lost, without such a disk.
        (20, 10, ["-u -k 7.2.12+deb13-amd64"]),
        (10, 20, []),
        (None, 20, ["-u -k 7.2.12+deb13-amd64"]),
        (20, None, []),
    ],
)
def test_the_initial_ram_disk_is_made_again_unless_it_was_made_with_the_modules(
    tmp_path: pathlib.Path, unpacked: int | None, initrd: int | None, made: list[str]
) -> None:
    name, kernel = "nvme-mptcp-modules-7.2.12+deb13-amd64", "7.2.12+deb13-amd64"
    script = module_package._SCRIPT.format(
        action="configure", release=kernel, condition=module_package._NOT_MADE_SINCE.format(name=name)
    )
    for path, second in ((f"run/{name}", unpacked), (f"boot/initrd.img-{kernel}", initrd)):
        (tmp_path / path).parent.mkdir()
        if second is not None:
            (tmp_path / path).touch()
            os.utime(tmp_path / path, (second, second))
    for program in ("depmod", "update-initramfs"):
        (tmp_path / program).write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{program}.log\n')
        (tmp_path / program).chmod(0o755)
    log = tmp_path / "update-initramfs.log"
    for folder in ("/run/", "/boot/"):
        script = script.replace(folder, f"{tmp_path}{folder}")
    subprocess.run(["sh", "-c", script, "postinst", "configure"], check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (tmp_path / "depmod.log").read_text() == f"{kernel}\n"
    assert (log.read_text().splitlines() if log.exists() else []) == made


def test_a_package_in_the_cache_is_not_built_again(tmp_path: pathlib.Path, release: Release) -> None:
    package = module_package.describe(tmp_path, release, VERSION, "a patch")
    assert module_package.recorded_hash(package) == ""
    package.folder.mkdir(parents=True)
    package.path.write_text("a package")
    sha256 = hashlib.sha256(b"a package").hexdigest()
    (package.folder / "sha256").write_text(sha256)
    assert module_package.recorded_hash(package) == sha256
    # Building would ask this mirror, which does not exist.
    assert not module_package.ensure(package, tmp_path, "http://mirror.invalid/debian", lambda line: None)
    package.path.write_text("another package")
    with pytest.raises(OSError, match=f"not {sha256} as the one that was made: remove it"):
        module_package.recorded_hash(package)
