# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""One commit of a git repository: what a ref stands for, and its files.

A ref is looked up each time, because branches and even tags move. Objects are fetched once, without history, into a
bare repository for each URL.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import pathlib
import re
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._chroot import BuildError

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Commit:
    """What a ref of a repository stands for.

    ref: its full name, empty for a commit that was named itself. tag: the object of an annotated tag, else empty.
    """

    url: str
    ref: str
    commit: str
    tag: str = ""


def resolve(url: str, ref: str, pinned: str) -> Commit:
    """The commit that a tag, a branch or a commit's own name stands for; BuildError if another one is pinned."""
    found = Commit(url, "", ref) if _COMMIT.fullmatch(ref) else _look_up(url, ref)
    if pinned and found.commit != pinned:
        raise BuildError(
            f"{ref} of {shown(url)} is commit {found.commit}, not {pinned}, to which it is pinned: find out why it "
            "moved, and pin the commit that you trust"
        )
    return found


def fetch(cache: pathlib.Path, commit: Commit) -> pathlib.Path:
    """A bare repository that has the commit, and the tag if there is one; nothing is fetched when it has both."""
    repository = cache / "git" / hashlib.sha256(commit.url.encode()).hexdigest()[:16]
    with _cache.locked_folder(repository, lambda: None):
        if not (repository / "HEAD").exists():
            _git("init", "--quiet", "--bare", str(repository))
            # What is fetched belongs to no branch and must not be collected as garbage.
            _git("config", "gc.auto", "0", repository=repository)
        if not all(_has(repository, name) for name in (commit.commit, commit.tag) if name):
            what = commit.ref or commit.commit
            try:
                _git("fetch", "--quiet", "--depth=1", "--no-tags", "--", commit.url, what, repository=repository)
            except BuildError as error:
                raise BuildError(f"{what} cannot be fetched from {shown(commit.url)}: {error}") from None
            if not _has(repository, commit.commit):
                raise BuildError(f"{what} of {shown(commit.url)} moved while it was fetched: run again")
    return repository


def verify(repository: pathlib.Path, commit: Commit, keys: str) -> None:
    """Raises BuildError unless the ref is a tag that one of the keys signed, under that name and for that commit."""
    if not commit.tag:
        named = commit.ref or commit.commit
        raise BuildError(f"{named} of {shown(commit.url)} is no signed tag: name one, or pin the commit instead")
    with tempfile.TemporaryDirectory(prefix="gnupg-") as home:
        environment = {"GNUPGHOME": home}
        _run(["gpg", "--batch", "--quiet", "--import"], environment, stdin=keys)
        try:
            _git("verify-tag", commit.tag, repository=repository, environment=environment)
        except BuildError as error:
            raise BuildError(
                f"{commit.ref} of {shown(commit.url)} has no good signature by one of the given keys: {error}"
            ) from None
    _check_tag(repository, commit)


def export(repository: pathlib.Path, commit: str, folder: pathlib.Path) -> None:
    """Write the files of a commit to an empty folder."""
    archive = ["git", f"--git-dir={repository}", "archive", "--format=tar", commit]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as process:
        unpacked = subprocess.run(
            ["tar", "--extract", "--no-same-owner", f"--directory={folder}"],
            stdin=process.stdout,
            capture_output=True,
            text=True,
        )
    if process.returncode or unpacked.returncode:
        raise BuildError(f"commit {commit} cannot be unpacked in {folder}: {unpacked.stderr.strip() or 'git failed'}")


def shown(url: str) -> str:
    """The URL without a password in it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme else url


def _check_tag(repository: pathlib.Path, commit: Commit) -> None:
    """Raises BuildError unless the tag itself says what the server says of it; only the tag's own words are signed."""
    named = f"{commit.ref} of {shown(commit.url)}"
    try:
        signed = _git("rev-parse", "--verify", "--quiet", commit.tag + "^{commit}", repository=repository).strip()
    except BuildError:
        signed = "what is no commit"
    if signed != commit.commit:
        raise BuildError(
            f"{named} is commit {commit.commit}, as its server says, but was signed for {signed}: do not trust that "
            "server before you know why, and name another one"
        )
    header = _git("cat-file", "tag", commit.tag, repository=repository).partition("\n\n")[0]
    names = [line[len("tag ") :] for line in header.splitlines() if line.startswith("tag ")]
    wanted = commit.ref[len("refs/tags/") :] if commit.ref.startswith("refs/tags/") else commit.ref
    if names != [wanted]:
        raise BuildError(
            f"{named} is a tag that was signed as {', '.join(map(repr, names))}, not as {wanted!r}: another version "
            "may be passed off as this one; name the tag as it was signed if that is the one that you want"
        )


def _look_up(url: str, ref: str) -> Commit:
    names = [prefix + ref for prefix in ("refs/tags/", "refs/heads/", "refs/", "")]
    found = _list(url, *names, *(name + "^{}" for name in names))
    for name in names:
        if name in found and name.startswith("refs/"):
            peeled = found.get(name + "^{}")
            return Commit(url, name, peeled or found[name], found[name] if peeled else "")
    known = [name.split("/", 2)[2] for name in _list(url, "--tags", "--heads") if not name.endswith("^{}")]
    alike = difflib.get_close_matches(ref, known, 3)
    advice = "there is " + ", ".join(alike) if alike else "see git ls-remote for what it has"
    raise BuildError(f"{shown(url)} has no tag, branch or commit {ref!r}: {advice}")


def _list(url: str, *arguments: str) -> dict[str, str]:
    options = [argument for argument in arguments if argument.startswith("--")]
    try:
        output = _git("ls-remote", *options, "--", url, *(name for name in arguments if name not in options))
    except BuildError as error:
        raise BuildError(f"{shown(url)} cannot be read: {error}") from None
    return {name: value for value, _, name in (line.partition("\t") for line in output.splitlines())}


def _has(repository: pathlib.Path, name: str) -> bool:
    command = ["git", f"--git-dir={repository}", "cat-file", "-e", name]
    return subprocess.run(command, capture_output=True).returncode == 0


def _git(
    *arguments: str, repository: pathlib.Path | None = None, environment: t.Mapping[str, str] | None = None
) -> str:
    where = [f"--git-dir={repository}"] if repository else []
    return _run(["git", *where, *arguments], environment or {})


def _run(command: t.Sequence[str], environment: t.Mapping[str, str], stdin: str = "") -> str:
    # Nobody is there to type a password.
    settings = {**os.environ, "LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0", **environment}
    try:
        result = subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", env=settings)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed: apt-get install {command[0]}") from None
    if result.returncode != 0:
        raise BuildError("; ".join(result.stderr.strip().splitlines()[-3:]) or f"ended with {result.returncode}")
    return result.stdout
