# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A target and a host as roles and playbooks see them, and what each task would have run for one of them."""

from __future__ import annotations

import base64
import functools
import re
import zlib
from dataclasses import dataclass, replace
from typing import Any, Iterator

import jinja2
from ansible.template import Templar
from ansible_collections.nvmeof.mptcp.plugins.filter import proof
from foreign import answers
from foreign.build_host import BuildHost
from foreign.tasks import LOADER, ROOT, Task, all_tasks, in_loop, load

BUILD = "build"
NODES = {"target1": 1, "host1": 2}
#: A machine that a --limit leaves out of the run.
_BESIDE = {"host2": 3}
_KEY = "DHHC-1:00:" + base64.b64encode(bytes(32) + zlib.crc32(bytes(32)).to_bytes(4, "little")).decode() + ":"
_NETWORKS = [{"name": "rail0", "cidr": "198.51.100.0/25"}, {"name": "rail1", "cidr": "198.51.100.128/25"}]
_SUBSYSTEMS = [
    {
        "nqn": answers.NQN,
        "allowed_hosts": ["host1"],
        "namespaces": [{"nsid": 1, "device_path": "/dev/vdb", "uuid": answers.UUID}],
    }
]
#: They print, wait or sort machines, and run nothing.
_RUN_NOTHING = ("debug", "fail", "assert", "meta", "group_by", "wait_for_connection")
#: Their options for people, whom Ansible shows them escaped. A condition is no text, and a word of none is run.
_TEXTS = ("msg", "fail_msg", "success_msg")
#: What the controller itself does with the options of a task for another machine.
_OF_CONTROLLER = {"ansible.builtin.copy": "src", "ansible.builtin.template": "src", "ansible.builtin.fetch": "dest"}

# A template is compiled once and not for every case, which is half of the time; so is the node program made.
proof.build = functools.lru_cache(maxsize=None)(proof.build)


def _compiled(environment: jinja2.Environment, source: Any, *arguments: Any) -> Any:
    key = (type(environment), str(source)) if isinstance(source, str) and not arguments else None
    if key is None:
        return _COMPILE(environment, source, *arguments)
    if key not in _CODE:
        _CODE[key] = _COMPILE(environment, source)
    return _CODE[key]


_CODE: dict[Any, Any] = {}
_COMPILE, jinja2.Environment.compile = jinja2.Environment.compile, _compiled


@dataclass(frozen=True)
class Outcome:
    """words: what a task would run, or hand to another machine. error: why it would not. printed: as it stands.

    given: the options, of a task that the build host performs.
    """

    words: Any = None
    error: str = ""
    printed: tuple[str, ...] = ()
    given: Any = None


@dataclass(frozen=True)
class Visit:
    """A task at its turn on a machine, with that machine's variables."""

    machine: str
    task: Task
    variables: dict[str, Any]


