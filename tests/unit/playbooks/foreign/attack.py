# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text in every answer of every machine, replaced by hostile ones: what of it reaches another machine."""

from __future__ import annotations

import base64
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator
from unittest import mock

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar
from foreign import answers
from foreign.build_host import BuildHost
from foreign.fabric import NODES, Fabric, Visit, leaves

#: In place of what the machine would have said ({}), or behind it.
HOSTILE = (
    "{}\x1b]0;owned\x07",
    "{} -oDPkg::Chroot-Directory=/ -oDPkg::Pre-Invoke::=id>/root/x",
    "-oDPkg::Pre-Invoke::=id",
    "{}\nid",
    "{}$(id)",
    "{};id",
    "../../etc/{}",
    "{}\0",
    " ",
)
#: For the text of a kernel's configuration, which comes encoded.
HOSTILE_LINES = (
    'CONFIG_INITRAMFS_SOURCE="$(shell id)"',
    'CONFIG_INITRAMFS_SOURCE="x;id"',
    "CONFIG_NR_CPUS=8 -o x",
    "$(shell id)",
    "CONFIG_X=y\0",
    "include ../../etc/x",
)
_ANYTHING = grammar.Grammar(re.compile(".*", re.DOTALL), 1 << 20, "anything")


@dataclass(frozen=True)
class Case:
    """A text at a place in a machine's answer, and the tasks that the answer reaches."""

    machine: str
    variable: str
    path: tuple[Any, ...]
    text: str
    visits: list[Visit]

    def __str__(self) -> str:
        return f"{self.variable}{list(self.path)} of {self.machine} = {self.text!r}"


class Attack:
    """A fabric that is attacked by one of its machines at a time."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.cases = fabric, 0
        self._changed: set[int] = set()
        self._before = {id(visit): fabric.outcome(visit) for visit in fabric.visits}

    def unreached(self) -> list[str]:
        """The tasks that cannot be evaluated for any machine, with why for the last."""
        errors: dict[str, list[str]] = {}
        for visit in self.fabric.visits:
            errors.setdefault(visit.task.place, []).append(self._before[id(visit)].error)
        return [f"{place}: {found[-1]}" for place, found in errors.items() if all(found)]

    def of_one(self, case: Case) -> Iterator[tuple[str, str]]:
        """What comes of a case: ("violation", what is wrong), or ("refused", the kind of grammar that did it)."""
        self.cases += 1
        answer = answers.replaced(self.fabric.answers[case.machine][case.variable], case.path, case.text)
        told = {**self.fabric.answers, case.machine: {**self.fabric.answers[case.machine], case.variable: answer}}
        for visit in case.visits:
            before = self._before[id(visit)]
            after = self.fabric.outcome(visit, told, case.machine, before)
            if after != before:
                self._changed.add(id(visit))
            where = f"{visit.task.place} for {visit.machine}: {case}"
            if not all(line.isprintable() for line in after.printed):
                yield "violation", f"{where} is printed as it stands"
            if before.error:
                continue
            if after.error:
                kind = re.search(r"which is no ([a-zA-Z ]+) \(", after.error)
                yield ("refused", kind[1]) if kind else ("seen", "")
                if not _named(after.error, case, visit):
                    yield "violation", f"{where} ends in {after.error}"
                if after.words is not None and after.words[1]:
                    yield "violation", f"{where} runs {after.words} before it is refused"
            elif after.words is not None and not _same(after.words, before.words, case.machine):
                yield "violation", f"{where} makes {after.words} of {before.words}"

    def cases_of(self, machine: str, variable: str) -> Iterator[Case]:
        """Every text of one answer, replaced by all that is hostile."""
        answer, visits = self.fabric.answers[machine][variable], self._reached(machine, variable)
        for path in answers.strings(answer) if visits else ():
            self._changed = set()
            for number, text in enumerate(_texts(answer, path)):
                # What neither of two unlike texts has changed does not read the field.
                if number == 2:
                    visits_left = [visit for visit in visits if id(visit) in self._changed]
                yield Case(machine, variable, path, text, visits if number < 2 else visits_left)

    def _reached(self, machine: str, variable: str) -> list[Visit]:
        """The tasks that an answer reaches: by its name on the machine itself, by hostvars on any."""
        own = [visit for visit in self.fabric.touched(variable) if visit.machine == machine and leaves(visit.task)]
        told = {**self.fabric.answers, machine: dict(self.fabric.answers[machine])}
        del told[machine][variable]
        through = [
            visit
            for visit in self.fabric.touched("hostvars")
            if visit not in own
            and self.fabric.outcome(visit, told, "", self._before[id(visit)]) != self._before[id(visit)]
        ]
        return own + through


def _texts(answer: Any, path: Any) -> list[str]:
    if path == ("content",):
        return [base64.b64encode(f"CONFIG_NET=y\n{line}\n".encode()).decode() for line in HOSTILE_LINES]
    return [text.replace("{}", answers.at(answer, path)) for text in HOSTILE]


def _same(words: Any, before: Any, machine: str) -> bool:
    """Whether words are what they were; of a task of the machine itself those that the controller uses."""
    if words[0] == machine and before is not None:
        return all(before[1][option] == word for option, word in words[1].items())
    return bool(words == before)


def _named(error: str, case: Case, visit: Visit) -> bool:
    """Whether an error names the machine, as Ansible does itself of the one that a task is for, and the field."""
    names = [str(name) for name in case.path if not isinstance(name, int)] + list(visit.task.arguments)
    return (case.machine == visit.machine or case.machine in error) and any(name in error for name in names)


def everything() -> dict[str, Any]:
    """What the test judges.

    cases: their number. violations: what is wrong. registered: names of the answers of machines and of the build host.
    unreached: tasks that were not looked at. without: by kind of grammar, whether the test notices that it is gone.
    """
    with tempfile.TemporaryDirectory(prefix="hostile") as folder:
        build_host = BuildHost(Path(folder) / "build")
        package, source = "linux-image-cloud-amd64", {"tree": str(build_host.tree)}
        attack = Attack(Fabric({"nvme_kernel_package": package, "nvme_kernel_source": source}, build_host))
        violations: list[str] = []
        refused: dict[str, list[Case]] = {}
        for machine in NODES:
            for variable in attack.fabric.answers[machine]:
                for case in attack.cases_of(machine, variable):
                    # What reaches no other machine by its name is the same from each.
                    if all(visit.machine == machine for visit in case.visits) and machine != "host1":
                        break
                    for what, said in attack.of_one(case):
                        if what == "violation":
                            violations.append(said)
                        elif what == "refused":
                            refused.setdefault(said, []).append(case)
        without = {}
        for kind in refused:
            with mock.patch.dict(grammar.GRAMMARS, {kind: _ANYTHING}):
                found = (what for case in refused[kind] for what, _said in attack.of_one(case))
                without[kind] = "violation" in found
        return {
            "cases": attack.cases,
            "violations": violations,
            "registered": attack.fabric.registered(),
            "unreached": attack.unreached(),
            "without": without,
        }
