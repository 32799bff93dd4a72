# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's nvmet under changes: I/O goes on, a killed run is completed, keys let in whom they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Iterator

import pytest
from conftest import (
    FOLDER,
    LAB_DIR,
    NQN,
    NVMET,
    ROOT,
    connect,
    description,
    files,
    namespace,
    put,
    steps,
    until,
)
from testinfra.host import Host

MANY = 200
STALL = 1.0


def test_pairs_of_random_trees(machine: Host) -> None:
    """Any description follows any other, and nothing that is equal in both is touched: strace is the witness."""
    command = [sys.executable, str(ROOT / "tests/property/nvmet.py"), "--ssh-config", str(LAB_DIR / "ssh_config")]
    command += ["--host", "target1", "--pairs", os.environ.get("PAIRS", "60")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_io_goes_on_while_everything_beside_it_changes(emptied: Host) -> None:
    machine = emptied
    machine.check_output(f"truncate -s 64M {FOLDER}/live")
    live = namespace(1, f"{FOLDER}/live")
    beside = [namespace(number + 2, path) for number, path in enumerate(files(machine, [f"n{n}" for n in range(MANY)]))]
    changed = [{**one, "resv_enable": True} for one in beside]
    first, second = (key(machine) for _ in range(2))
    assert [len(done["plan"]) > 0 for done in steps(machine, description(live, dhchap_key=first))] == [True]
    assert connect(machine, dhchap_secret=first) == ""
    device = "/dev/disk/by-id/nvme-uuid.0b2c1e9e-3a2f-4a5c-9f4e-000000000001"
    machine.check_output(f"udevadm settle --exit-if-exists={device} && test -b {device} && dmesg --clear")
    machine.check_output(
        f"systemd-run -q --collect --unit nvmet-io fio --output={FOLDER}/fio.json --name=live --filename={device} "
        "--rw=randwrite --bs=16k --size=32m --time_based --runtime=3600 --verify=crc32c --verify_backlog=64 "
        "--verify_fatal=1 --rate=1m --direct=1 --ioengine=psync --output-format=json"
    )
    done = steps(
        machine,
        description(live, *beside, dhchap_key=first),
        description(live, *changed, dhchap_key=first),
        description(live, *changed, ports=(4420, 4421), dhchap_key=first),
        description(live, *changed, ports=(4420, 4421), dhchap_key=second),
        description(live, *changed, dhchap_key=second),
        description(live, dhchap_key=second),
    )
    assert machine.check_output("systemctl is-active nvmet-io") == "active"
    machine.check_output(
        "systemctl kill --signal INT nvmet-io; while systemctl -q is-active nvmet-io; do sleep 1; done"
    )
    assert machine.check_output("cat /sys/class/nvme/nvme*/state") == "live"
    # fio says first that it was asked to end.
    [job] = json.loads("{" + machine.check_output(f"cat {FOLDER}/fio.json").partition("{")[2])["jobs"]
    stall = max(job[what]["lat_ns"]["max"] for what in ("read", "write")) / 1e9
    operations = sum(len(one["plan"]) for one in done)
    print(f"{operations} operations beside the I/O, longest of {job['write']['total_ios']} writes {stall:.2f} s")
    assert operations > 4 * MANY
    assert job["error"] == 0
    assert job["write"]["total_ios"] > 100
    assert stall < STALL
    # udev reads the namespaces beside it, and one of those may go meanwhile.
    assert machine.run(r"dmesg | grep -iE 'I/O error.* nvme[0-9]+(c[0-9]+)?n1,'").stdout == ""


def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(emptied: Host) -> None:
    machine = emptied
    paths = files(machine, [f"k{n}" for n in range(22)])
    live = namespace(1, paths[0])
    before = description(live, *(namespace(n, paths[n]) for n in range(2, 12)))
    after = description(live, *(namespace(n, paths[n]) for n in range(12, 22)), ports=(4420, 4421))
    found = steps(machine, before, after, killed=True)
    assert len(found) >= 50
    assert {one["signal"] for one in found} == {9}
    assert all(one["completed"] for one in found)
    assert [one for one in found if one["enabled"] != ["1"] or one["moved"]] == []
    assert [one for one in found if one["again"] or one["left"] or one["ports"] != ["4420"]] == []


def key(machine: Host) -> str:
    return machine.check_output("nvme gen-dhchap-key --hmac=1")


def test_only_the_right_key_lets_a_host_in(emptied: Host) -> None:
    machine = emptied
    right, wrong = key(machine), key(machine)
    steps(machine, description(namespace(1, *files(machine, ["auth"])), dhchap_key=right))
    assert connect(machine, dhchap_secret=wrong) != ""
    assert connect(machine) != ""
    assert connect(machine, dhchap_secret=right) == ""


def test_what_is_as_described_is_not_even_opened_for_writing(emptied: Host) -> None:
    machine = emptied
    whole = description(namespace(1, *files(machine, ["same"])), dhchap_key=key(machine))
    steps(machine, whole)
    assert [done["plan"] for done in steps(machine, whole, under=f"strace -f -qq -y -o {FOLDER}/trace")] == [[]]
    calls = machine.check_output(f"grep {NVMET} {FOLDER}/trace").splitlines()
    assert len([call for call in calls if "openat(" in call]) > 20, "reading is seen"
    changing = ("O_WRONLY", "O_RDWR", " write(", "mkdir", "rmdir", "unlink", "symlink", "chmod")
    assert [call for call in calls if any(word in call for word in changing)] == []


def serve(machine: Host, secret: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Run the role nvme_target as a playbook does, with everything shown."""
    variables = {
        "nvme_target_hosts": description(dhchap_key=secret)["hosts"],
        "nvme_target_subsystems": description(
            *(namespace(number + 1, path) for number, path in enumerate(files(machine, list(names))))
        )["subsystems"],
        "nvme_target_ports": description()["ports"],
    }
    given = LAB_DIR / "variables.json"
    given.write_text(json.dumps(variables))
    command = ["ansible-playbook", "-i", str(ROOT / "inventories/lab"), "-vvv", "--diff", "-e", f"@{given}"]
    command += ["-e", f"@{ROOT / 'molecule/nvmet/vars/machine.yml'}", str(ROOT / "molecule/nvmet/tests/serve.yml")]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(result.stdout[-3000:].replace(secret, "THE KEY"), result.stderr.replace(secret, "THE KEY"))
    assert result.returncode == 0
    return result


@pytest.fixture
def forgotten(emptied: Host) -> Iterator[Host]:
    """A machine that afterwards knows of no description either."""
    yield emptied
    emptied.check_output(
        "systemctl disable -q --now nvmeof-mptcp-target; rm -r /etc/nvmeof-mptcp /var/lib/nvmeof-mptcp"
    )


def test_keys_are_nowhere_but_in_their_file(forgotten: Host) -> None:
    """With everything shown: the key is in no output, no process list, no journal, and in one file of mode 0600."""
    machine = forgotten
    secret = key(machine)
    machine.check_output(
        f"systemd-run -q --unit watch-processes -p StandardOutput=file:{FOLDER}/processes "
        "sh -c 'while sleep 0.05; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done 2>/dev/null'"
    )
    result = serve(machine, secret, "secret")
    machine.check_output("systemctl stop watch-processes")
    body = secret.split(":")[2]
    assert body not in result.stdout + result.stderr
    # The pattern in a file, for it must not be on a command line either.
    put(f"{FOLDER}/pattern", body.encode())
    found = machine.check_output(f"grep -rlaF -f {FOLDER}/pattern /etc /var /run /root /tmp || true").split()
    kept = [path for path in found if path != f"{FOLDER}/pattern"]
    assert len(kept) == 1, kept
    assert kept[0].startswith("/etc/nvmeof-mptcp/keys/target/")
    assert machine.check_output(f"stat -c %a {kept[0]}") == "600"
    assert machine.check_output(f"find {NVMET}/hosts -perm /077 -exec grep -l DHHC {{}} +; true") == ""


def test_boot_serves_what_it_can_and_the_rest_when_its_device_appears(forgotten: Host) -> None:
    machine = forgotten
    serve(machine, key(machine), "there", "late")
    steps(machine, {})
    machine.check_output(f"mv {FOLDER}/late {FOLDER}/away && systemctl restart --no-block nvmeof-mptcp-target")
    enabled = f"cat {NVMET}/subsystems/{NQN}/namespaces/{{}}/enable"
    until(lambda: machine.run(enabled.format(1)).stdout.strip() == "1", 60)
    assert machine.check_output(enabled.format(2)) == "0"
    assert machine.check_output(f"ls {NVMET}/ports/4420/subsystems") == NQN, "the first is served meanwhile"
    machine.check_output(f"mv {FOLDER}/away {FOLDER}/late")
    until(lambda: machine.run(enabled.format(2)).stdout.strip() == "1", 30)
    until(lambda: machine.run("systemctl is-active nvmeof-mptcp-target").stdout.strip() == "active", 30)