class Fabric:
    """settings: variables of the inventory beside the fabric's."""

    def __init__(self, settings: dict[str, Any], build_host: BuildHost) -> None:
        self._build_host = build_host
        self._settings = {
            **settings,
            "nvme_kernel_build_host": BUILD,
            "groups": {"nvme_targets": ["target1"], "nvme_hosts": ["host1", *_BESIDE]},
            "fabric_networks": _NETWORKS,
            "fabric_subsystems": _SUBSYSTEMS,
            "fabric_dhchap_secret": _KEY,
            "ansible_check_mode": False,
            "ansible_play_hosts_all": list(NODES),
            "ansible_play_hosts": list(NODES),
            "ansible_failed_result": {"msg": "it failed", "rebooted": True},
        }
        self.tasks = list({(task.place, task.text): in_loop(task) for task in all_tasks()}.values())
        self._defined: dict[str, Any] = {}
        for kind in ("defaults", "vars"):
            for path in sorted((ROOT / "roles").glob(f"*/{kind}/main.yml")):
                self._defined.update(load(path))
        #: By machine and name of the variable: what it answered.
        self.answers = {
            machine: {"ansible_facts": answers.facts(number)} for machine, number in {**NODES, **_BESIDE}.items()
        }
        for task in self.tasks:
            name = task.keywords.get("register")
            if name and BUILD not in str(self._template(self._variables("host1"), task, "delegate_to", "")):
                for machine in NODES:
                    self.answers[machine][name] = answers.answer(task)
        self.visits = [visit for machine in NODES for visit in self._walk(machine)]

    def _variables(self, machine: str, told: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
        told = told or self.answers
        hostvars = {
            name: {
                "inventory_hostname": name,
                "fabric_service_address": answers.SERVICE,
                "fabric_dhchap_secret": _KEY,
                **told[name],
            }
            for name in self.answers
        }
        group = "nvme_targets" if machine == "target1" else "nvme_hosts"
        own = {"hostvars": hostvars, "group_names": [group], **hostvars[machine]}
        return {**self._defined, **self._settings, **own}

    def _walk(self, machine: str) -> Iterator[Visit]:
        built: dict[str, Any] = {}
        for task in self.tasks:
            yield Visit(machine, task, dict(built))
            name = task.keywords.get("register")
            if name and name not in self.answers[machine]:
                variables = {**self._variables(machine), **built}
                built[name] = self._result(task, variables)

    def _result(self, task: Task, variables: dict[str, Any]) -> dict[str, Any]:
        given = self._arguments(task, variables)
        result, _started = self._build_host.run(task.action.removeprefix("nvmeof.mptcp."), given)
        assert "msg" not in result, f"{task.place}: {result}"
        return result

    def outcome(
        self,
        visit: Visit,
        told: dict[str, dict[str, Any]] | None = None,
        hostile: str = "",
        before: Outcome | None = None,
    ) -> Outcome:
        """told: what the machines answer, if not what they do. hostile: the machine whose own commands do not count.

        before: the outcome with what they do answer; what is given the same options again is not run again.
        """
        variables = {**self._variables(visit.machine, told), **visit.variables}
        task, printed = visit.task, self._printed(visit.task, variables)
        kind = task.action.removeprefix("ansible.builtin.")
        try:
            if self._loops_over_nothing(task, variables):
                return Outcome(None, "", printed)
            where = self._template(variables, task, "delegate_to", visit.machine)
            if kind in _RUN_NOTHING:
                for option in _TEXTS:
                    self._arguments(task, variables, option)
                return Outcome(None, "", printed)
            if where == hostile:
                option = _OF_CONTROLLER.get(task.action, "")
                words = self._arguments(task, variables, option) if option else {}
            else:
                words = self._arguments(task, variables)
            if where == BUILD and task.action.startswith("nvmeof.mptcp."):
                if before is not None and before.given == words:
                    return replace(before, printed=printed)
                result, started = self._build_host.run(task.action.removeprefix("nvmeof.mptcp."), words)
                return Outcome([where, started], result["msg"] if result.get("failed") else "", printed, words)
        except Exception as error:
            return Outcome(None, f"{type(error).__name__}: {error}", printed)
        return Outcome([where, words], "", printed)

    def _arguments(self, task: Task, variables: dict[str, Any], option: str = "") -> dict[str, Any]:
        # meta and the files of includes have one word.
        given = task.arguments if isinstance(task.arguments, dict) else {"": task.arguments}
        given = {name: value for name, value in given.items() if option in ("", name)}
        folder = ROOT / "/".join(task.place.split("/")[:2])
        templar = Templar(LOADER, {**variables, **task.variables, "ansible_search_path": [str(folder)]})
        return templar.template(given)

    def _loops_over_nothing(self, task: Task, variables: dict[str, Any]) -> bool:
        templar = Templar(LOADER, {**variables, **task.variables})
        return any(
            templar.template(task.variables[name]) == [] for name in task.variables if name.startswith("all_of_")
        )

    def _template(self, variables: dict[str, Any], task: Task, keyword: str, default: Any) -> Any:
        value = task.keywords.get(keyword, default)
        return Templar(LOADER, {**variables, **task.variables}).template(value)

    def _printed(self, task: Task, variables: dict[str, Any]) -> tuple[str, ...]:
        """What of a task Ansible prints without a form of its own: its name, and what stands for an item."""
        templar = Templar(LOADER, {**variables, **task.variables})
        control = task.keywords.get("loop_control", {})
        found = [task.keywords.get("name", "")]
        if "loop" in task.keywords:
            found.append(control.get("label", task.variables[control.get("loop_var", "item")]))
        texts = []
        for text in found:
            try:
                texts.append(templar.template(text))
            # Ansible prints the template then.
            except Exception:
                texts.append("")
        return tuple(text for text in texts if isinstance(text, str))

    def registered(self) -> list[str]:
        """The names of all answers that tasks register."""
        built = {name for visit in self.visits for name in visit.variables}
        return sorted((set(self.answers["host1"]) - {"ansible_facts"}) | built)

    def touched(self, name: str) -> list[Visit]:
        """The tasks that a variable can reach, through whatever other variables."""
        reached, before = {name}, 0
        while len(reached) != before:
            before = len(reached)
            words = re.compile(r"\b(" + "|".join(map(re.escape, sorted(reached))) + r")\b")
            defined = [*self._defined.items(), *self._settings.items()]
            defined += [item for task in self.tasks for item in task.variables.items()]
            reached |= {variable for variable, value in defined if words.search(str(value))}
        return [visit for visit in self.visits if words.search(visit.task.text)]


def leaves(task: Task) -> bool:
    """Whether a task can carry its machine's words elsewhere than to that machine: to another one, or to a screen."""
    shown = "loop" in task.keywords or "{{" in task.keywords.get("name", "")
    printed = any(name in _TEXTS for name in task.arguments)
    return shown or printed or "delegate_to" in task.keywords or task.action in _OF_CONTROLLER
