# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's nvmet under changes: I/O goes on, a killed run is completed, keys let in whom they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from conftest import (
    FOLDER,
    LAB_DIR,
    NVMET,
    ROOT,
    connect,
    description,
    files,
    namespace,
    put,
    steps,
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
    device = machine.check_output("ls /dev/disk/by-id/nvme-uuid.0b2c1e9e-3a2f-4a5c-9f4e-000000000001")
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
    assert "I/O error" not in machine.check_output("dmesg")


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


def test_keys_are_nowhere_but_in_their_file(emptied: Host) -> None:
    """With everything shown: the key is in no output, no process list, no journal, and in one file of mode 0600."""
    machine = emptied
    machine.check_output(f"truncate -s 1M {FOLDER}/secret")
    secret = key(machine)
    variables = {
        "nvme_target_hosts": description(dhchap_key=secret)["hosts"],
        "nvme_target_subsystems": description(namespace(1, f"{FOLDER}/secret"))["subsystems"],
        "nvme_target_ports": description()["ports"],
    }
    given = LAB_DIR / "keys.json"
    given.write_text(json.dumps(variables))
    machine.check_output(
        f"systemd-run -q --unit watch-processes -p StandardOutput=file:{FOLDER}/processes "
        "sh -c 'while sleep 0.05; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done 2>/dev/null'"
    )
    command = ["ansible-playbook", "-i", str(ROOT / "inventories/lab"), "-vvv", "--diff", "-e", f"@{given}"]
    command += ["-e", f"@{ROOT / 'molecule/nvmet/vars/machine.yml'}", str(ROOT / "molecule/nvmet/tests/serve.yml")]
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    machine.check_output("systemctl stop watch-processes")
    print(result.stdout[-3000:].replace(secret, "THE KEY"), result.stderr.replace(secret, "THE KEY"))
    assert result.returncode == 0
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
    machine.check_output(
        "systemctl disable -q --now nvmeof-mptcp-target; rm -r /etc/nvmeof-mptcp /var/lib/nvmeof-mptcp"
    )
