# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every task of roles and playbooks, in the order and with the variables in which Ansible would come to it.

Conditions are not looked at: what a task would do counts, whether or not it is its turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator

from ansible.parsing.dataloader import DataLoader
from ansible.template import trust_as_template

ROOT = Path(__file__).resolve().parents[4]
#: Made of other playbooks; and the lab, whose machines are the controller's own processes.
_LEFT_OUT = ("site.yml", "lab.yml")
_LISTS = ("block", "rescue", "always")
LOADER = DataLoader()


@dataclass(frozen=True)
class Task:
    """A task with the variables that it has beside the machine's, the task files' and roles' of its includes."""

    place: str
    action: str
    arguments: Any
    keywords: dict[str, Any]
    variables: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return str((self.arguments, self.keywords, self.variables))


def load(path: Path) -> Any:
    return LOADER.load_from_file(str(path), trusted_as_template=True) or []


def all_tasks() -> list[Task]:
    """Those of every playbook, and the handlers."""
    found = []
    for path in sorted((ROOT / "playbooks").glob("*.yml")):
        for play in [] if path.name in _LEFT_OUT else load(path):
            for part in ("pre_tasks", "roles", "tasks"):
                for entry in play.get(part, []):
                    if part == "roles":
                        found += _role(entry["role"], "main", play.get("vars", {}))
                    else:
                        found += _entry(entry, path, play.get("vars", {}))
    for path in sorted((ROOT / "roles").glob("*/handlers/*.yml")):
        for entry in load(path):
            found += _entry(entry, path, {})
    return found


def _role(name: str, file: str, variables: dict[str, Any]) -> Iterator[Task]:
    path = ROOT / "roles" / name.removeprefix("nvmeof.mptcp.") / "tasks" / f"{file}.yml"
    for entry in load(path):
        yield from _entry(entry, path, variables)


def _entry(entry: dict[str, Any], path: Path, variables: dict[str, Any]) -> Iterator[Task]:
    variables = {**variables, **entry.get("vars", {})}
    for name in _LISTS:
        for inner in entry.get(name, []):
            yield from _entry(inner, path, variables)
    actions = [key for key in entry if "." in key]
    if not actions:
        return
    [action] = actions
    keywords = {key: value for key, value in entry.items() if key not in (action, "vars")}
    task = Task(
        f"{path.relative_to(ROOT)}: {entry.get('name', action)}", action, entry[action] or {}, keywords, variables
    )
    yield task
    action = action.removeprefix("ansible.builtin.")
    inside = {**variables, **_loop(task)}
    if action in ("include_tasks", "import_tasks"):
        for inner in load(path.parent / task.arguments):
            yield from _entry(inner, path.parent / task.arguments, inside)
    elif action in ("include_role", "import_role") and "{{" not in task.arguments["name"]:
        yield from _role(task.arguments["name"], task.arguments.get("tasks_from", "main"), inside)


def _loop(task: Task) -> dict[str, Any]:
    """The variable of a loop, with its first item as it stands: what that is made of may be replaced later."""
    if "loop" not in task.keywords:
        return {}
    name = task.keywords.get("loop_control", {}).get("loop_var", "item")
    loop = task.keywords["loop"]
    if isinstance(loop, list):
        return {name: loop[0]}
    return {f"all_of_{name}": loop, name: trust_as_template("{{ all_of_" + name + "[0] }}")}


def in_loop(task: Task) -> Task:
    """The task as its first item finds it."""
    return replace(task, variables={**task.variables, **_loop(task)})
