# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In-band authentication: secrets come, are changed under I/O without a reconnect, and outlive a reboot.

Last by its name, for the host needs its secrets from then on.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._dhchap import generate
from conftest import VOLUMES, everything_is_there, load, until
from machines import LAB_DIR, LONG, ROOT, reboot
from testinfra.host import Host

FIRST, SECOND = generate(), generate()
#: Name, cntlid, secret and its file's mode of each controller of a volume.
SHOWN = (
    "for one in /sys/class/nvme/nvme*; do grep -q ':vol' $one/subsysnqn && "
    "echo ${one##*/} $(cat $one/cntlid) $(cat $one/dhchap_secret) $(stat -c %a $one/dhchap_secret); done; :"
)


@pytest.fixture
def play(tmp_path: Path):
    def run(playbook: str, secret: str) -> None:
        variables = tmp_path / "secret.json"
        variables.touch(0o600)
        variables.write_text(json.dumps({"fabric_dhchap_secret": secret}))
        command = ["ansible-playbook", f"playbooks/{playbook}.yml", "--diff", "--extra-vars", f"@{variables}"]
        for inventory in ("inventories/lab", "molecule/host/inventory"):
            command += ["--inventory", str(ROOT / inventory)]
        command += ["--extra-vars", f"@{ROOT / 'molecule/host/vars/machines.yml'}"]
        settings = {**os.environ, "LAB_DIR": str(LAB_DIR)}
        result = subprocess.run(command, cwd=ROOT, env=settings, check=False, capture_output=True, text=True)
        print(result.stdout, result.stderr)
        assert result.returncode == 0
        assert [one for one in (FIRST, SECOND) if one in result.stdout + result.stderr] == []

    return run


def shown(initiator: Host) -> list[list[str]]:
    return [line.split() for line in initiator.check_output(SHOWN).splitlines()]


def has(initiator: Host, secret: str) -> None:
    """Fails, without a word of it, when a controller of a volume has another secret, or shows it to everyone."""
    found = [(shows == secret, mode) for _name, _cntlid, shows, mode in shown(initiator)]
    assert found == [(True, "600")] * len(VOLUMES)


def test_a_host_is_given_a_secret(play, initiator: Host) -> None:
    until(lambda: everything_is_there(initiator), 90)
    for playbook in ("targets", "hosts"):
        play(playbook, FIRST)
    until(lambda: everything_is_there(initiator), 30)
    has(initiator, FIRST)


def test_another_one_takes_its_place_under_io_without_a_reconnect(play, initiator: Host) -> None:
    before = shown(initiator)
    with load(initiator, VOLUMES["target1"]):
        play("rotate", SECOND)
    after = shown(initiator)
    assert [one[:2] for one in after] == [one[:2] for one in before]
    has(initiator, SECOND)
    # The second run finds nothing to do.
    play("rotate", SECOND)
    # What connects from now on is asked for the new one.
    for name, *_ in after:
        initiator.check_output(f"echo 1 > /sys/class/nvme/{name}/reset_controller")
    until(lambda: everything_is_there(initiator), 30)


@LONG
def test_it_is_the_one_of_the_next_boot(targets: dict[str, Host], initiator: Host) -> None:
    reboot(*targets.values(), initiator)
    until(lambda: everything_is_there(initiator), 120)
    has(initiator, SECOND)
