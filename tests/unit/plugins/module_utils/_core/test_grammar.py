# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import (
    GRAMMARS,
    Refused,
    checked,
    matches,
    shown,
)

VALUES = {
    "package": "linux-image-7.3.4+deb13-amd64",
    "version": "7.3.4-1~bpo13+1",
    "kernel release": "7.2.12+deb13-cloud-amd64",
    "URI": "http://deb.debian.org/debian",
    "hash": "0123456789abcdef",
    "NQN": "nqn.2014-08.org.nvmexpress:uuid:0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11",
    "interface": "bond0.100",
    "file name": "nvme-mptcp-modules-7.3.4+deb13-amd64_1%3a7.3.4-1~bpo13+1_amd64.deb",
    "line": "nvme0 is mounted",
    "address": "fe80::1%rail0",
    "number": "1500",
    "netmask": "255.255.255.128",
    "device": "nvme0c1n1",
    "git repository": "https://git.example.org/linux.git",
    "git ref": "v7.3.4",
    "configuration line": 'CONFIG_LSM="landlock,yama"',
}
#: Compared and printed, or one argument of a command that nothing splits.
WHOLE = ("line", "git repository", "git ref")
HOSTILE = ["{} -oDPkg::Pre-Invoke::=id", "-o{}", "{}\n", "\n{}", "{}\0", "{}\x1b[2J", "{}\u0661", "{}\u202e", ""]
MEANT_FOR_A_SHELL = ["{}$(id)", "{};id", "{}`id`", "../{}", "{}|id", "{}\\"]


@pytest.mark.parametrize("kind", GRAMMARS)
def test_a_value_is_taken_as_it_is(kind: str) -> None:
    assert checked(kind, VALUES[kind], "it") == VALUES[kind]


@pytest.mark.parametrize("kind", [kind for kind in GRAMMARS if kind not in WHOLE])
@pytest.mark.parametrize("text", HOSTILE + MEANT_FOR_A_SHELL)
def test_what_a_command_could_take_for_something_else_is_refused_with_its_field(kind: str, text: str) -> None:
    hostile = text.replace("{}", VALUES[kind])
    with pytest.raises(Refused) as refused:
        checked(kind, hostile, "it of host1")
    assert str(refused.value).startswith(f"it of host1 is {shown(hostile)}, which is no {kind} (")
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("text", ["{}\n", "{}\0", "{}\x1b[2J", "{}\u202e"])
def test_what_is_taken_whole_is_one_line_of_printable_ascii(kind: str, text: str) -> None:
    assert not matches(kind, text.replace("{}", VALUES[kind]))


@pytest.mark.parametrize("value", [None, 7, ["7.3.4"], {"a": 1}, True])
def test_what_is_no_text_is_none_of_them(value: object) -> None:
    assert not any(matches(kind, value) for kind in GRAMMARS)


def test_a_value_is_shown_on_one_line_and_not_long() -> None:
    assert shown("a\nb\x1b\u202e") == r"'a\nb\x1b\u202e'"
    assert shown("x" * 5000) == f"'{'x' * 119}… (5002 characters)"
