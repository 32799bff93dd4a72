# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fabric of the last release, under I/O, is deployed by this checkout: nothing is lost, forgotten or made again."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any, Iterator

import pytest
from conftest import Record, at_once
from fabric import NQN, identity, io, namespace_is_served, playbook
from machines import ROOT, reboot, until
from testinfra.host import Host

INVENTORY = ("--inventory", str(ROOT / "molecule/upgrade/inventory"))
#: Not scratch, for verify.yml writes to none that is in use.
VOLUME = {
    "nqn": NQN,
    "allowed_hosts": ["host1"],
    "namespaces": [{"nsid": 1, "device_path": "/dev/disk/by-id/virtio-vol0"}],
}
#: What the release serves besides, and the description of now does not name.
GONE = "nqn.2026-11.org.example:gone"
PROGRAM = "/usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz"
FOLDERS = ("/etc/nvmeof-mptcp", "/var/lib/nvmeof-mptcp")
REFERRAL = "/sys/kernel/config/nvmet/ports/1/referrals/busy"
_UTILS = "ansible_collections.nvmeof.mptcp.plugins.module_utils"


def site(*more: dict[str, Any], tree: Path = ROOT, **variables: Any) -> str:
    """What the site playbook of a tree says, which has to end well; more: subsystems that the target serves besides."""
    given = json.dumps({"fabric_subsystems": [VOLUME, *more], **variables})
    result = playbook("playbooks/site.yml", *INVENTORY, "--extra-vars", given, tree=tree)
    assert result.returncode == 0
    return result.stdout


def state(machine: Host) -> dict[str, Any]:
    """Every file of the saved state: owner and mode, and what it says or, of secrets, its hash."""
    code = (
        "import glob, hashlib, json, os; said = lambda path, text: "
        "hashlib.sha256(text).hexdigest() if '/keys/' in path else json.loads(text); "
        "print(json.dumps({path: [os.stat(path)[4:6], oct(os.stat(path)[0]), said(path, open(path, 'rb').read())] "
        f"for folder in {FOLDERS!r} for path in glob.glob(folder + '/**', recursive=True) if os.path.isfile(path)}}))"
    )
    return json.loads(machine.check_output(f'python3 -c "{code}"'))


def remembered(now: Any, before: Any) -> bool:
    """Whether what is known now has all that was, but for what is described no more."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(
            remembered(now.get(key), value) for key, value in before.items() if GONE not in key
        )
    if isinstance(before, list):
        kept = [one for one in before if not (isinstance(one, str) and GONE in one) and named(one) != GONE]
        return isinstance(now, list) and all(any(remembered(found, one) for found in now) for one in kept)
    return now == before


def named(one: Any) -> Any:
    return one.get("nqn") if isinstance(one, dict) else None


def units(machine: Host) -> dict[str, int]:
    """The process of every unit of the collection that runs one."""
    shown = machine.check_output("systemctl show --property=Id,MainPID 'nvmeof-mptcp-*.service'")
    return {name: int(process) for process, name in re.findall(r"MainPID=(\d+)\nId=(\S+)", shown) if process != "0"}


def in_program(machine: Host, code: str) -> str:
    """What a line of Python prints that has the modules of the program that is installed."""
    return machine.check_output(f"PYTHONPATH={PROGRAM} python3 -c '{code}'")


@contextlib.contextmanager
def busy(target: Host) -> Iterator[None]:
    """A discovery log that changes twice in half a minute, so that the host's program has work."""
    # Each change costs an emulated host seconds: stock nvme-cli is called for it too.
    target.check_output(
        f"mkdir {REFERRAL} && cd {REFERRAL} && printf mptcp > addr_trtype && printf ipv4 > addr_adrfam && "
        "printf 10.10.255.1 > addr_traddr && printf 4420 > addr_trsvcid && systemd-run -q --collect --unit busy "
        f"sh -c 'while :; do echo 1 > {REFERRAL}/enable; sleep 15; echo 0 > {REFERRAL}/enable; sleep 15; done'"
    )
    try:
        yield
    finally:
        target.check_output(f"systemctl stop busy; rmdir {REFERRAL}")


