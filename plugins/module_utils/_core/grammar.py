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

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import HIDDEN


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
    "URI": _grammar(r"[a-z][a-z0-9+.-]*:[A-Za-z0-9._:/@+=~%,\[\]-]+", 2000, "a URI: http://deb.debian.org/debian"),
    "hash": _grammar(r"[0-9a-f]{6,128}", 128, "hexadecimal digits, 6 to 128 of them"),
    # NVM Express Base 4.5: 223 bytes with the year and month of the naming authority; less what a shell could misread
    "NQN": _grammar(
        r"nqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[A-Za-z0-9._:/@+=~%-]+",
        223,
        "nqn.<year>-<month>.<reversed domain>[:<name>] of A-Z a-z 0-9 . _ : / @ + = ~ % -",
    ),
    # dev_valid_name() of the kernel, less what a command could misread
    "interface": _grammar(r"(?!\.{1,2}\Z)[A-Za-z0-9_.][A-Za-z0-9_.@-]{0,14}", 15, "an interface's name"),
    "file name": _grammar(r"[A-Za-z0-9_+][A-Za-z0-9_.+~%-]*", 255, "a file's name without a folder"),
    # What is compared and printed, and nothing else.
    "line": _grammar(r"[ -~]*", 1024, "a line of printable ASCII"),
    "address": _grammar(r"[0-9a-fA-F:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?", 61, "an IPv4 or IPv6 address"),
    "number": _grammar(r"[0-9]+", 19, "a whole number"),
    "netmask": _grammar(r"[0-9]{1,3}(\.[0-9]{1,3}){0,3}", 15, "a prefix length or a netmask"),
    "device": _grammar(r"nvme[0-9]+(c[0-9]+)?n[0-9]+", 32, "a namespace's device: nvme0n1"),
    # gitprotocols(7) without what names a program, ext::, and without host:path; or a path
    "git repository": _grammar(
        r"((https?|ssh|git)://[A-Za-z0-9.\[][!-~]*|(file://)?/[ -~]*)",
        2000,
        "https://, http://, ssh:// or git://, or a path that begins with /",
    ),
    # git-check-ref-format(1), and no leading minus
    "git ref": _grammar(
        r"(?!-)(?!.*(\.\.|@\{|//|/\.|\.lock(/|\Z)))[!-)+-9;->@-Z\]_-}]+(?<![/.])",
        250,
        "the name of a tag, a branch or a commit as git-check-ref-format allows it, without a leading minus",
    ),
    # Kconfig's, and make's after it: a text goes to make and, unquoted, to shells.
    "configuration line": _grammar(
        r"CONFIG_[A-Za-z0-9_]+=([ymn]|-?[0-9]+|0x[0-9A-Fa-f]+|\"[A-Za-z0-9 _.,:/+=@%^~()\[\]-]*\")"
        r"|# CONFIG_[A-Za-z0-9_]+ is not set",
        4096,
        "CONFIG_NAME=y, m, n, a number or a text in double quotes without \\ $ ` \" ' ; & | < > #",
    ),
}


def checked(kind: str, value: Any, field: str) -> str:
    """The value, which is of that kind. field: what holds it, for the message. Raises Refused."""
    if matches(kind, value):
        return str(value)
    raise Refused(f"{field} is {shown(value)}, which is no {kind} ({GRAMMARS[kind].form}); nothing was done with it")


def matches(kind: str, value: Any) -> bool:
    """Whether a value is of that kind."""
    grammar = GRAMMARS[kind]
    return isinstance(value, str) and len(value) <= grammar.longest and bool(grammar.pattern.fullmatch(value))


def shown(value: Any, longest: int = 120) -> str:
    """A foreign value as a message or a journal line may hold it: printable ASCII on one line, and not long."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        # Lists in lists without end, a number of thousands of digits.
        return f"a value of type {type(value).__name__}"
    # A key in the wrong place is still a key.
    text = re.sub(r"DHHC-1:[^'\"\s]*", HIDDEN, text)
    return text if len(text) <= longest else f"{text[:longest]}… ({len(text)} characters)"


def line(text: str, longest: int = 8000) -> str:
    """A text as one line of a journal, whatever is in it: what is not printable is escaped, what is too long is cut."""
    escaped = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:longest])
    return escaped if len(text) <= longest else f"{escaped}… ({len(text)} characters)"
