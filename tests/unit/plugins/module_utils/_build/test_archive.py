# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages make a kernel."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.archive import (
    Archive,
    ArchiveError,
    Package,
    closure,
    kernel_of,
    of_one_version,
)

R, V = "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"


def package(name: str, *needs: str, version: str = V) -> Package:
    return Package(name, version, "amd64", "0" * 64, 1, needs)


ARCHIVE = {
    "linux-image-cloud-amd64": package("linux-image-cloud-amd64", f"linux-image-{R}", "linux-base-cloud-amd64"),
    "linux-base-cloud-amd64": package("linux-base-cloud-amd64", f"linux-base-{R}"),
    f"linux-image-{R}": package(f"linux-image-{R}", f"linux-base-{R}", f"linux-modules-{R}"),
    f"linux-base-{R}": package(f"linux-base-{R}"),
    f"linux-modules-{R}": package(f"linux-modules-{R}", f"linux-base-{R}"),
    "lone": package("lone", "gone"),
}


def show(name: str) -> Package | None:
    found = ARCHIVE.get(name.partition("=")[0])
    return found if found is None or name in (found.name, f"{found.name}={found.version}") else None


def test_parts_of_one_kernel_name_one_another_with_their_version() -> None:
    depends = (
        f"dracut | initramfs-tools (>= 0.120), linux-base-{R} (= {V}), linux-binary-{R}:any (= {V}), kmod, x (= 1)"
    )
    assert of_one_version(depends, V) == (f"linux-base-{R}", f"linux-binary-{R}")


def test_a_package_and_what_belongs_to_it() -> None:
    names = {one.name for one in closure(f"linux-image-{R}", show)}
    assert names == {f"linux-image-{R}", f"linux-base-{R}", f"linux-modules-{R}"}
    following = closure("linux-image-cloud-amd64", show)
    assert names < {one.name for one in following}
    assert kernel_of(following, "linux-image-cloud-amd64") == R


def test_packages_that_cannot_be_had_are_named() -> None:
    with pytest.raises(ArchiveError, match="no package nosuch"):
        closure("nosuch", show)
    with pytest.raises(ArchiveError, match=r"lone .* needs gone of the same version"):
        closure("lone", show)
    with pytest.raises(ArchiveError, match="nvme-cli is not the package of a kernel"):
        kernel_of([package("nvme-cli")], "nvme-cli")


def test_the_file_has_the_name_that_apt_gives_it() -> None:
    assert package("k", version="1:2-3~bpo13+1").file == "k_1%3a2-3~bpo13+1_amd64.deb"


def test_an_unsigned_kernel_has_the_same_release() -> None:
    assert kernel_of([package(f"linux-image-{R}-unsigned")], "x") == R


SITE = "Types: deb\nURIs: https://apt.example.org/\nSuites: ./\n"


@pytest.mark.parametrize(
    "field",
    ["Trusted: yes", "trusted: TRUE", "Trusted:\n yes", "Allow-Insecure: yes", "Allow-Downgrade-To-Insecure: 1"],
)
def test_sources_that_nobody_signs_are_written_out_as_such(tmp_path: pathlib.Path, field: str) -> None:
    signed = SITE + "Signed-By: /etc/apt/keyrings/site.asc\nTrusted: no\n"
    Archive(tmp_path, "", signed)
    with pytest.raises(ArchiveError, match=r"decides what is installed as root\. Name the key that signs them"):
        Archive(tmp_path, "", f"{signed}\n{SITE}{field}\n")
    # Each by itself.
    with pytest.raises(ArchiveError, match="X-Unsigned: accepted"):
        Archive(tmp_path, "", f"{SITE}X-Unsigned: accepted\n \n{SITE}{field}\n")
    Archive(tmp_path, "", f"{signed}\n{SITE}{field}\nX-Unsigned: accepted\n")
