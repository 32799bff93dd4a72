# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel that runs is the one that was asked for, it stays, and it is not built twice."""

from __future__ import annotations

from pathlib import Path

from conftest import arguments, build, reboot
from conftest import record as read_record
from machines import connect
from testinfra.host import Host


def test_the_running_kernel_was_built_from_the_commit_of_the_tag(machine: Host, commit: str) -> None:
    release = machine.check_output("uname -r")
    record = read_record(machine)
    assert record["kernel_release"] == release
    assert release.endswith(f"-mptcp.{record['input'][:8]}")
    assert record["source"]["commit"] == commit
    version = machine.check_output("cat /proc/version")
    assert version.startswith(f"Linux version {release} (nvmeof-mptcp@build) ({record['compiler']},")


def test_the_build_id_of_the_running_kernel_is_that_of_the_built_tree(machine: Host) -> None:
    notes = machine.check_output("od -An -v -tx1 /sys/kernel/notes | tr -d ' \\n'")
    built = read_record(machine)["build_id"]
    assert len(built) == 40
    assert built in notes


def test_modules_say_of_which_commit_they_are(machine: Host, commit: str) -> None:
    for name in ("nvme-fabrics", "nvme-tcp", "nvmet", "nvmet-tcp"):
        assert "/kernel/drivers/nvme/" in machine.check_output(f"modinfo -F filename {name}")
        assert machine.check_output(f"modinfo -F nvmeof_mptcp {name}").startswith(f"commit {commit}, input ")


def test_the_same_input_is_not_built_again(machine: Host) -> None:
    # With a mirror that does not exist there is no chroot to compile in, and a build would begin its log anew.
    built = build()
    assert built["changed"] is False
    assert built["release"] == machine.check_output("uname -r")
    log = Path(built["log"])
    before = log.stat().st_mtime
    assert (
        build(config_fragments=[*arguments()["config_fragments"], {"name": "same", "text": "# A comment.\n"}])[
            "packages"
        ]
        == built["packages"]
    )
    assert log.stat().st_mtime == before


def test_the_kernel_is_the_default_from_now_on() -> None:
    machines = [connect("target1"), connect("host1")]
    before = [machine.check_output("uname -r") for machine in machines]
    reboot(*machines)
    assert [machine.check_output("uname -r") for machine in machines] == before


def test_the_kernels_have_nothing_to_complain_about(machine: Host) -> None:
    # The lean configuration leaves out what the lab's command line turns off.
    said = machine.check_output("dmesg --level=emerg,alert,crit").splitlines()
    assert [line for line in said if "compiled without mitigations" not in line] == []
    assert machine.run("dmesg | grep -E 'WARNING:|BUG:|Call Trace|refcount_t'").stdout == ""
