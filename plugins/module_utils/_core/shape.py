# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What foreign data has to look like, as a table, and the one check of it; the JSON of a file within limits.

A shape is a type (float also takes whole numbers, none but bool takes a boolean), a value that stands for itself, a
range, a Grammar for a text, a tuple of shapes of which one fits, a list of one shape for a list of any length, or a
dictionary.
A dictionary names its keys; C("key?") may be missing, and C(...) is the shape of every key that is not named.
"""

from __future__ import annotations

import json
import math
from typing import Any, Iterator, Mapping, NoReturn

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Grammar, shown

Shape = Any

#: No file of ours is deeper, and Python's own functions for what is nested take this.
DEEPEST = 32
#: No number of ours has more digits; Python takes a time that grows with their square.
DIGITS = 20

_TYPES: Mapping[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a dictionary",
}


class Unfit(ValueError):
    """Data that is not of its shape; the text names the place in it, what is there and what has to be."""


def check(value: Any, shape: Shape, where: str = "") -> None:
    """Raises Unfit for the first place where the value is not of the shape. where: what the value itself is called."""
    if isinstance(shape, dict):
        _check_keys(value, shape, where)
    elif isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            raise _unfit(value, shape, where)
        for number, entry in enumerate(value):
            check(entry, shape[0], f"{where}[{number}]")
    elif not any(map(_is(value), shape if _is_choice(shape) else (shape,))):
        # Of several shapes the one that is built like the value tells what is wrong inside.
        for one in shape if _is_choice(shape) else ():
            if isinstance(one, (dict, list)) and isinstance(value, (type(one), tuple)):
                check(value, one, where)
        raise _unfit(value, shape, where)


def bounded(value: Any) -> None:
    """Raises Unfit for what no JSON could hold: nested too deep, a text with half of a character, a huge number."""
    for one in _leaves(value):
        if isinstance(one, str):
            try:
                one.encode()
            except UnicodeEncodeError:
                raise Unfit("holds half of a character") from None
        elif isinstance(one, int) and one.bit_length() > 64:
            raise Unfit("has a number of more than 64 bits")
        elif isinstance(one, float) and not math.isfinite(one):
            raise Unfit("has a number without end, or none")


def parse(text: str) -> Any:
    """The JSON of a text. Raises Unfit for what is none, or is outside of the limits of files of ours."""
    try:
        found = json.loads(
            text,
            object_pairs_hook=_once,
            parse_int=_number,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except Unfit:
        raise
    except RecursionError:
        raise Unfit(f"is nested deeper than {DEEPEST}") from None
    except ValueError as error:
        raise Unfit(f"is not valid JSON ({error})") from None
    bounded(found)
    return found


def _check_keys(value: Any, shape: Mapping[Any, Shape], where: str) -> None:
    if not isinstance(value, Mapping):
        raise _unfit(value, shape, where)
    known = {name.rstrip("?"): name for name in shape if name is not ...}
    for key in value:
        if not isinstance(key, str) or (key not in known and ... not in shape):
            keys = f" (it has {', '.join(known)})" if len(known) < 10 else ""
            raise Unfit(f"the key {_shown(key)}{f' of {where}' if where else ''} is unknown to this release{keys}")
        check(value[key], shape[known.get(key, ...)], f"{where}.{_named(key)}" if where else _named(key))
    for key, name in known.items():
        if key == name and key not in value:
            raise Unfit(f"{f'{where}.{key}' if where else key} is missing")


def _is(value: Any) -> Any:
    return lambda shape: _fits(value, shape)


def _is_choice(shape: Shape) -> bool:
    return isinstance(shape, tuple) and not isinstance(shape, Grammar)


def _fits(value: Any, shape: Shape) -> bool:
    if isinstance(shape, Grammar):
        return isinstance(value, str) and len(value) <= shape.longest and bool(shape.pattern.fullmatch(value))
    if isinstance(shape, range):
        return isinstance(value, int) and not isinstance(value, bool) and value in shape
    if isinstance(shape, type):
        if isinstance(value, bool):
            return shape in (bool, object)
        return isinstance(value, (int, float) if shape is float else shape)
    if isinstance(shape, (dict, list)):
        try:
            check(value, shape)
        except Unfit:
            return False
        return True
    # 1 == True in Python, and is not the same here.
    return isinstance(value, type(shape)) and isinstance(value, bool) == isinstance(shape, bool) and value == shape


def _unfit(value: Any, shape: Shape, where: str) -> Unfit:
    return Unfit(f"{where or 'it'} is {_shown(value)} and must be {_form(shape)}")


def _form(shape: Shape) -> str:
    if isinstance(shape, Grammar):
        return shape.form
    if _is_choice(shape):
        return " or ".join(dict.fromkeys(map(_form, shape)))
    if isinstance(shape, (dict, list)):
        return _TYPES[type(shape)]
    if isinstance(shape, range):
        return f"a whole number from {shape[0]} to {shape[-1]}"
    if isinstance(shape, type):
        return _TYPES[shape]
    return "null" if shape is None else repr(shape)


def _shown(value: Any) -> str:
    """A value of any size in a few words."""
    if isinstance(value, Mapping):
        return f"a dictionary of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    return shown(value)


def _named(key: str) -> str:
    return key if key.isprintable() and key.isascii() and len(key) < 100 else _shown(key)


def _leaves(value: Any) -> Iterator[Any]:
    """Everything in a value that holds nothing itself, keys among it, without recursion. Raises Unfit when too deep."""
    level = [value]
    for _depth in range(DEEPEST + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, Mapping):
                yield from one
                inner += one.values()
            elif isinstance(one, (list, tuple)):
                inner += one
            else:
                yield one
        level = inner
        if not level:
            return
    raise Unfit(f"is nested deeper than {DEEPEST}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise Unfit(f"has the key {_shown(key)} twice in one place")
        found[key] = value
    return found


def _number(digits: str) -> int:
    if len(digits) > DIGITS:
        raise Unfit(f"has a number of more than {DIGITS} digits")
    return int(digits)


def _fraction(text: str) -> float:
    found = float(text) if len(text) < 100 else math.inf
    if not math.isfinite(found):
        raise Unfit("has a number that is too long")
    return found


def _constant(name: str) -> NoReturn:
    raise Unfit(f"has {name}, which is no number")
