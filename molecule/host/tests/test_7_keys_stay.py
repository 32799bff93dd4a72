# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a host are in their files, and in nothing else that runs, right and wrong ones, leave on any machine.

After the rotation by its name: what is searched has seen keys come, change and go into use.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from machines import LAB_DIR, LONG, ROOT
from test_6_rotation import FIRST, SECOND
from testinfra.host import Host
from wrong_values import SECRET, mistakes, roles

UNUSED = generate()
MARKERS = [key.split(":")[2] for key in (FIRST, SECOND, UNUSED)]
#: On a machine: what to search for, which must be on no command line.
FILE = "/root/markers"
PLACES = "/etc /home /opt /root /run /srv /tmp /usr/local /var"
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
#: A wrong argument of each role, and a fabric that is none; a playbook is refused by the first that it comes to.
WRONG = {
    "fabric_networks": "soon",
    **{
        name: value
        for role in roles().values()
        for _, arguments in [
            min(mistakes(role["main"], UNUSED), key=lambda one: not isinstance(next(iter(one[1].values())), str))
        ]
        for name, value in arguments.items()
    },
}


class Controller:
    """Runs playbooks, and keeps what they print, log, cache and leave, and what is in the list of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.printed, self.processes = folder, [], set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def run(self, playbook: str | Path, *how: str, **variables: object) -> subprocess.CompletedProcess[str]:
        given = self.folder / "given.json"
        given.touch(0o600)
        given.write_text(json.dumps({"fabric_dhchap_secret": SECOND, **variables}))
        command = ["ansible-playbook", str(playbook), "-vvv", "--diff", *how]
        for inventory in ("inventories/lab", "molecule/host/inventory"):
            command += ["--inventory", str(ROOT / inventory)]
        command += ["--extra-vars", f"@{ROOT / 'molecule/host/vars/machines.yml'}", "--extra-vars", f"@{given}"]
        settings = {
            "LAB_DIR": str(LAB_DIR),
            "ANSIBLE_LOG_PATH": str(self.folder / "left/log"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "left/local"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.folder / "left/facts"),
        }
        ran = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, check=False, capture_output=True, text=True
        )
        self.printed += [ran.stdout, ran.stderr]
        return ran

    def found(self) -> list[str]:
        """The lines, of all that there is, in which a key is."""
        self.ended.set()
        self.thread.join()
        left = [path.read_text(errors="replace") for path in (self.folder / "left").rglob("*") if path.is_file()]
        texts = [*self.printed, *left, *self.processes]
        return [line[:200] for text in texts for line in text.splitlines() if any(one in line for one in MARKERS)]

    def _look(self) -> None:
        while not self.ended.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.processes.add(path.read_text(errors="replace").replace("\0", " "))
                except OSError:
                    # It ended.
                    continue


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    folder = tmp_path_factory.mktemp("controller")
    (folder / "left").mkdir()
    one = Controller(folder)
    yield one
    one.ended.set()


@pytest.fixture(scope="module")
def machines(targets: dict[str, Host], initiator: Host) -> Iterator[dict[str, Host]]:
    """All of them, each with a look at its list of processes from now on."""
    found = {**targets, "host1": initiator}
    look = f"while :; do grep -aFf {FILE} /proc/[0-9]*/cmdline 2>/dev/null; sleep 0.05; done"
    for name, machine in found.items():
        subprocess.run(
            ["ssh", "-F", LAB_DIR / "ssh_config", name, f"umask 077; cat > {FILE}"],
            input="".join(f"{marker}\n" for marker in MARKERS),
            text=True,
            check=True,
        )
        machine.check_output(f"systemd-run -q --collect --unit look -p StandardOutput=file:/run/look sh -c '{look}'")
    yield found
    for machine in found.values():
        machine.run(f"systemctl stop look; rm -f {FILE} /run/look")


def refused_on_machines(role: str) -> Iterator[tuple[str, dict]]:
    """Arguments that the specification lets pass and a machine refuses: each text beside keys is one of nothing."""
    for name, option in roles()[role]["main"].items():
        inner = option.get("options") or {}
        if not any(map(SECRET.search, inner)):
            continue
        keys = {one: UNUSED for one in inner if SECRET.search(one)}
        texts = [one for one, of in inner.items() if of.get("type") == "str" and not of.get("choices")]
        required = {one: "x" for one, of in inner.items() if of.get("required")}
        for text in texts:
            yield f"{name}.{text}", {name: [{**required, **keys, text: "no, such thing"}]}


WITH_KEYS = [role for role in roles() if any(refused_on_machines(role))]


@pytest.mark.parametrize("role", WITH_KEYS)
def test_what_a_machine_refuses(role: str, controller: Controller, machines: dict[str, Host]) -> None:
    """All of a role in one playbook, on the machines that have it; nothing of them is right, so check mode says no."""
    tasks = [
        {
            "block": [
                {
                    "ansible.builtin.include_role": {"name": f"nvmeof.mptcp.{role}", "tasks_from": "preflight"},
                    "vars": variables,
                },
                {"ansible.builtin.fail": {"msg": f"ACCEPTED {wrong}"}},
            ],
            "rescue": [{"ansible.builtin.meta": "noop"}],
        }
        for wrong, variables in refused_on_machines(role)
    ]
    host = "host1" if role == "nvme_host" else "target1"
    play = controller.folder / "play.yml"
    play.write_text(json.dumps([{"hosts": host, "become": True, "gather_facts": False, "tasks": tasks}]))
    ran = controller.run(play, "--check")
    assert f"rescued={len(tasks)} " in ran.stdout, ran.stdout[-2000:] + ran.stderr[-2000:]


@pytest.mark.parametrize("playbook", [pytest.param(one, marks=[] if one == "site" else [LONG]) for one in PLAYBOOKS])
def test_what_a_playbook_refuses(playbook: str, controller: Controller, machines: dict[str, Host]) -> None:
    ran = controller.run(f"playbooks/{playbook}.yml", **WRONG)
    assert ran.returncode != 0
    recap = re.findall(r"^\S+ +: ok=.* changed=(\d+)", ran.stdout, re.MULTILINE)
    assert recap
    assert set(recap) == {"0"}


def test_no_key_is_anywhere_else_on_the_machines(machines: dict[str, Host]) -> None:
    for name, machine in machines.items():
        assert (name, machine.run(f"journalctl --quiet --no-pager --output export | grep -aFf {FILE}").stdout) == (
            name,
            "",
        )
        assert (name, machine.check_output("cat /run/look")) == (name, "")
        found = machine.run(
            f"grep -rlaFf {FILE} {PLACES} 2>/dev/null | xargs -r stat -c '%a %U %n'"
        ).stdout.splitlines()
        files = [line for line in found if not line.endswith((FILE, ".journal"))]
        # Whose keys a machine has: both targets those of the host, the host its own.
        assert files, f"{name} has the key that it was given, so the search does find one"
        assert [line for line in files if not line.startswith("600 root /etc/nvmeof-mptcp/keys/")] == [], name


def test_no_key_is_in_anything_of_the_controller(controller: Controller) -> None:
    assert controller.printed
    assert controller.found() == []
