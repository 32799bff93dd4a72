# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The patch by the measures of the kernel's own list: checkpatch, sparse, and the compiler's extra warnings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import archive as _kernel_archive
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache, kernel, mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import git as _kernel_git
from kernel_repository import PATCH, ROOT, TAG, git

CACHE = Path("~/.cache/nvmeof-mptcp").expanduser()
REPOSITORY = CACHE / "linux-7.2.git"
FRAGMENTS = (ROOT / "roles/nvme_kernel/files/config/transport.config", ROOT / "molecule/shared/lean.config")
# Debian 13's sparse is too old for this kernel, whose build then goes without it; this one runs on Debian 13.
TESTING = "Types: deb\nURIs: {}\nSuites: testing\nComponents: main\nSigned-By: {}"
# Where a warning is, which the patch moves, and what it is about.
WARNING = re.compile(r"^(\S+?):\d+:(?:\d+:)? (?:warning|error): (.*)$", re.MULTILINE)


class Tree:
    """The patched source in the chroot that kernels are built in."""

    def __init__(self, chroot: Path, folder: Path) -> None:
        self.folder = folder
        self._chroot = chroot

    def run(self, *command: str, stdin: str | None = None) -> str:
        where = ["env", "--chdir=" + _chroot.inside(self._chroot, self.folder)]
        environment = kernel.ENVIRONMENT
        return _chroot.run(self._chroot, *where, *command, stdin=stdin, environment=environment, lines=200)

    def make(self, *targets: str) -> str:
        return self.run("make", "ARCH=x86_64", "-j2", *targets)


def unpack_sparse(mirror: str, folder: Path) -> None:
    """Put the program sparse into a folder."""
    archive = _kernel_archive.Archive(CACHE, "", TESTING.format(mirror, mmdebstrap.KEYRING))
    [package] = archive.resolve("sparse", print)
    archive.download([package], folder)
    subprocess.run(["dpkg-deb", "--extract", package.file, "package"], cwd=folder, check=True)
    shutil.copy(folder / "package/usr/bin/sparse", folder / "sparse")


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    mirror = mmdebstrap.find_mirror("nvme_kernel_mirror")
    chroot = kernel.ensure_chroot(CACHE, mirror, print)
    work = chroot / "build/check"
    with cache.locked_folder(work, lambda: None):
        cache.empty(work)
        (work / "linux").mkdir()
        unpack_sparse(mirror, work)
        _kernel_git.export(REPOSITORY, git(REPOSITORY, "rev-parse", TAG + "^{commit}").strip(), work / "linux")
        found = Tree(chroot, work / "linux")
        found.make("tinyconfig")
        with open(found.folder / ".config", "a", encoding="utf-8") as stream:
            stream.writelines(path.read_text() for path in FRAGMENTS)
        found.make("olddefconfig")
        found.make("prepare")
        yield found
        shutil.rmtree(work)


def warnings(tree: Tree) -> set[tuple[str, str]]:
    """What sparse and the compiler say of the transport's two folders."""
    said = tree.make("C=2", "CHECK=../sparse", "W=1", "drivers/nvme/host/", "drivers/nvme/target/")
    assert "CHECK   drivers/nvme/target/tcp.c" in said
    # The compiler's quotes are those of a locale that make passes on or not.
    return set(WARNING.findall(said.translate(str.maketrans("‘’", "''"))))


def test_checkpatch_has_nothing_to_say(tree: Tree) -> None:
    said = tree.run("perl", "scripts/checkpatch.pl", "-", stdin=PATCH.read_text())
    assert "total: 0 errors, 0 warnings" in said


def test_sparse_and_the_compiler_have_nothing_new_to_say(tree: Tree) -> None:
    # One of its own, or a compiler that says nothing at all would pass.
    file = tree.folder / "drivers/nvme/target/tcp.c"
    as_patched = file.read_text()
    file.write_text(as_patched + "int nvmet_tcp_undeclared(void) { int unused; return 0; }\n")
    assert {"unused variable 'unused' [-Wunused-variable]"} <= {said for _, said in warnings(tree)}
    file.write_text(as_patched)
    patched = warnings(tree)
    tree.run("patch", "--reverse", "--strip=1", "--fuzz=0", "--force", stdin=PATCH.read_text())
    assert patched - warnings(tree) == set()
