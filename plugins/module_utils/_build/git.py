# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""One commit of a git repository: what a ref stands for, and its files.

A ref is looked up each time, because branches and even tags move. Objects are fetched once, without history, into a
bare repository for each URL. Nobody's configuration of git has a say in it: one names programs that git runs, and
signers that it believes.
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

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# Nobody is there to type a password, and no other protocol of git's runs a program that the URL names.
_SETTINGS = {
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}
_NOT_OURS = ("GIT_", "SSH_ASKPASS", "XDG_", "GNUPGHOME")


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
    check(url, ref)
    found = Commit(url, "", ref) if is_commit(ref) else _look_up(url, ref)
    if pinned and found.commit != pinned:
        raise BuildError(
            f"{ref} of {shown(url)} is commit {found.commit}, not {pinned}, to which it is pinned: find out why it "
            "moved, and pin the commit that you trust"
        )
    return found


def is_commit(ref: str) -> bool:
    """Whether a ref is the full name of a commit, which stands for nothing else."""
    return _COMMIT.fullmatch(ref) is not None


def check(url: str, ref: str) -> None:
    """Raises Refused for what git could take for an option or a program to run."""
    if not grammar.matches("git repository", url):
        form = grammar.GRAMMARS["git repository"].form
        raise grammar.Refused(f"git is {grammar.shown(shown(url))}, which is no git repository: {form}")
    grammar.checked("git ref", ref, "ref")


def fetch(cache: pathlib.Path, commit: Commit) -> pathlib.Path:
    """A bare repository that has the commit, and the tag if there is one; nothing is fetched when it has both."""
    repository = cache / "git" / hashlib.sha256(commit.url.encode()).hexdigest()[:16]
    with _cache.locked_folder(repository, lambda: None):
        if not (repository / "HEAD").exists():
            _git("init", "--quiet", "--bare", "--", str(repository))
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
        given = _primary_keys(_run(["gpg", "--batch", "--with-colons", "--list-keys"], environment).stdout)
        try:
            said = _git("verify-tag", "--raw", "--", commit.tag, repository=repository, environment=environment).stderr
            if not _signers(said) & given:
                raise BuildError("it is signed, but gpg names none of them as the signer")
        except BuildError as error:
            raise BuildError(
                f"{commit.ref} of {shown(commit.url)} has no good signature by one of the given keys: {error}"
            ) from None
    _check_tag(repository, commit)


def export(repository: pathlib.Path, commit: str, folder: pathlib.Path) -> None:
    """Write the files of a commit to an empty folder."""
    archive = ["git", f"--git-dir={repository}", "archive", "--format=tar", "--end-of-options", commit]
    with subprocess.Popen(archive, stdout=subprocess.PIPE, env=_environment({})) as process:
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


def _primary_keys(listing: str) -> frozenset[str]:
    """The fingerprints of the keys in a listing of gpg's; subkeys are not in it, for they belong to one of them."""
    found, primary = set(), False
    for line in listing.splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            primary = fields[0] == "pub"
        elif fields[0] == "fpr" and primary:
            found.add(fields[9])
    return frozenset(found)


def _signers(status: str) -> frozenset[str]:
    """The fingerprints of the primary keys whose signature gpg found valid."""
    lines = (line.split() for line in status.splitlines())
    return frozenset(words[-1] for words in lines if words[:2] == ["[GNUPG:]", "VALIDSIG"])


def _check_tag(repository: pathlib.Path, commit: Commit) -> None:
    """Raises BuildError unless the tag itself says what the server says of it; only the tag's own words are signed."""
    named = f"{commit.ref} of {shown(commit.url)}"
    try:
        name = commit.tag + "^{commit}"
        signed = _git(
            "rev-parse", "--verify", "--quiet", "--end-of-options", name, repository=repository
        ).stdout.strip()
    except BuildError:
        signed = "what is no commit"
    if signed != commit.commit:
        raise BuildError(
            f"{named} is commit {commit.commit}, as its server says, but was signed for {signed}: do not trust that "
            "server before you know why, and name another one"
        )
    header = _git("cat-file", "tag", commit.tag, repository=repository).stdout.partition("\n\n")[0]
    names = [line[len("tag ") :] for line in header.splitlines() if line.startswith("tag ")]
    wanted = commit.ref[len("refs/tags/") :] if commit.ref.startswith("refs/tags/") else commit.ref
    if names != [wanted]:
        raise BuildError(
            f"{named} is a tag that was signed as {', '.join(map(repr, names))}, not as {wanted!r}: another version "
            "may be passed off as this one; name the tag as it was signed if that is the one that you want"
        )


def _look_up(url: str, ref: str) -> Commit:
    names = [prefix + ref for prefix in ("refs/tags/", "refs/heads/", "refs/", "")]
    found = _list(url, (), *names, *(name + "^{}" for name in names))
    for name in names:
        if name in found and name.startswith("refs/"):
            peeled = found.get(name + "^{}")
            return Commit(url, name, peeled or found[name], found[name] if peeled else "")
    known = [name.split("/", 2)[2] for name in _list(url, ("--tags", "--heads")) if not name.endswith("^{}")]
    alike = difflib.get_close_matches(ref, known, 3)
    advice = "there is " + ", ".join(alike) if alike else "see git ls-remote for what it has"
    raise BuildError(f"{shown(url)} has no tag, branch or commit {ref!r}: {advice}")


def _list(url: str, options: t.Sequence[str], *names: str) -> dict[str, str]:
    try:
        output = _git("ls-remote", *options, "--", url, *names).stdout
    except BuildError as error:
        raise BuildError(f"{shown(url)} cannot be read: {error}") from None
    return {name: value for value, _, name in (line.partition("\t") for line in output.splitlines())}


def _has(repository: pathlib.Path, name: str) -> bool:
    command = ["git", f"--git-dir={repository}", "cat-file", "-e", name]
    return subprocess.run(command, capture_output=True, env=_environment({})).returncode == 0


def _git(
    *arguments: str, repository: pathlib.Path | None = None, environment: t.Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    where = [f"--git-dir={repository}"] if repository else []
    return _run(["git", *where, *arguments], environment or {})


def _environment(more: t.Mapping[str, str]) -> dict[str, str]:
    """Ours, without what tells git and gpg where else to look."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)}
    # There git looks for attributes.
    return {**inherited, "XDG_CONFIG_HOME": "/nonexistent", **_SETTINGS, **more}


def _run(
    command: t.Sequence[str], environment: t.Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    try:
        result = subprocess.run(
            command, input=stdin, capture_output=True, text=True, errors="replace", env=_environment(environment)
        )
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not installed: apt-get install {command[0]}") from None
    if result.returncode != 0:
        raise BuildError("; ".join(result.stderr.strip().splitlines()[-3:]) or f"ended with {result.returncode}")
    return result
