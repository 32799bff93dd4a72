# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""A kernel's configuration: a base, fragments on top of it in order, and the proof that what they ask for came about.

Kconfig drops without a word what it does not know and what lacks a dependency.
"""

from __future__ import annotations

import pathlib
import re
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar

# A target of the source's own make: defconfig, x86_64_defconfig, tinyconfig.
TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*config")

_SET = re.compile(r"(CONFIG_\w+)=(.+)", re.ASCII)
_UNSET = re.compile(r"# (CONFIG_\w+) is not set", re.ASCII)

# Symbols with the file of a key in them. The distribution has the file where it builds its kernels, and only there;
# without the symbol the build makes a key of its own, or trusts no other.
_KEY_FILES = ("CONFIG_MODULE_SIG_KEY", "CONFIG_SYSTEM_TRUSTED_KEYS", "CONFIG_SYSTEM_REVOCATION_KEYS")

# What a distribution's build leaves of itself: another one for each of its kernels, and no matter of the configuration.
_OF_ONE_BUILD = ("CONFIG_BUILD_SALT", "CONFIG_CC_VERSION_TEXT")

Make = t.Callable[[str], str]


@dataclass(frozen=True)
class Text:
    """A patch or a fragment of a configuration, and what errors call it."""

    name: str
    text: str


def parse(text: str) -> dict[str, str]:
    """The symbols of a configuration with their values; "n" for one that is said not to be set."""
    found = {}
    for line in _lines(text):
        if match := _SET.fullmatch(line):
            found[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line):
            found[match[1]] = "n"
    return found


def _lines(text: str) -> list[str]:
    """The lines as Kconfig tells them apart; what else str.splitlines() ends a line at is part of one there."""
    return [line.strip(" \t\r") for line in text.split("\n")]


def merged(fragments: t.Iterable[Text]) -> dict[str, str]:
    """The symbols of all fragments; of several values the last."""
    return {symbol: value for fragment in fragments for symbol, value in parse(fragment.text).items()}


def of_any_build(base: str) -> str:
    """The text of a configuration without what only tells by which build of a kernel it was used."""
    return "".join(line for line in base.splitlines(keepends=True) if line.partition("=")[0] not in _OF_ONE_BUILD)


def check(texts: t.Iterable[Text]) -> None:
    """Raises Refused for a line that is neither a symbol with a value that no command misreads nor a comment."""
    for text in texts:
        for number, line in enumerate(_lines(text.text), 1):
            if line and not (line.startswith("#") and line.isprintable()):
                grammar.checked("configuration line", line, f"{text.name} line {number}")


def configure(source: pathlib.Path, base: str, fragments: t.Sequence[Text], make: Make) -> None:
    """Write the source's .config.

    base: a target of make, or the text of a configuration. make: runs make with a target in the source.
    Raises BuildError, naming each symbol of a fragment that has another value afterwards.
    """
    config = source / ".config"
    if TARGET.fullmatch(base):
        make(base)
    else:
        with chroot.opened(source.parent, config, "wb") as stream:
            stream.write(_without_missing_keys(base, source).encode())
    # Of several lines for a symbol Kconfig takes the last.
    with chroot.opened(source.parent, config, "ab") as stream:
        stream.writelines(f"{fragment.text}\n".encode() for fragment in fragments)
    make("olddefconfig")
    require(fragments, parse(chroot.read(source.parent, config).decode()))


def require(fragments: t.Sequence[Text], got: t.Mapping[str, str]) -> None:
    """Raises BuildError for each symbol whose last value in the fragments is not what it got."""
    asked = {symbol: part.name for part in fragments for symbol in parse(part.text)}
    wrong = [
        f"{symbol}: {asked[symbol]} wants {value}, got {got.get(symbol, 'n')}"
        for symbol, value in merged(fragments).items()
        if got.get(symbol, "n") != value
    ]
    if wrong:
        raise BuildError(
            f"the configuration did not take {'; '.join(wrong)}. This source has no such symbol, or lacks what the "
            "symbol depends on, or another one selects it: make menuconfig shows which with '/'"
        )


def _without_missing_keys(base: str, source: pathlib.Path) -> str:
    kept = []
    for line in base.splitlines():
        symbol, _, value = line.partition("=")
        file = value.strip('"')
        if symbol in _KEY_FILES and file and not file.startswith("certs/") and not (source / file).is_file():
            continue
        kept.append(line)
    return "\n".join(kept) + "\n"
