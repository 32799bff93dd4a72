# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random cases by a printed seed, and whether a message is in words.

`make test` makes 2,000 of each kind, `make test-all` (TESTS=all) all of them. SEED repeats what a failure printed: a
whole run (SEED=1234) or one case of it (SEED=1234/56).
"""

from __future__ import annotations

import builtins
import os
import random
import re
import time
from typing import Iterator

#: Cases of a kind that `make test` makes.
FEW = 2000
_EXCEPTIONS = sorted(
    name for name, one in vars(builtins).items() if isinstance(one, type) and issubclass(one, BaseException)
)
_EXCEPTION = re.compile(rf"\b({'|'.join(_EXCEPTIONS)}|JSONDecodeError|Traceback)\b")


def cases(whole: int) -> Iterator[tuple[str, random.Random]]:
    """The seed of each case, for the message of a failure, and its random numbers. whole: how many there are in all."""
    seed = os.environ.get("SEED") or str(time.time_ns())
    count = whole if os.environ.get("TESTS") == "all" else min(FEW, whole)
    print(f"SEED={seed}")
    for one in [seed] if "/" in seed else (f"{seed}/{number}" for number in range(count)):
        yield one, random.Random(one)


def exception_in(text: str) -> str:
    """The name of a Python exception in a message for a person, or an empty text."""
    found = _EXCEPTION.search(text)
    return found.group() if found else ""
