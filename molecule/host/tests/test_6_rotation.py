# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In-band authentication: secrets come, are changed under I/O without a reconnect, outlive a reboot, and are not seen.

After the tests of no secrets by its name, for the host needs its secrets from then on.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Callable, Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from conftest import UNIT, VOLUMES, everything_is_there, journal, load, mark, unreachable, until
from machines import LAB_DIR, LONG, ROOT, reboot
from testinfra.host import Host

FIRST, SECOND = generate(), generate()
LOOKS = "/var/tmp/onlooker"
#: From before the first controller of a boot until it is stopped.
ONLOOKER = f"""[Unit]
DefaultDependencies=no
Before=nvmeof-mptcp-host.service
[Service]
User=nobody
ExecStart=/usr/bin/python3 {LOOKS}.py
StandardOutput=append:{LOOKS}.log
[Install]
WantedBy=sysinit.target
"""
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


@pytest.fixture(scope="module", autouse=True)
def onlooker(initiator: Host) -> Iterator[Callable[[], list[str]]]:
    """The secrets that nobody could read since before the first was deployed."""
    program = base64.b64encode((Path(__file__).parent / "onlooker.py").read_bytes()).decode()
    unit = base64.b64encode(ONLOOKER.encode()).decode()
    initiator.check_output(
        f"base64 -d <<< {program} > {LOOKS}.py && base64 -d <<< {unit} > /etc/systemd/system/onlooker.service && "
        f"rm -f {LOOKS}.log && systemctl daemon-reload && systemctl -q enable --now onlooker"
    )

    def saw() -> list[str]:
        return [line for line in initiator.check_output(f"cat {LOOKS}.log").splitlines() if line != "looking"]

    until(lambda: initiator.run(f"grep -q looking {LOOKS}.log").rc == 0, 30)
    yield saw
    initiator.check_output(
        f"systemctl -q disable --now onlooker && rm /etc/systemd/system/onlooker.service {LOOKS}.* && "
        "systemctl daemon-reload"
    )


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


def test_a_dead_target_is_asked_again_and_again(targets: dict[str, Host], initiator: Host) -> None:
    """The unit connects what is lost: the live target's, and the dead one's until it is there again."""
    with unreachable(targets["target2"]) as end:
        since = mark(initiator)
        initiator.check_output("for one in /sys/class/nvme/nvme*; do echo 1 > $one/delete_controller; done")
        until(lambda: journal(initiator, since).count("10.10.255.2") > 0, 60)
        end()
    until(lambda: everything_is_there(initiator), 90)
    initiator.check_output(f"systemctl restart {UNIT}")
    until(lambda: everything_is_there(initiator), 60)
    has(initiator, SECOND)


@LONG
def test_it_is_the_one_of_the_next_boot(targets: dict[str, Host], initiator: Host) -> None:
    reboot(*targets.values(), initiator)
    until(lambda: everything_is_there(initiator), 120)
    has(initiator, SECOND)


def test_nobody_saw_any_of_them(onlooker: Callable[[], list[str]], targets: dict[str, Host], initiator: Host) -> None:
    """A connect of another program, to a target that is silent, shows its secret: the onlooker does look."""
    assert onlooker() == []
    decoy = generate()
    with unreachable(targets["target2"]):
        initiator.run(
            "printf %s transport=tcp,traddr=10.10.255.2,trsvcid=4420,duplicate_connect,"
            f"nqn={VOLUMES['target2']},dhchap_secret={decoy} > /dev/nvme-fabrics"
        )
    assert onlooker() == [decoy]
    assert initiator.check_output("stat -Lc %a /sys/class/nvme-fabrics/ctl") == "755"
    until(lambda: everything_is_there(initiator), 90)
