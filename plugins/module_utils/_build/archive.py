# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Packages of a kernel out of a Debian archive, by an apt of its own that knows nothing of what is installed here.

Only what belongs together is taken: a kernel's packages name one another with their very version. Everything else that
they need has to be on the machine that installs them.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import checked
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.debs import parse_fields

ARCHITECTURE = "amd64"
# Indices that are younger than this many seconds are taken as they are: each machine of a fleet asks.
_FRESH = 600
# Backports are an archive's second choice unless somebody asks for them.
_PINS = f"Package: *\nPin: release n={mmdebstrap.BACKPORTS}\nPin-Priority: 900\n"
# The host's own settings, but how it reaches its mirrors, are none of our business; neither is what is installed.
_SETTINGS = """\
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "{folder}/sources";
Dir::Etc::Preferences "{folder}/preferences";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{folder}/state";
Dir::State::Status "/dev/null";
Dir::Cache "{folder}/cache";
APT::Architecture "{architecture}";
APT::Architectures "{architecture}";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
{transport}
"""


# Fields of deb822 sources that have apt install what nobody signed, and the values that have it not.
_UNSIGNED = ("trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure")
_NO = ("no", "false", "without", "off", "disable", "0")
# Which apt does not know, and passes over.
_ACCEPTED = "x-unsigned"


class ArchiveError(Exception):
    """A package or an archive that cannot be had; the text says which."""


@dataclass(frozen=True)
class Package:
    """A package of the archive: name, version, and the file's hash and size."""

    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    needs: tuple[str, ...]

    @property
    def file(self) -> str:
        """The name that apt gives the file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


class Archive:
    """One set of sources, with apt's indices in the cache."""

    def __init__(self, cache: pathlib.Path, mirror: str, repository: str) -> None:
        """mirror: of Debian, for backports. repository: sources in deb822(5) to take instead.

        Raises ArchiveError for sources that need no signature and do not say that this is meant.
        """
        check_signed(repository)
        self._sources = (
            {"site.sources": repository + "\n"} if repository else {"debian.list": mmdebstrap.sources(mirror)}
        )
        self._pins = "" if repository else _PINS
        key = _cache.content_hash({"sources": self._sources, "pins": self._pins})
        self._folder = cache / "apt" / key

    def resolve(self, name: str, say: t.Callable[[str], None]) -> list[Package]:
        """The package of that name and what it needs of its own version, read in indices that are fresh."""
        with _cache.locked_folder(self._folder, lambda: say("waiting for another process that reads the archive")):
            self._refresh()
            return closure(name, self._show)

    def download(self, packages: t.Sequence[Package], folder: pathlib.Path) -> None:
        """Fetch packages into a folder; apt compares them with the hashes in its signed indices."""
        self._run(["apt-get", "download", "--", *[f"{one.name}={one.version}" for one in packages]], folder)

    def _refresh(self) -> None:
        stamp = self._folder / "updated"
        if stamp.exists() and 0 <= time.time() - stamp.stat().st_mtime < _FRESH:
            return
        for name in ("sources", "state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in self._sources.items():
            (self._folder / "sources" / name).write_text(text, encoding="utf-8")
        (self._folder / "preferences").write_text(self._pins, encoding="utf-8")
        dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
        settings = _SETTINGS.format(
            folder=self._folder, architecture=ARCHITECTURE, transport="\n".join(mmdebstrap.transport_options(dump))
        )
        (self._folder / "apt.conf").write_text(settings, encoding="utf-8")
        # An index that cannot be had, or is not signed by the key that is named, is only a warning otherwise.
        self._run(["apt-get", "update", "--error-on=any"], self._folder)
        stamp.touch()

    def _show(self, name: str) -> Package | None:
        try:
            fields = parse_fields(self._run(["apt-cache", "show", "--no-all-versions", "--", name], self._folder))
        except ArchiveError:
            return None
        if "Filename" not in fields:
            return None
        of = f"of {name} in the archive"
        version = checked("version", fields["Version"], f"Version {of}")
        return Package(
            checked("package", fields["Package"], f"Package {of}"),
            version,
            checked("package", fields["Architecture"], f"Architecture {of}"),
            checked("hash", fields["SHA256"], f"SHA256 {of}"),
            int(fields["Size"]),
            of_one_version(f"{fields.get('Pre-Depends', '')}, {fields.get('Depends', '')}", version),
        )

    def _run(self, argv: t.Sequence[str], folder: pathlib.Path) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        result = subprocess.run(
            argv, cwd=folder, env=environment, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode:
            said = [line for line in result.stderr.splitlines() if line.startswith(("E:", "W:"))]
            raise ArchiveError(f"{' '.join(argv[:3])}: {'; '.join(said) or result.stderr.strip()}")
        return result.stdout


def check_signed(repository: str) -> None:
    """Raises ArchiveError for a paragraph of sources that switches signatures off without the word that accepts it."""
    for paragraph in re.split(r"\n[ \t\r]*\n", repository):
        fields = [line.partition(":") for line in paragraph.splitlines() if not line.startswith((" ", "\t", "#"))]
        said = [(name.strip().lower(), value.strip().lower()) for name, _, value in fields]
        off = [name.title() for name, value in said if name in _UNSIGNED and value not in _NO]
        if off and (_ACCEPTED, "accepted") not in said:
            raise ArchiveError(
                f"its sources say {', '.join(off)}: whoever is on the way to them decides what is installed as root. "
                "Name the key that signs them (Signed-By), or add the line 'X-Unsigned: accepted' beside it"
            )


def of_one_version(depends: str, version: str) -> tuple[str, ...]:
    """The packages of a dependency field that are asked for in exactly that version."""
    found = re.findall(r"([^\s,|(]+)\s*\(=\s*([^)\s]+)\)", depends)
    named = (name.partition(":")[0] for name, wanted in found if wanted == version)
    return tuple(checked("package", name, "a package in Depends") for name in named)


def closure(name: str, show: t.Callable[[str], Package | None]) -> list[Package]:
    """A package and all that belong to it. show: a package by `name` or `name=version`, None when there is none.

    Raises ArchiveError, and Refused for a name that is none.
    """
    first = show(checked("package", name, "package"))
    if first is None:
        raise ArchiveError(f"the archive has no package {name}: correct its name, or name the repository that has it")
    found = {first.name: first}
    waiting = [first]
    while waiting:
        package = waiting.pop()
        for needed in package.needs:
            if needed not in found:
                one = show(f"{needed}={package.version}")
                if one is None:
                    raise ArchiveError(
                        f"{package.name} {package.version} needs {needed} of the same version, which the archive lacks"
                    )
                found[needed] = one
                waiting.append(one)
    return list(found.values())


def kernel_of(packages: t.Iterable[Package], name: str) -> str:
    """The release of the kernel that the packages install."""
    for package in packages:
        match = re.fullmatch(r"linux-image-(\d.*?)(-unsigned)?", package.name)
        if match:
            return match[1]
    raise ArchiveError(
        f"{name} is not the package of a kernel, nor does it need one of its own version: name one like "
        "linux-image-7.3.4+deb13-amd64, or a package that stands for the newest, like linux-image-amd64"
    )
