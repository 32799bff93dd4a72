# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import subprocess
from dataclasses import replace
from typing import Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import git as _kernel_git
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused

WHO = {f"GIT_{role}_{what}": "a@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: pathlib.Path, *arguments: str, **environment: str) -> str:
    settings = {**os.environ, **WHO, "GIT_CONFIG_GLOBAL": "/dev/null", **environment}
    return subprocess.run(
        ["git", *arguments], cwd=folder, env=settings, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: pathlib.Path, content: str) -> str:
    (folder / "Makefile").write_text(content)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", content)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two commits: the first has the annotated tag v1 and the plain tag plain, the second is the branch main."""
    folder = tmp_path / "linux"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "one\n")
    git(folder, "tag", "--annotate", "--message=one", "v1")
    git(folder, "tag", "plain")
    commit(folder, "two\n")
    return folder


@pytest.mark.parametrize(
    ("ref", "full", "at"),
    [
        ("v1", "refs/tags/v1", "v1^{commit}"),
        ("tags/v1", "refs/tags/v1", "v1^{commit}"),
        ("refs/tags/plain", "refs/tags/plain", "plain"),
        ("main", "refs/heads/main", "main"),
    ],
)
def test_a_ref_stands_for_its_commit(repository: pathlib.Path, ref: str, full: str, at: str) -> None:
    found = _kernel_git.resolve(str(repository), ref, "")
    assert (found.ref, found.commit) == (full, git(repository, "rev-parse", at))


def test_a_tag_goes_before_a_branch_of_its_name(repository: pathlib.Path) -> None:
    git(repository, "branch", "v1", "main")
    assert _kernel_git.resolve(str(repository), "v1", "").commit == git(
        repository, "rev-parse", "refs/tags/v1^{commit}"
    )


def test_a_ref_that_is_not_there_is_named_with_those_alike(repository: pathlib.Path) -> None:
    git(repository, "tag", "v7.2.12")
    with pytest.raises(BuildError, match=r"linux has no tag, branch or commit 'v7.2.13': there is v7.2.12"):
        _kernel_git.resolve(str(repository), "v7.2.13", "")


def test_a_repository_that_is_not_there_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BuildError, match=r"nowhere cannot be read: "):
        _kernel_git.resolve(str(tmp_path / "nowhere"), "v1", "")


def test_a_ref_that_moved_from_its_pinned_commit_is_refused(repository: pathlib.Path) -> None:
    pinned = git(repository, "rev-parse", "main")
    assert _kernel_git.resolve(str(repository), "main", pinned).commit == pinned
    now = commit(repository, "three\n")
    with pytest.raises(BuildError, match=f"main of .*linux is commit {now}, not {pinned}, to which it is pinned"):
        _kernel_git.resolve(str(repository), "main", pinned)


@pytest.mark.parametrize(("ref", "content"), [("v1", "one\n"), ("main", "two\n"), ("HEAD~1", "one\n")])
def test_files_are_those_of_the_commit(
    tmp_path: pathlib.Path, repository: pathlib.Path, ref: str, content: str
) -> None:
    # A commit that no ref names is fetched by its own name.
    name = git(repository, "rev-parse", ref) if "~" in ref else ref
    found = _kernel_git.resolve(str(repository), name, "")
    bare = _kernel_git.fetch(tmp_path / "cache", found)
    (tmp_path / "files").mkdir()
    _kernel_git.export(bare, found.commit, tmp_path / "files")
    assert (tmp_path / "files/Makefile").read_text() == content


def test_what_is_there_is_not_fetched_again(tmp_path: pathlib.Path, repository: pathlib.Path) -> None:
    found = _kernel_git.resolve(str(repository), "v1", "")
    bare = _kernel_git.fetch(tmp_path, found)
    repository.rename(tmp_path / "away")
    assert _kernel_git.fetch(tmp_path, found) == bare
    with pytest.raises(BuildError, match=r"cannot be fetched from"):
        _kernel_git.fetch(tmp_path, _kernel_git.Commit(str(repository), "refs/heads/main", "0" * 40))


