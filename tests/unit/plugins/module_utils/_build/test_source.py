# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import source as _kernel_source
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.modules import nvme_kernel_build


def no_download(url: str, target: pathlib.Path) -> None:
    raise AssertionError(f"{url} is downloaded")


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "linux"
    (folder / "scripts").mkdir(parents=True)
    (folder / "Kbuild").write_text("")
    (folder / "Makefile").write_text("VERSION = 7\n")
    (folder / "scripts/run").write_text("#!/bin/sh\n")
    (folder / "link").symlink_to("scripts")
    return folder


@pytest.fixture
def archive(tmp_path: pathlib.Path, tree: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "linux.tar.xz"
    subprocess.run(["tar", "-C", str(tmp_path), "-cJf", str(path), tree.name], check=True)
    return path


def find(tmp_path: pathlib.Path, look_only: bool = False, **wanted: str) -> _kernel_source.Source:
    return _kernel_source.find(wanted, tmp_path / "cache", no_download, look_only)


def test_a_tree_is_known_by_its_content(tmp_path: pathlib.Path, tree: pathlib.Path) -> None:
    found = find(tmp_path, tree=str(tree))
    copy = shutil.copytree(tree, tmp_path / "copy", symlinks=True)
    (copy / ".git").mkdir()
    (copy / ".git/index").write_text("whatever")
    assert find(tmp_path, tree=str(copy)).identity == found.identity
    seen = {found.identity}
    (copy / "Makefile").write_text("VERSION = 8\n")
    seen.add(find(tmp_path, tree=str(copy)).identity)
    (copy / "scripts/run").chmod(0o755)
    seen.add(find(tmp_path, tree=str(copy)).identity)
    (copy / "link").unlink()
    (copy / "link").symlink_to("elsewhere")
    seen.add(find(tmp_path, tree=str(copy)).identity)
    assert len(seen) == 4


def test_a_tree_is_copied_without_git_s_own_files(tmp_path: pathlib.Path, tree: pathlib.Path) -> None:
    (tree / ".git").mkdir()
    (tmp_path / "out").mkdir()
    find(tmp_path, tree=str(tree)).unpack(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Kbuild", "Makefile", "link", "scripts"]
    assert (tmp_path / "out/link").is_symlink()


def test_a_folder_without_a_kernel_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BuildError, match="does not have a kernel's source in it"):
        find(tmp_path, tree=str(tmp_path))


def test_an_archive_is_unpacked_without_its_folder(tmp_path: pathlib.Path, archive: pathlib.Path) -> None:
    # A colon is no name of a machine before it.
    archive = archive.rename(archive.with_name("v7:1.tar"))
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    found = find(tmp_path, tarball=str(archive), sha256=sha256.upper())
    (tmp_path / "out").mkdir()
    found.unpack(tmp_path / "out")
    assert (tmp_path / "out/Makefile").read_text() == "VERSION = 7\n"
    assert found.record == {"tarball": str(archive), "sha256": sha256}


@pytest.mark.parametrize("look_only", [False, True])
def test_an_archive_that_is_another_one_is_refused(
    tmp_path: pathlib.Path, archive: pathlib.Path, look_only: bool
) -> None:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(BuildError, match=rf"linux.tar.xz has sha256 {sha256}, not {'0' * 64}: it is not the file"):
        find(tmp_path, look_only, tarball=str(archive), sha256="0" * 64)


def test_an_archive_is_downloaded_once_and_checked(tmp_path: pathlib.Path, archive: pathlib.Path) -> None:
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    asked = []

    def download(url: str, target: pathlib.Path) -> None:
        asked.append(url)
        shutil.copyfile(archive, target)

    wanted = {"tarball": "https://me:secret@example.org/linux.tar.xz", "sha256": sha256}
    assert find(tmp_path, look_only=True, **wanted).identity == "archive " + sha256
    for _ in range(2):
        found = _kernel_source.find(wanted, tmp_path / "cache", download, look_only=False)
    assert asked == [wanted["tarball"]]
    assert "secret" not in str(found.record)
    with pytest.raises(BuildError, match=f"has sha256 {sha256}, not {'1' * 64}"):
        _kernel_source.find({**wanted, "sha256": "1" * 64}, tmp_path / "cache", download, look_only=False)
    assert not (tmp_path / "cache/sources" / ("1" * 64)).exists()


def test_errors_have_no_password(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, shown = "https://me:secret@example.org/linux.tar.xz", "https://example.org/linux.tar.xz"

    def away(*arguments: object, **settings: object) -> None:
        raise OSError("HTTP Error 404: Not Found")

    monkeypatch.setattr(nvme_kernel_build, "open_url", away)
    with pytest.raises(BuildError, match=f"^{shown} cannot be downloaded: HTTP Error 404"):
        nvme_kernel_build.download(url, tmp_path / "archive")

    def download(url: str, target: pathlib.Path) -> None:
        target.write_text("no archive")

    wanted = {"tarball": url, "sha256": hashlib.sha256(b"no archive").hexdigest()}
    with pytest.raises(BuildError, match=f"^{shown} cannot be unpacked: "):
        _kernel_source.find(wanted, tmp_path / "cache", download, look_only=False).unpack(tmp_path)


def test_an_archive_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BuildError, match=r"away.tar does not exist on the build host"):
        find(tmp_path, tarball=str(tmp_path / "away.tar"), sha256="0" * 64)


@pytest.mark.parametrize("look_only", [False, True])
def test_a_ref_that_nothing_holds_to_its_commit_is_refused(
    look_only: bool, tmp_path: pathlib.Path, tree: pathlib.Path
) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tree), "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message=all")
    git("tag", "v1")
    commit = git("rev-parse", "HEAD")
    source = {"git": str(tree), "ref": "v1"}
    with pytest.raises(BuildError, match=rf"nothing holds v1 of {tree} to its content") as failure:
        find(tmp_path, look_only, **source)
    # The line that the error shows prints the commit.
    [line] = re.findall(r"git ls-remote -- \S+ \S+ '\S+'", str(failure.value))
    shown = subprocess.run(["sh", "-c", line], check=True, capture_output=True, text=True).stdout
    assert shown.splitlines()[-1].startswith(commit)
    assert find(tmp_path, look_only, **source, commit=commit).identity == f"commit {commit}"
    assert find(tmp_path, look_only, git=str(tree), ref=commit).identity == f"commit {commit}"
    # Only what is built is fetched, and its signature looked at.
    assert find(tmp_path, look_only=True, **source, signed_by="a key").identity == f"commit {commit}"


def test_the_default_of_the_role_is_refused_before_its_server_is_asked(tmp_path: pathlib.Path) -> None:
    defaults = pathlib.Path(__file__).parents[5] / "roles/nvme_kernel/defaults/main.yml"
    source = yaml.safe_load(defaults.read_text())["nvme_kernel_source"]
    with pytest.raises(BuildError, match=r"git ls-remote -- https://github\.com/\S+ tags/patchew/\S+ '"):
        find(tmp_path, look_only=True, **source)
