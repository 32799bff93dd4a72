# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""The source that a kernel is built from: a commit, an archive or a folder, each known by its content."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shlex
import shutil
import stat
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import git
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError

Download = t.Callable[[str, pathlib.Path], None]


@dataclass(frozen=True)
class Source:
    """A source whose content is known.

    record: where it comes from and what it is, as it is written into the package. identity: the part of it that stands
    for the content. unpack: writes the files into an empty folder.
    """

    record: t.Mapping[str, str]
    identity: str
    unpack: t.Callable[[pathlib.Path], None]


def find(wanted: t.Mapping[str, str], cache: pathlib.Path, download: Download, look_only: bool) -> Source:
    """The source that is described; BuildError when it is not there or not what it is said to be.

    wanted: git with ref and perhaps commit and signed_by; tarball with sha256; or tree.
    download: fetches a URL into a file. look_only: download nothing, and take signatures and remote archives on trust.
    """
    if wanted.get("git"):
        return _of_git(wanted, cache, look_only)
    if wanted.get("tarball"):
        return _of_tarball(wanted["tarball"], wanted["sha256"].lower(), cache, download, look_only)
    return _of_tree(pathlib.Path(wanted["tree"]))


def _of_git(wanted: t.Mapping[str, str], cache: pathlib.Path, look_only: bool) -> Source:
    url, ref, keys = wanted["git"], wanted["ref"], wanted.get("signed_by") or ""
    git.check(url, ref)
    if not (wanted.get("commit") or keys or git.is_commit(ref)):
        raise BuildError(_unpinned(git.shown(url), ref))
    commit = git.resolve(url, ref, wanted.get("commit") or "")
    if keys and not look_only:
        git.verify(git.fetch(cache, commit), commit, keys)
    record = {"git": git.shown(commit.url), "ref": commit.ref or commit.commit, "commit": commit.commit}

    def unpack(folder: pathlib.Path) -> None:
        git.export(git.fetch(cache, commit), commit.commit, folder)

    return Source(record, "commit " + commit.commit, unpack)


def _unpinned(url: str, ref: str) -> str:
    """Why a ref alone is refused, and what to write beside it."""
    look = f"git ls-remote -- {shlex.quote(url)} {shlex.quote(ref)} {shlex.quote(ref + '^{}')}"
    return (
        f"nothing holds {ref} of {url} to its content, and who can move it decides what these machines boot: write "
        f"'commit' beside it in nvme_kernel_source, or 'signed_by' with the keys of who signs it. {look} prints what "
        "it is today (of two lines the second), and reading that commit is what makes it yours"
    )


def _of_tarball(place: str, sha256: str, cache: pathlib.Path, download: Download, look_only: bool) -> Source:
    remote = "://" in place
    archive = cache / "sources" / sha256 / "archive" if remote else pathlib.Path(place)
    if not remote:
        if not archive.is_file():
            raise BuildError(f"{place} does not exist on the build host")
        _check(archive, place, sha256)

    def fetch(folder: pathlib.Path) -> None:
        download(place, folder / "archive")
        _check(folder / "archive", place, sha256)

    def unpack(folder: pathlib.Path) -> None:
        if remote:
            _cache.ensure(archive.parent, fetch, lambda: None)
        # A name with a colon is a file of another machine to tar.
        command = ["tar", "--extract", "--force-local", "--no-same-owner", "--strip-components=1"]
        command += [f"--directory={folder}", f"--file={archive}"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise BuildError(f"{git.shown(place)} cannot be unpacked: {result.stderr.strip()}")

    if remote and not look_only:
        _cache.ensure(archive.parent, fetch, lambda: None)
    return Source({"tarball": git.shown(place), "sha256": sha256}, "archive " + sha256, unpack)


def _check(archive: pathlib.Path, place: str, wanted: str) -> None:
    digest = hashlib.sha256()
    with open(archive, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != wanted:
        raise BuildError(
            f"{git.shown(place)} has sha256 {digest.hexdigest()}, not {wanted}: it is not the file that was "
            "meant, or it was damaged on the way"
        )


def _of_tree(folder: pathlib.Path) -> Source:
    if not (folder / "Kbuild").is_file() or not (folder / "Makefile").is_file():
        raise BuildError(f"{folder} on the build host does not have a kernel's source in it: no Kbuild and Makefile")
    digest = _tree_hash(folder)

    def unpack(target: pathlib.Path) -> None:
        shutil.copytree(folder, target, symlinks=True, ignore=shutil.ignore_patterns(".git"), dirs_exist_ok=True)

    return Source({"tree": str(folder), "sha256": digest}, "tree " + digest, unpack)


def _tree_hash(folder: pathlib.Path) -> str:
    """A hash of the names, the contents and the execute bits of all files but git's own."""
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*files, *links]):
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            link = stat.S_ISLNK(mode)
            content = os.readlink(path).encode() if link else pathlib.Path(path).read_bytes()
            kind = "link" if link else "program" if mode & 0o100 else "file"
            digest.update(f"{os.path.relpath(path, folder)}\0{kind}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()