def test_errors_and_records_have_no_password() -> None:
    assert _kernel_git.shown("https://me:secret@git.example.org/linux.git") == "https://git.example.org/linux.git"
    assert _kernel_git.shown("/srv/git/linux@7") == "/srv/git/linux@7"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pathlib.Path]]:
    """Folders of two people's keys; the path is short, as the socket of gpg's agent asks for."""
    homes = {}
    for who in ("ours", "theirs"):
        homes[who] = tmp_path_factory.mktemp(who)
        homes[who].chmod(0o700)
        command = ["gpg", "--homedir", str(homes[who]), "--batch", "--passphrase=", "--quick-gen-key", "a@example.org"]
        subprocess.run(command, check=True, capture_output=True)
    yield homes
    for home in homes.values():
        # gpg leaves its agent behind.
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


def public(home: pathlib.Path) -> str:
    command = ["gpg", "--homedir", str(home), "--armor", "--export"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_only_a_tag_that_one_of_the_keys_signed_is_taken(
    tmp_path: pathlib.Path, repository: pathlib.Path, keys: dict[str, pathlib.Path]
) -> None:
    git(repository, "tag", "--local-user=a@example.org", "--message=two", "v2", GNUPGHOME=str(keys["ours"]))
    signed = _kernel_git.resolve(str(repository), "v2", "")
    bare = _kernel_git.fetch(tmp_path, signed)
    _kernel_git.verify(bare, signed, public(keys["ours"]))
    with pytest.raises(BuildError, match=r"refs/tags/v2 of .* has no good signature by one of the given keys"):
        _kernel_git.verify(bare, signed, public(keys["theirs"]))
    unsigned = _kernel_git.resolve(str(repository), "v1", "")
    with pytest.raises(BuildError, match=r"refs/tags/v1 of .* has no good signature"):
        _kernel_git.verify(_kernel_git.fetch(tmp_path, unsigned), unsigned, public(keys["ours"]))
    branch = _kernel_git.resolve(str(repository), "main", "")
    with pytest.raises(BuildError, match=r"is no signed tag: name one, or pin the commit"):
        _kernel_git.verify(bare, branch, public(keys["ours"]))


@pytest.fixture
def signed(repository: pathlib.Path, keys: dict[str, pathlib.Path]) -> pathlib.Path:
    """The same with two signed tags: v2 of the second commit, and nested of v2."""
    for name, what in (("v2", "main"), ("nested", "refs/tags/v2")):
        git(repository, "tag", "--local-user=a@example.org", "--message=two", name, what, GNUPGHOME=str(keys["ours"]))
    return repository


def test_a_signed_tag_of_a_signed_tag_stands_for_its_commit(
    tmp_path: pathlib.Path, signed: pathlib.Path, keys: dict[str, pathlib.Path]
) -> None:
    found = _kernel_git.resolve(str(signed), "nested", "")
    assert found.commit == git(signed, "rev-parse", "main")
    _kernel_git.verify(_kernel_git.fetch(tmp_path, found), found, public(keys["ours"]))


def test_a_commit_that_a_server_passes_off_as_the_signed_one_is_refused(
    tmp_path: pathlib.Path, signed: pathlib.Path, keys: dict[str, pathlib.Path]
) -> None:
    found = _kernel_git.resolve(str(signed), "v2", "")
    bare = _kernel_git.fetch(tmp_path, found)
    other = git(signed, "rev-parse", "v1^{commit}")
    lied = replace(found, url="https://me:secret@example.org/linux.git", commit=other)
    said = rf"refs/tags/v2 of https://example.org/linux.git is commit {other}, .* was signed for {found.commit}: "
    with pytest.raises(BuildError, match=said):
        _kernel_git.verify(bare, lied, public(keys["ours"]))


def test_a_signed_tag_that_is_served_under_another_name_is_refused(
    tmp_path: pathlib.Path, signed: pathlib.Path, keys: dict[str, pathlib.Path]
) -> None:
    git(signed, "update-ref", "refs/tags/v3", git(signed, "rev-parse", "refs/tags/v2"))
    found = _kernel_git.resolve(str(signed), "v3", "")
    bare = _kernel_git.fetch(tmp_path, found)
    with pytest.raises(BuildError, match=r"refs/tags/v3 of .*linux is a tag that was signed as 'v2', not as 'v3': "):
        _kernel_git.verify(bare, found, public(keys["ours"]))


@pytest.mark.parametrize(
    "ref",
    [
        "--upload-pack=touch MARK;git-upload-pack",
        "-v",
        "",
        "v1 --exec=x",
        "v1\n",
        "v1:refs/heads/main",
        "../../v1",
        "v*",
        "v1^{commit}",
        "v1\0",
    ],
)
def test_a_ref_that_git_could_take_for_something_else_is_refused(
    tmp_path: pathlib.Path, repository: pathlib.Path, ref: str
) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(Refused, match="no git ref"):
        _kernel_git.resolve(str(repository), ref.replace("MARK", str(mark)), "")
    assert not mark.exists()


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch mark'",
        "--upload-pack=touch mark",
        "ssh://-oProxyCommand=x/linux.git",
        "ssh://-oProxyCommand=x@example.org/linux.git",
        "example.org:linux.git",
        "linux.git",
        "https://example.org/li nux",
        "ftp://example.org/linux.git",
    ],
)
def test_a_url_that_names_a_program_or_an_option_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="no git repository"):
        _kernel_git.resolve(url, "v1", "")


