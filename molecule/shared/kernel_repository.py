# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A git repository like the one that a series is posted in: the distribution's kernel, and the patch as a tag.

Its commits are the same whenever they are made, so a kernel that was built from them is built once.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import archive as _kernel_archive  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap  # noqa: E402

PATCH = ROOT / "roles/nvme_kernel/files/patches/nvme-mptcp.patch"
# The distribution's source, and with the patch.
SOURCE, TAG = "distribution", "nvme-mptcp"
WHO = {"NAME": "the nvmeof.mptcp authors", "EMAIL": "authors@nvmeof-mptcp.example", "DATE": "2026-11-21T00:00:00Z"}


def git(repository: Path, *arguments: str, tree: Path | None = None) -> str:
    identity = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in WHO.items()}
    # Nothing of it is transferred far, so nothing is compressed hard or searched for what it has in common.
    options = ["-c", "core.compression=1", "-c", "gc.auto=0", f"--git-dir={repository}"]
    where = [f"--work-tree={tree}"] if tree else []
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"}
    return subprocess.run(
        ["git", *options, *where, *arguments], env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def commit(repository: Path, tree: Path, message: str) -> None:
    # The source has files that its own .gitignore names.
    git(repository, "add", "--force", "--all", ".", tree=tree)
    git(repository, "commit", "--quiet", "--allow-empty", "--message", message, tree=tree)


def unpack(cache: Path, series: str, folder: Path) -> None:
    """The source of a series as the distribution packs it."""
    archive = _kernel_archive.Archive(cache, mmdebstrap.find_mirror("nvme_kernel_mirror"), "")
    [package] = [one for one in archive.resolve(f"linux-source-{series}", print) if one.name.startswith("linux-source")]
    archive.download([package], folder)
    subprocess.run(["dpkg-deb", "--extract", package.file, "package"], cwd=folder, check=True)
    [packed] = (folder / "package/usr/src").glob("*.tar.xz")
    (folder / "linux").mkdir()
    subprocess.run(["tar", "--strip-components=1", f"--directory={folder / 'linux'}", "-xf", str(packed)], check=True)


def make(repository: Path, cache: Path, series: str) -> None:
    made_of = f"{series} {hashlib.sha256(PATCH.read_bytes()).hexdigest()}"
    if (repository / "made_of").exists() and (repository / "made_of").read_text() == made_of:
        return
    subprocess.run(["rm", "-rf", str(repository)], check=True)
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(repository)], check=True)
    git(repository, "config", "pack.window", "0")
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        unpack(cache, series, Path(scratch))
        tree = Path(scratch, "linux")
        commit(repository, tree, f"linux-source-{series}")
        git(repository, "tag", SOURCE)
        subprocess.run(["patch", "-p1", "--fuzz=0", "--silent", "-i", str(PATCH)], cwd=tree, check=True)
        commit(repository, tree, "nvme-tcp, nvmet-tcp: add the mptcp transport")
    git(repository, "tag", "--annotate", "--message=The transport", TAG)
    git(repository, "repack", "-a", "-d", "--quiet")
    (repository / "made_of").write_text(made_of)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
