# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import kernel_package
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.source import Source
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused
from ansible_collections.nvmeof.mptcp.plugins.modules import nvme_kernel_build


def source(identity: str = "commit 1") -> Source:
    def unpack(folder: pathlib.Path) -> None:
        raise AssertionError("it is built")

    return Source({"git": "/srv/linux.git"}, identity, unpack)


def describe(cache: pathlib.Path, **changed) -> kernel_package.Kernel:
    given = {
        "source": source(),
        "patches": [Text("a.patch", "a"), Text("b.patch", "b")],
        "base": "tinyconfig",
        "fragments": [Text("one", "CONFIG_A=y\n"), Text("two", "CONFIG_B=y\n")],
        **changed,
    }
    return kernel_package.describe(cache, **given)


def test_a_kernel_is_known_by_all_that_it_is_made_of(tmp_path: pathlib.Path) -> None:
    others = [
        describe(tmp_path, source=source("commit 2")),
        describe(tmp_path, patches=[Text("b.patch", "b"), Text("a.patch", "a")]),
        describe(tmp_path, patches=[Text("a.patch", "a")]),
        describe(tmp_path, base="defconfig"),
        describe(tmp_path, base="CONFIG_C=y\n"),
        describe(tmp_path, fragments=[Text("one", "CONFIG_A=y\nCONFIG_B=m\n")]),
    ]
    keys = {kernel.folder for kernel in (describe(tmp_path), *others)}
    assert len(keys) == len(others) + 1
    assert len({kernel.localversion for kernel in (describe(tmp_path), *others)}) == len(others) + 1


def test_a_kernel_is_not_another_one_for_names_and_comments(tmp_path: pathlib.Path) -> None:
    same = describe(
        tmp_path,
        patches=[Text("x.patch", "a"), Text("y.patch", "b")],
        fragments=[Text("site", "# why\nCONFIG_A=m\nCONFIG_A=y\n"), Text("two", "CONFIG_B=y\n")],
    )
    assert same.folder == describe(tmp_path).folder
    assert describe(tmp_path, base="CONFIG_C=y\n").folder == describe(tmp_path, base="# why\nCONFIG_C=y\n").folder


def test_a_kernel_is_not_another_one_for_the_order_of_lines(tmp_path: pathlib.Path) -> None:
    reordered = [Text("one", "CONFIG_B=y\nCONFIG_A=m\n"), Text("two", "CONFIG_A=y\n")]
    assert describe(tmp_path, fragments=reordered).folder == describe(tmp_path).folder
    assert describe(tmp_path, fragments=reordered[::-1]).folder != describe(tmp_path).folder


def test_a_kernel_is_not_another_one_for_the_build_that_its_base_comes_from(tmp_path: pathlib.Path) -> None:
    build = 'CONFIG_BUILD_SALT="{0}+deb13-amd64"\nCONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-14 (Debian {0})"\n'
    for version in ("7.2.12", "7.3.4"):
        kernel = describe(tmp_path, base=build.format(version) + "CONFIG_C=y\n")
        assert kernel.folder == describe(tmp_path, base="CONFIG_C=y\n").folder
        # And is not built with what its hash leaves out.
        assert kernel.base == "CONFIG_C=y\n"
    # Who asks for one gets it.
    salted = [Text("site", 'CONFIG_BUILD_SALT="mine"\n')]
    assert describe(tmp_path, fragments=salted).folder != describe(tmp_path, fragments=[]).folder


def test_a_bad_fragment_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="site line 1"):
        describe(tmp_path, fragments=[Text("site", "MPTCP=y")])


def test_the_configuration_of_another_machine_is_read_before_it_is_used(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="config_base line 1"):
        describe(tmp_path, base='CONFIG_INITRAMFS_SOURCE="$(shell id)"\n')


def test_a_kernel_in_the_cache_is_not_built_again(tmp_path: pathlib.Path) -> None:
    kernel = describe(tmp_path)
    assert kernel.built() is None
    kernel.folder.mkdir(parents=True)
    record = {"kernel_release": "7.2-x", "input": "1"}
    (kernel.folder / "x.deb").write_text("a package")
    sha256 = hashlib.sha256(b"a package").hexdigest()
    kept = {**record, "package": "linux-image-7.2-x", "version": "7.2-1", "file": "x.deb", "sha256": sha256}
    (kernel.folder / "build.json").write_text(json.dumps(kept))
    # Building would ask this mirror, which does not exist, and unpack the source.
    assert not kernel_package.ensure(kernel, tmp_path, "http://mirror.invalid/debian", lambda line: None)
    assert kernel.built() == {
        "release": "7.2-x",
        "packages": [
            {"name": "linux-image-7.2-x", "version": "7.2-1", "path": str(kernel.folder / "x.deb"), "sha256": sha256}
        ],
        "record": record,
    }
    (kernel.folder / "x.deb").write_text("another package")
    with pytest.raises(OSError, match=rf"x.deb has sha256 [0-9a-f]{{64}}, not {sha256} as the one that was made"):
        kernel.built()


def test_what_modinfo_shows_names_source_patches_and_input(tmp_path: pathlib.Path) -> None:
    kernel = describe(tmp_path, patches=[Text("a.patch", "a")])
    sha256 = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert kernel.provenance == f"commit 1, patch sha256 {sha256}, input {kernel.folder.name}"


def test_an_estimate_grows_with_the_configuration_and_falls_with_processors() -> None:
    large = "".join(f"CONFIG_{number}=m\n" for number in range(9000))
    estimates = [kernel_package.minutes(base, [], 2) for base in ("tinyconfig", "defconfig", large)]
    assert estimates == sorted(set(estimates))
    assert kernel_package.minutes(large, [], 16) < kernel_package.minutes(large, [], 2)


@pytest.mark.parametrize(
    ("wanted", "here", "said"),
    [
        ("aarch64", "x86_64", "a kernel for 'aarch64' cannot be built"),
        ("x86_64", "aarch64", "the build host is aarch64"),
        ("x86_64", "x86_64", ""),
    ],
)
def test_an_architecture_that_cannot_be_built_for_is_named(wanted: str, here: str, said: str) -> None:
    found = nvme_kernel_build.obstacle(wanted, here)
    assert found.startswith(said)
    assert bool(found) == bool(said)
