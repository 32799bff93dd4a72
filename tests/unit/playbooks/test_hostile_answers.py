# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""No word of a machine becomes another word of a command on the controller, the build host or another machine.

Every text that the modules of roles and playbooks answer for a machine is replaced, one after the other, by hostile
ones, and every task that it can reach is performed as far as the programs that it starts.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    program = Path(__file__).with_name("hostile_answers.py")
    result = subprocess.run([sys.executable, str(program)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_no_word_changes_its_meaning_and_what_is_refused_is_named(found: dict[str, Any]) -> None:
    assert found["violations"] == []
    # Of a test that looks at nothing, nothing would be said.
    assert found["cases"] > 1000


def test_every_answer_and_every_task_is_looked_at(found: dict[str, Any]) -> None:
    texts = [path.read_text() for part in ("roles", "playbooks") for path in (ROOT / part).rglob("*.yml")]
    written = {name for text in texts for name in re.findall(r"^ +register: (\w+)$", text, re.MULTILINE)}
    assert {name for name in written if not name.startswith("__lab_")} == set(found["registered"])
    assert found["unreached"] == []


@pytest.mark.parametrize("kind", ["version", "NQN", "configuration line"])
def test_a_grammar_that_is_gone_is_noticed(found: dict[str, Any], kind: str) -> None:
    assert found["without"][kind] is True