@pytest.fixture(scope="module")
def machines(target: Host, initiator: Host) -> dict[str, Host]:
    return {"target1": target, "host1": initiator}


@pytest.fixture(scope="module")
def deployed(release: Path, target: Host, machines: dict[str, Host]) -> dict[str, dict[str, Any]]:
    """The release's state of each machine, after its own site playbook."""
    target.check_output(f"truncate -s 16M /var/tmp/{GONE}")
    namespace = {"nsid": 1, "device_path": f"/var/tmp/{GONE}"}
    site({"nqn": GONE, "allowed_hosts": [], "namespaces": [namespace]}, tree=release)
    for machine in machines.values():
        # No kernel was tried; what a trial would have left is written by the release's own program.
        ledger = '{"trial": None, "proven": [os.uname().release], "installed": {}}'
        in_program(machine, f"import os; from {_UTILS} import _trial_ledger; _trial_ledger.write({ledger})")
    return {name: state(machine) for name, machine in machines.items()}


@pytest.fixture(scope="module")
def upgraded(deployed, target: Host, initiator: Host, machines: dict[str, Host]) -> dict[str, list[str]]:
    """Of each machine, who worked while another program did, during the upgrade; the I/O is judged here."""
    before = identity(initiator)
    old = {name: units(machine) for name, machine in machines.items()}
    assert {len(found) for found in old.values()} == {1, 2}, old
    with io(initiator, "--bs=16k --rate=256k") as measured, busy(target):
        records = {name: Record(machine) for name, machine in machines.items()}
        # Nobody may use it, but a kernel without nvmet's debugfs does not tell who uses which subsystem of a port.
        site(nvme_target_allow_disruption=[GONE])
        found = {name: record.read() for name, record in records.items()}
    print(f"longest stall of the I/O {measured['stall']:.1f} s")
    assert identity(initiator) == before
    for name, machine in machines.items():
        assert set(units(machine)) == set(old[name])
        assert not set(units(machine).values()) & set(old[name].values()), "every unit runs another process"
    # Both have worked: otherwise the record says nothing.
    workers = {process in old["host1"].values() for _path, _opening, process, takes in found["host1"] if takes}
    assert workers == {True, False}
    return {name: at_once(record, set(old[name].values())) for name, record in found.items()}


def test_never_two_programs_work_at_once(upgraded: dict[str, list[str]]) -> None:
    assert upgraded == {"target1": [], "host1": []}


def test_the_saved_state_was_read(upgraded, deployed, target: Host, machines: dict[str, Host]) -> None:
    assert {Path(path).name for found in deployed.values() for path in found} >= {
        "mptcp.json", "target.json", "host.json", "kernel.json",
        "mptcp.owned.json", "target.owned.json", "host.owned.json",
    }  # fmt: skip
    for name, machine in machines.items():
        now = state(machine)
        # A secret of which the file was not read would be in another file.
        assert [path for path, what in deployed[name].items() if not remembered(now.get(path), what)] == [], name
    # What the release made is known to be ours, or it would still be there.
    assert GONE not in target.check_output("ls /sys/kernel/config/nvmet/subsystems")


def test_a_second_run_changes_nothing(upgraded) -> None:
    recap = [line for line in site().splitlines() if "unreachable=" in line]
    assert len(recap) >= 2
    assert [line for line in recap if "changed=0" not in line] == []


def test_both_come_back_by_the_new_units(upgraded, target: Host, initiator: Host) -> None:
    reboot(target, initiator)
    until(lambda: namespace_is_served(initiator), 60)
    # It looks at the program that boots each machine, too.
    subsystems = json.dumps({"fabric_subsystems": [VOLUME]})
    assert playbook("playbooks/verify.yml", *INVENTORY, "--extra-vars", subsystems).returncode == 0
