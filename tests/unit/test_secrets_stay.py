# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is wrong in what a role or a module is given: no key is in anything that a run leaves or prints."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible.module_utils import basic
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import alias, generate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "molecule/shared"))

from wrong_values import SECRET, mistakes, roles  # noqa: E402

MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
HOST, TARGET, PASSWORD = generate(), generate(), "marker-of-a-bmc"
MARKERS = [HOST.split(":")[2], TARGET.split(":")[2], PASSWORD]


def leaks(*texts: str) -> list[str]:
    """The lines that have a key in them."""
    return [line[:300] for text in texts for line in text.splitlines() if any(one in line for one in MARKERS)]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Two machines with keys, which are this one, and what the roles' defaults are made of."""
    machine = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
    keys = {
        "fabric_service_address": "192.0.2.130",
        "fabric_dhchap_secret": HOST,
        "fabric_dhchap_ctrl_secret": TARGET,
        "nvme_host_hostnqn": f"{NQN}:host1",
    }
    fabric = {
        "fabric_networks": [{"name": "rail0", "cidr": "192.0.2.0/25"}],
        "fabric_subsystems": [{"nqn": f"{NQN}:vol0", "allowed_hosts": ["host1"], "namespaces": []}],
        "nvme_kernel_power_cycle_command": f"false {PASSWORD}",
    }
    tree = {
        "all": {"vars": {**machine, **fabric}},
        "nvme_hosts": {"hosts": {"host1": keys}},
        "nvme_targets": {"hosts": {"target1": {"fabric_service_address": "192.0.2.129"}}},
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(tree))
    return tmp_path / "hosts.yml"


def ran(play: list, inventory: Path, *how: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A playbook's run with all that it can print, and the texts that it left in its files."""
    tmp_path = inventory.parent
    (tmp_path / "play.yml").write_text(json.dumps(play))
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_LOG_PATH": str(tmp_path / "left/log"),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "left/local"),
        "ANSIBLE_REMOTE_TMP": str(tmp_path / "left/remote"),
        "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "left/facts"),
    }
    (tmp_path / "left").mkdir()
    run = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-vvv",
            *how,
            "--diff",
            "-i",
            inventory,
            tmp_path / "play.yml",
        ],
        cwd=tmp_path,
        env={**os.environ, **settings},
        check=False,
        capture_output=True,
        text=True,
    )
    left = [path.read_text(errors="replace") for path in (tmp_path / "left").rglob("*") if path.is_file()]
    return run, left


NQN = "nqn.2026-11.org.example"


def wrong_arguments(role: str) -> Iterator[dict]:
    """A task for each: the role has to be refused by what its specification says, before its first task."""
    main = list(mistakes(roles()[role]["main"], HOST))
    for entry, options in roles()[role].items():
        # Those of another entry point are mostly the same.
        known = [] if entry == "main" else main[1:]
        for wrong, variables in (one for one in mistakes(options, HOST) if one not in known):
            yield {
                "name": f"{entry} {wrong}",
                "block": [
                    {
                        "ansible.builtin.include_role": {"name": f"nvmeof.mptcp.{role}", "tasks_from": entry},
                        "vars": variables,
                    },
                    {"ansible.builtin.fail": {"msg": f"ACCEPTED {entry} {wrong}"}},
                ],
                "rescue": [{"ansible.builtin.meta": "noop"}],
            }


@pytest.mark.parametrize("role", roles())
def test_a_wrong_argument_of_a_role_tells_no_key(role: str, inventory: Path) -> None:
    """All of a role in one playbook, and what it printed, logged, cached and left in temporary files."""
    tasks = list(wrong_arguments(role))
    play = [{"hosts": "host1", "gather_facts": False, "tasks": tasks}]
    run, left = ran(play, inventory, "--check")
    assert leaks(run.stdout, run.stderr, *left) == []
    assert "ACCEPTED" not in run.stdout
    assert f"rescued={len(tasks)} " in run.stdout, run.stdout[-3000:] + run.stderr[-3000:]
    assert any("Validation of arguments failed" in text for text in left), "the log was looked at"


def documented(name: str) -> dict:
    module = importlib.import_module(f"ansible_collections.nvmeof.mptcp.plugins.modules.{name}")
    return yaml.safe_load(module.DOCUMENTATION).get("options") or {}


def has_key(options: dict) -> bool:
    return any(SECRET.search(name) or has_key(one.get("suboptions") or {}) for name, one in options.items())


WITH_KEYS = [name for name in MODULES if has_key(documented(name))]


@pytest.mark.parametrize("name", WITH_KEYS)
def test_a_wrong_argument_of_a_module_tells_no_key(name: str, monkeypatch, capsys) -> None:
    """What the module answers, which -vvv shows whole, and what it says to the journal."""
    logged: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    module = importlib.import_module(f"ansible_collections.nvmeof.mptcp.plugins.modules.{name}")
    options = documented(name)
    keys = {option: HOST for option in options if SECRET.search(option)}
    refused = []
    wrong = [*mistakes(options, TARGET), ("no_such_option", {"no_such_option": "soon"})]
    wrong += [(f"malformed {option}", {option: f"{PASSWORD} {HOST}"}) for option in keys]
    # Ansible hides what it knows for a key wherever it comes again.
    wrong += [(alias(option), {alias(option): TARGET, "no_such_option": "soon"}) for option in keys]
    for where, arguments in wrong:
        required = {one: "x" for one, option in options.items() if option.get("required")}
        known = {} if "no_such_option" in arguments else keys
        given = {**required, **known, **arguments, "_ansible_check_mode": True, "_ansible_diff": True}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        with pytest.raises(SystemExit):
            module.main()
        told = capsys.readouterr()
        assert (where, leaks(told.out, told.err, *logged)) == (where, [])
        refused.append(json.loads(told.out).get("failed"))
    assert refused == [True] * len(wrong)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"ls --{PASSWORD}", "ended with status 2"),
        (f"no-such-command {PASSWORD}", "ended with status 2"),
        (f"'{PASSWORD}", "ended with status"),
    ],
    ids=["fails", "is not there", "has a quote that does not end"],
)
def test_a_command_that_cannot_cycle_the_power_tells_no_password(command: str, words: str, inventory: Path) -> None:
    tasks = yaml.safe_load((ROOT / "roles/nvme_kernel/tasks/boot.yml").read_text())
    [cycle] = [one for one in tasks[0]["rescue"] if one["name"] == "Cycle the power"]
    variables = {"nvme_kernel_power_cycle_command": command, "nvme_kernel_new": {"release": "7.3.4"}}
    play = [{"hosts": "host1", "gather_facts": False, "vars": variables, "tasks": [cycle]}]
    # The play itself has the password here, and is no file of the collection.
    run, left = ran(play, inventory)
    assert run.returncode != 0
    assert leaks(run.stdout, run.stderr, *left) == []
    assert "host1 does not answer since it was rebooted" in " ".join(run.stdout.split())
    assert words in " ".join(run.stdout.split())
