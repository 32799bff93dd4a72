# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before a kernel is installed, and that each refusal says what to do."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import debs as _kernel_debs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi as _efi
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.debs import Deb, Image
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import checks

OLD, NEW = "7.2.12+deb13-amd64", "7.3.4+deb13-amd64"
MIB = 1 << 20
DEB = Deb("/k.deb", f"linux-image-{NEW}", "7.3.4-1", "amd64", 100 * MIB)
IMAGE = Image(NEW, 12 * MIB, signed=False)


class Loader:
    name = "GRUB"

    def __init__(self, *releases: str, obstacles: tuple[str, ...] = ()) -> None:
        self._releases, self._obstacles = releases, obstacles

    def entries(self) -> dict[str, str]:
        return {release: release for release in self._releases}

    def obstacles(self) -> list[str]:
        return list(self._obstacles)


def machine(loader: Any, root: Path, trial: Any = None) -> list[str]:
    return checks.machine(loader, OLD, trial, str(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/vmlinuz-{OLD}").touch()
    return tmp_path


def test_a_machine_with_a_way_back(root: Path) -> None:
    assert machine(Loader(OLD), root) == []


def test_a_machine_without_one(root: Path) -> None:
    assert "neither GRUB" in machine(None, root)[0]
    assert machine(Loader(OLD, obstacles=("it is on LVM",)), root) == ["it is on LVM"]
    [no_entry] = machine(Loader(NEW), root)
    assert "no way back" in no_entry
    assert NEW in no_entry
    (root / f"boot/vmlinuz-{OLD}").unlink()
    [no_file] = machine(Loader(OLD), root)
    assert f"/boot/vmlinuz-{OLD}" in no_file


def test_a_kernel_on_trial_is_nothing_to_go_back_to(root: Path) -> None:
    assert "was not kept" in machine(Loader(OLD), root, {"release": OLD})[0]
    assert machine(Loader(OLD), root, {"release": NEW}) == []


def test_packages_of_another_architecture_and_without_a_kernel(root: Path) -> None:
    assert checks.packages(NEW, [DEB], IMAGE, "amd64", str(root)) == []
    assert "is for amd64, the machine is arm64" in checks.packages(NEW, [DEB], IMAGE, "arm64", str(root))[0]
    assert "there is no kernel in" in checks.packages(NEW, [DEB], None, "amd64", str(root))[0]
    # Nothing to install, for it is installed already.
    assert checks.packages(OLD, [], None, "amd64", str(root)) == []
    assert f"have kernel {NEW}, not {OLD}" in checks.packages(OLD, [DEB], IMAGE, "amd64", str(root))[0]


def secure_boot(root: Path, on: bool) -> None:
    folder = root / "sys/firmware/efi/efivars"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"SecureBoot-{_efi.GLOBAL}").write_bytes(b"\6\0\0\0" + bytes([on]))


def test_secure_boot_takes_signed_kernels_only(root: Path) -> None:
    secure_boot(root, False)
    assert checks.packages(NEW, [DEB], IMAGE, "amd64", str(root)) == []
    secure_boot(root, True)
    [refused] = checks.packages(NEW, [DEB], IMAGE, "amd64", str(root))
    assert "Secure Boot is on" in refused
    assert "sign it" in refused
    assert checks.packages(NEW, [DEB], Image(NEW, MIB, signed=True), "amd64", str(root)) == []
    # Nor one that is installed already.
    [refused] = checks.packages(OLD, [], None, "amd64", str(root))
    assert "Secure Boot is on" in refused


def space(free: dict[str, tuple[int, int]]) -> list[str]:
    return checks.space(NEW, [DEB], IMAGE, 40 * MIB, ["/efi"], free.__getitem__)


def test_space_is_added_up_where_folders_share_a_file_system() -> None:
    plenty = 1000 * MIB
    assert space({"/usr/lib/modules": (1, plenty), "/boot": (1, plenty), "/efi": (2, plenty)}) == []
    # 100 for the packages; in /boot 12 for the kernel, 50 for its RAM disk and 16 to spare.
    assert space({"/usr/lib/modules": (1, 178 * MIB), "/boot": (1, 178 * MIB), "/efi": (2, 62 * MIB)}) == []
    [root] = space({"/usr/lib/modules": (1, 177 * MIB), "/boot": (1, 177 * MIB), "/efi": (2, 62 * MIB)})
    assert "needs 178 MiB for /usr/lib/modules and /boot, 177 MiB are free" in root
    [efi] = space({"/usr/lib/modules": (1, plenty), "/boot": (1, plenty), "/efi": (2, 20 * MIB)})
    assert "needs 62 MiB for /efi, 20 MiB are free" in efi
    assert "remove a kernel" in efi


def pe(signature: int) -> bytes:
    """The parts of a kernel's PE header that count."""
    image = bytearray(_efi.HEADER)
    image[:2] = b"MZ"
    struct.pack_into("<I", image, 0x3C, 0x80)
    image[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<H", image, 0x80 + 24, 0x20B)
    struct.pack_into("<II", image, 0x80 + 24 + 112 + 32, 0x1000 if signature else 0, signature)
    return bytes(image)


def test_a_signature_is_seen_in_the_header() -> None:
    assert _efi.is_signed(pe(2000))
    assert not _efi.is_signed(pe(0))
    assert not _efi.is_signed(b"MZ")
    assert not _efi.is_signed(b"\x7fELF" + bytes(100))


def make_deb(folder: Path, name: str, files: dict[str, bytes], depends: str = "") -> str:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    more = f"Depends: {depends}\n" if depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\nInstalled-Size: 7\n{more}"
        "Description: x\n more: of it\n"
    )
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    subprocess.run(["dpkg-deb", "--build", str(tree)], check=True, capture_output=True)
    return f"{tree}.deb"


@pytest.mark.parametrize(
    "path", [f"boot/vmlinuz-{NEW}", f"usr/lib/modules/{NEW}/vmlinuz", f"lib/modules/{NEW}/vmlinuz"]
)
@pytest.mark.parametrize("signature", [0, 2000])
def test_the_kernel_is_found_in_its_packages(tmp_path: Path, path: str, signature: int) -> None:
    sources = [
        make_deb(tmp_path, "modules", {f"usr/lib/modules/{NEW}/kernel/vmlinuz.ko": b"x"}),
        make_deb(tmp_path, "linux-binary-x", {path: pe(signature) + bytes(9000)}),
    ]
    debs, image = checks.read_all(sources)
    assert [(deb.name, deb.version, deb.installed) for deb in debs] == [
        ("modules", "1", 7168),
        ("linux-binary-x", "1", 7168),
    ]
    assert image == Image(NEW, _efi.HEADER + 9000, signed=bool(signature))


def test_a_file_that_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "x.deb").write_text("x")
    with pytest.raises(_kernel_debs.DebError, match=r"x\.deb"):
        checks.read_all([str(tmp_path / "x.deb")])


def test_what_the_installation_lacks_is_named(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.touch()
    install = [
        "apt-get",
        "--yes",
        "-o",
        f"Dir::State::Status={status}",
        "-o",
        "Dir::State::Lists=/dev/null",
        "install",
        "--",
    ]
    assert checks.installation([*install, make_deb(tmp_path, "whole", {})]) == []
    [refused] = checks.installation([*install, make_deb(tmp_path, "part", {}, "other-part (= 1)")])
    assert "other-part (= 1)" in refused
    assert "install what it lacks" in refused
