# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order playbooks/kernels.yml reboots the machines of a fleet, and where it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks/kernels.yml"
TARGETS = ["target1", "target2", "target3"]
HOSTS = [f"host{number}" for number in range(1, 10)]
#: They have nothing to reboot for.
STAY = {"target3", "host9"}

PREFLIGHT = "- ansible.builtin.assert: {that: inventory_hostname not in refused}\n"
# Each machine writes down with which others it has its turn.
ROLE = """
- ansible.builtin.shell: echo "$BATCH" >> {log}
  environment: {{BATCH: "{{{{ ansible_play_batch | join(' ') }}}}"}}
- ansible.builtin.assert: {{that: inventory_hostname not in broken}}
"""


class Fleet:
    """The playbook with roles that write down when each machine has its turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "log"
        collection = folder / "ansible_collections/nvmeof/mptcp"
        (collection / "playbooks/tasks").mkdir(parents=True)
        shutil.copy(PLAYBOOK, collection / "playbooks")
        (collection / "playbooks/tasks/facts.yml").write_text("[]\n")
        for role in ("nvme_kernel", "mptcp", "nvme_target", "nvme_host"):
            tasks = collection / f"roles/{role}/tasks"
            tasks.mkdir(parents=True)
            (tasks / "preflight.yml").write_text(PREFLIGHT if role == "mptcp" else "[]\n")
        (collection / "roles/nvme_kernel/tasks/main.yml").write_text(ROLE.format(log=self._log))

    def run(self, **variables: Any) -> str:
        """What the playbook printed; it has to fail where a machine is refused or broken."""

        def group(names: list[str]) -> dict[str, Any]:
            return {"hosts": {name: {"nvme_kernel_other": name not in STAY} for name in names}}

        always = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        machines = {"nvme_targets": group(TARGETS), "nvme_hosts": group(HOSTS)}
        inventory = self._folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"children": machines}}))
        (self._folder / "empty.cfg").touch()
        settings = {"ANSIBLE_CONFIG": "empty.cfg", "ANSIBLE_COLLECTIONS_PATH": str(self._folder), "ANSIBLE_FORKS": "9"}
        given = json.dumps({**always, "nvme_kernel_held": False, "refused": [], "broken": [], **variables})
        # become of a play is stronger than a variable of the machine, not than one of the command line.
        command = ["ansible-playbook", "--inventory", str(inventory), "--extra-vars", given, "nvmeof.mptcp.kernels"]
        result = subprocess.run(
            command, env={**os.environ, **settings}, cwd=self._folder, check=False, capture_output=True, text=True
        )
        print(result.stdout, result.stderr)
        assert (result.returncode != 0) is bool(variables)
        assert (": Assertion failed" in result.stdout) is bool(variables)
        return result.stdout

    def batches(self) -> list[set[str]]:
        """The machines that had their turn, those together that had it at the same time."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        together = {line: len(line.split()) for line in lines}
        assert {line: lines.count(line) for line in lines} == together
        return [set(line.split()) for line in together]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


IN_PAIRS = [{"host1", "host2"}, {"host3", "host4"}, {"host5", "host6"}, {"host7", "host8"}]


def test_targets_reboot_one_by_one_and_hosts_in_quarters(fleet: Fleet) -> None:
    fleet.run()
    assert fleet.batches() == [STAY, {"target1"}, {"target2"}, *IN_PAIRS]


def test_the_first_target_that_fails_is_the_last_one_that_reboots(fleet: Fleet) -> None:
    fleet.run(broken=["target1"])
    assert fleet.batches() == [STAY, {"target1"}]


def test_the_first_batch_with_a_host_that_fails_is_the_last_one(fleet: Fleet) -> None:
    said = fleet.run(broken=["host3"])
    assert fleet.batches() == [STAY, {"target1"}, {"target2"}, *IN_PAIRS[:2]]
    assert "host5 is not rebooted, since host3 failed" in said


def test_a_machine_that_stays_up_and_fails_keeps_no_other_from_its_kernel(fleet: Fleet) -> None:
    fleet.run(broken=["host9"])
    assert fleet.batches() == [STAY, {"target1"}, {"target2"}, *IN_PAIRS]


def test_one_machine_that_is_refused_keeps_every_other_as_it_is(fleet: Fleet) -> None:
    fleet.run(refused=["host7"])
    assert fleet.batches() == []
