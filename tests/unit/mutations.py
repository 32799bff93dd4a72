# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What damage does to data: a file whose bytes are not what was written, a tree that holds what nobody meant."""

from __future__ import annotations

import copy
import json
import random
from typing import Any, Callable

#: What may stand where something else is meant.
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**30, 10**5000, 0.5, 1e300, float("nan"), float("inf"),
    "", " ", "x", "-x", "--help", "../../etc/passwd", "a\nb", "\0", "\ud800", "\x1b[2J", "é" * 300, "x" * 5000,
    "10.10.0.1", "::1", "0", "true", "nqn.2026-11.org.example:other", "{{ 1 }}", b"bytes",
    [], [None], [[]], [1, "x"], {}, {"": None}, {"x": {}}, {1: 2}, {None: []}, (), {"nqn": []},
)  # fmt: skip
DEEP = 100_000


def deep(levels: int) -> Any:
    """Lists in lists, or dictionaries in dictionaries."""
    found: Any = []
    for number in range(levels):
        found = {"x": found} if levels % 2 and number % 2 else [found]
    return found


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every entry as the container it lies in and its key or index."""
    found, level = [], [value]
    while level:
        one = level.pop()
        if isinstance(one, dict):
            inside = [(one, key) for key in one]
        elif isinstance(one, list):
            inside = [(one, index) for index in range(len(one))]
        else:
            continue
        found += inside
        level += [container[key] for container, key in inside]
    return found


def _text(value: Any) -> str:
    try:
        return str(value)[:100]
    except ValueError:
        # Of a number of thousands of digits.
        return "9" * 100


def tree(value: Any, rng: random.Random, odd: tuple[Any, ...] = ODD, deepest: int = 2000) -> Any:
    """A copy of a tree of lists and dictionaries with one to three mistakes in it."""
    found = [copy.deepcopy(value)]
    for _mistake in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(found)
        container, key = rng.choice(places)
        what = rng.randrange(8)
        if what < 3:
            container[key] = copy.deepcopy(rng.choice(odd))
        elif what == 3 and container is not found:
            del container[key]
        elif what == 4:
            # One entry's value in the place of another's.
            other, where = rng.choice(places)
            container[key] = copy.deepcopy(other[where])
        elif what == 5:
            container[key] = rng.choice(([container[key]], {"x": container[key]}, _text(container[key])))
        elif what == 6 and isinstance(container, list) and container is not found:
            container.insert(rng.randrange(len(container) + 1), copy.deepcopy(container[key]))
        elif isinstance(container, dict):
            container[rng.choice(("x", "", "nqn", "name", "keys", key, 1 if odd is ODD else "1"))] = container[key]
            if what == 7 and rng.randrange(20) == 0:
                container[key] = deep(deepest + rng.randrange(2))
                # Nothing here can copy that.
                break
    return found[0]


def _flip(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:]


def _double(content: bytes, rng: random.Random) -> bytes:
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:last] + content[first:last] + content[last:]


def _insert(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    what = (
        b"\0", b"\xff", b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"NaN", b"-", b"1e999", b"9" * 5000, b"null",
        b'"x": 1, ', b"\\ud800", b"\xed\xa0\x80", b"[" * rng.choice((40, DEEP)), b'{"x":' * rng.choice((1, DEEP)),
    )  # fmt: skip
    return content[:at] + rng.choice(what) + content[at:]


def _end(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _cut, _double, _insert, _end)


def file(content: bytes, rng: random.Random) -> bytes:
    """The content of a JSON file after it was damaged: some bytes of it, or what it says."""
    if rng.randrange(3) == 0:
        return rng.choice(_BYTES)(content, rng)
    odd = tuple(one for one in ODD if not isinstance(one, (bytes, tuple)) and one not in ({1: 2}, {None: []}))
    mutated = tree(json.loads(content), rng, (*(one for one in odd if one != 10**5000), 10**3000), 200)
    return json.dumps(mutated, indent=rng.choice((None, 2))).encode()
