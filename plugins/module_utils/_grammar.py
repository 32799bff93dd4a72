# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Grammars of values that cross machines, checked where a value is used: whoever sent it is not believed.

None of them lets through what a command, a shell, a package manager or a terminal could take for anything else than a
value: no blank, no control character, no leading minus, no path where a name is meant.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple


class Refused(ValueError):
    """A value that is not what its name says; the text names the field, the value and what it has to look like."""


class Grammar(NamedTuple):
    """pattern: all of a value; longest: in characters; form: what a person reads that it has to look like."""

    pattern: re.Pattern[str]
    longest: int
    form: str


def _grammar(pattern: str, longest: int, form: str) -> Grammar:
    return Grammar(re.compile(pattern, re.ASCII), longest, form)


#: By what a value is.
GRAMMARS: Mapping[str, Grammar] = {
    # Debian policy 5.6.1, 5.6.12
    "package": _grammar(r"[a-z0-9][a-z0-9+.-]+", 200, "a Debian package's name: a-z, 0-9, + . -"),
    "version": _grammar(r"[0-9][A-Za-z0-9.+:~-]*", 100, "a Debian version: begins with a digit, A-Z a-z 0-9 . + : ~ -"),
    # uname -r: __NEW_UTS_LEN
    "kernel release": _grammar(r"[0-9]+\.[0-9][A-Za-z0-9.+~_-]*", 64, "a kernel release: 7.3.4+deb13-amd64"),
    "hash": _grammar(r"[0-9a-f]{6,128}", 128, "hexadecimal digits, 6 to 128 of them"),
    # NVM Express Base 4.5: 223 bytes with the year and month of the naming authority
    "NQN": _grammar(
        r"nqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[!-+\--~]+", 223, "nqn.<year>-<month>.<reversed domain>[:<name>], no comma"
    ),
    # dev_valid_name() of the kernel, less what a command could misread
    "interface": _grammar(r"(?!\.{1,2}\Z)[A-Za-z0-9_.][A-Za-z0-9_.@-]{0,14}", 15, "an interface's name"),
    "file name": _grammar(r"[A-Za-z0-9_+][A-Za-z0-9_.+~-]*", 255, "a file's name without a folder"),
}


def checked(kind: str, value: Any, field: str) -> str:
    """The value, which is of that kind. field: what holds it, for the message. Raises Refused."""
    grammar = GRAMMARS[kind]
    if isinstance(value, str) and len(value) <= grammar.longest and grammar.pattern.fullmatch(value):
        return value
    raise Refused(f"{field} is {shown(value)}, which is no {kind} ({grammar.form}); nothing was done with it")


def shown(value: Any, longest: int = 120) -> str:
    """A foreign value as a message or a journal line may hold it: printable ASCII on one line, and not long."""
    text = ascii(value)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"