def test_a_url_that_is_refused_keeps_its_password() -> None:
    with pytest.raises(Refused) as failure:
        _kernel_git.resolve("https://me:secret@example.org/a b", "v1", "")
    assert "secret" not in str(failure.value)


def test_git_is_not_configured_by_the_account_that_runs_it(
    tmp_path: pathlib.Path, repository: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each of these would take the repository elsewhere.
    (tmp_path / ".gitconfig").write_text(f'[url "{tmp_path}/nowhere"]\n\tinsteadOf = {repository}\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{tmp_path}/nowhere.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repository))
    found = _kernel_git.resolve(str(repository), "v1", "")
    assert found.commit == git(repository, "rev-parse", "v1^{commit}")
    _kernel_git.fetch(tmp_path / "cache", found)


def test_a_tag_that_ssh_signed_is_not_taken_by_signers_of_the_account(
    tmp_path: pathlib.Path,
    repository: pathlib.Path,
    keys: dict[str, pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"a@example.org {key.with_suffix('.pub').read_text()}")
    configuration = tmp_path / ".gitconfig"
    configuration.write_text(f'[gpg "ssh"]\n\tallowedSignersFile = {signers}\n')
    sign = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    git(repository, *sign, "tag", "--sign", "--message=two", "v2")
    # To the account it is a good one.
    git(repository, "verify-tag", "v2", GIT_CONFIG_GLOBAL=str(configuration))
    monkeypatch.setenv("HOME", str(tmp_path))
    found = _kernel_git.resolve(str(repository), "v2", "")
    with pytest.raises(BuildError, match=r"refs/tags/v2 of .* has no good signature by one of the given keys"):
        _kernel_git.verify(_kernel_git.fetch(tmp_path / "cache", found), found, public(keys["ours"]))


def test_only_the_fingerprint_of_a_given_key_makes_a_signature_good(
    tmp_path: pathlib.Path,
    signed: pathlib.Path,
    keys: dict[str, pathlib.Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _kernel_git.resolve(str(signed), "v2", "")
    bare = _kernel_git.fetch(tmp_path, found)
    # As by a gpg that took another signer for good.
    monkeypatch.setattr(_kernel_git, "_signers", lambda status: frozenset({"0" * 40}))
    with pytest.raises(BuildError, match=r"has no good signature by one of the given keys: it is signed, but"):
        _kernel_git.verify(bare, found, public(keys["ours"]))
