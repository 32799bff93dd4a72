# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernels of every kind on machines that boot from their disks: whatever one does, the machine ends on a good one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from typing import Any, Iterator

import pytest
from conftest import BOTH, LONG, NEWEST, PANICS, PLAYBOOK, UNIT, Trial, command, playbook, until, words
from machines import LAB_DIR, ROOT, boot_id, reboot

on_both = pytest.mark.parametrize("trial", BOTH, indirect=True)
on_both_long = pytest.mark.parametrize("trial", ["host1", "target1"], indirect=True)
WITHOUT = {"nvme_kernel_method": "package", "package": NEWEST}
#: Seconds of the kernel's life within which it has to be kept, where a test waits for them; a start takes up to 90.
SHORT = 180


@contextlib.contextmanager
def only_in_the_new_kernel(trial: Trial, line: str, *order: str) -> Iterator[None]:
    """A unit that does something in no other kernel than the one on trial."""
    # printf makes lines of it.
    text = "\\n".join(["[Unit]", "DefaultDependencies=no", f"ConditionKernelVersion=!{trial.old}", *order])
    text += f"\\n[Service]\\nType=oneshot\\nTimeoutStartSec=infinity\\nTimeoutStopSec=5\\n{line}"
    unit = "/etc/systemd/system/fault.service"
    wanted = "/etc/systemd/system/sysinit.target.wants"
    trial.machine.check_output(f"mkdir -p {wanted} && printf '{text}\\n' > {unit} && ln -s {unit} {wanted}/ && sync")
    try:
        yield
    finally:
        trial.machine.check_output(f"rm {unit} {wanted}/fault.service && systemctl daemon-reload")


@on_both
def test_nothing_reboots_and_nothing_is_installed_unless_that_is_allowed(trial: Trial) -> None:
    before = boot_id(trial.machine), trial.machine.check_output("ls /boot")
    refused = trial.run(**WITHOUT, nvme_kernel_reboot=False)
    assert refused.returncode != 0
    assert f"{trial.name}: kernel {trial.old}" in words(refused.stdout)
    assert "nothing reboots this machine without nvme_kernel_reboot: true" in words(refused.stdout)
    foreseen = trial.run("--check", "--diff", **WITHOUT)
    assert foreseen.returncode == 0
    assert f"after that {trial.old} again" in foreseen.stdout
    assert (boot_id(trial.machine), trial.machine.check_output("ls /boot")) == before


@LONG
@on_both_long
def test_a_machine_without_space_for_another_kernel(trial: Trial) -> None:
    # On the one machine /boot is part of the root file system, on the other one the firmware's is too small.
    folder, left = {"host1": ("/boot", 100), "target1": ("/efi", 5)}[trial.name]
    free = int(trial.machine.check_output(f"df --output=avail --block-size=1M {folder} | tail -n 1"))
    trial.machine.check_output(
        f"fallocate -l {free - left}M {folder}/full || dd if=/dev/zero of={folder}/full bs=1M count={free - left}"
    )
    try:
        before = trial.machine.check_output("ls -R /boot /efi; dpkg --list; ls /etc/systemd/system")
        refused = trial.run(package=NEWEST)
        assert refused.returncode != 0
        assert re.search(rf"needs \d+ MiB for [^;]*{folder}\b.* are free there: remove a kernel", words(refused.stdout))
        assert trial.machine.check_output("ls -R /boot /efi; dpkg --list; ls /etc/systemd/system") == before
    finally:
        trial.machine.check_output(f"rm {folder}/full")


@LONG
@pytest.mark.parametrize("trial", ["host1"], indirect=True)
def test_a_locked_down_machine_gets_no_kernel_that_it_would_refuse(trial: Trial) -> None:
    # As Secure Boot has the kernel do; it cannot be taken back before the next boot.
    trial.machine.check_output("echo integrity > /sys/kernel/security/lockdown")
    try:
        refused = trial.run(package=NEWEST)
        assert refused.returncode != 0
        assert f"{trial.name}: kernel {trial.old}" in words(refused.stdout)
        assert "the machine loads signed modules only (Secure Boot or lockdown)" in words(refused.stdout)
        assert "changed=0" in refused.stdout
    finally:
        reboot(trial.machine)


@on_both
def test_a_kernel_that_panics(trial: Trial, panics: dict[str, str]) -> None:
    result = trial.run(**panics)
    trial.is_back(
        result, f"kernel {PANICS} was tried and is not kept", f"came back with {trial.old}", "Seen of that boot:"
    )
    # It did run, and it did panic: the machine's console has it.
    console = (LAB_DIR / trial.name / "console.log").read_text(errors="replace")
    assert "Kernel panic - not syncing: VFS: Unable to mount root fs" in console


@on_both
def test_a_kernel_without_the_transport(trial: Trial) -> None:
    result = trial.run(**WITHOUT)
    trial.is_back(result, "it does not offer the mptcp transport")
    # Nothing was disturbed that its boot does not bring up again by itself.
    assert playbook(str(ROOT / "playbooks/verify.yml")).returncode == 0


@LONG
@on_both_long
def test_a_kernel_that_hangs_before_ssh(trial: Trial) -> None:
    with only_in_the_new_kernel(trial, "ExecStart=/bin/sleep infinity", "Before=sysinit.target"):
        result = trial.run(package=NEWEST, nvme_kernel_trial_timeout=SHORT)
        trial.is_back(result, f"was not kept within {SHORT} s of its start", f"came back with {trial.old}")


@LONG
@on_both_long
def test_a_kernel_without_network(trial: Trial) -> None:
    rules = "table inet fault { chain in { type filter hook input priority 0; policy drop; }; }"
    # The machine's own rules are put in place of whatever is there.
    order = ("After=nftables.service", "Before=network-pre.target")
    with only_in_the_new_kernel(trial, f'ExecStart=/usr/sbin/nft "{rules}"', *order):
        result = trial.run(package=NEWEST, nvme_kernel_trial_timeout=SHORT)
        trial.is_back(result, f"was not kept within {SHORT} s of its start", f"came back with {trial.old}")


@LONG
@on_both_long
def test_a_play_that_is_killed_after_the_reboot(trial: Trial) -> None:
    settings: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, "LAB_DIR": str(LAB_DIR)}}
    variables = trial.variables(package=NEWEST, nvme_kernel_trial_timeout=SHORT)
    first = boot_id(trial.machine)
    play = subprocess.Popen(
        command(PLAYBOOK, **variables), stdout=subprocess.DEVNULL, start_new_session=True, **settings
    )

    def rebooted() -> bool:
        """the machine runs the kernel on trial"""
        return boot_id(trial.machine) not in ("", first) and trial.running() != trial.old

    try:
        until(lambda: boot_id(trial.machine) == "" or play.poll() is not None, 600)
        assert play.poll() is None, "the play ended before the machine rebooted"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(play.pid, signal.SIGKILL)
        play.wait()
    until(rebooted, 300)
    second = boot_id(trial.machine)

    def back() -> bool:
        """the machine has left it by itself"""
        return boot_id(trial.machine) not in ("", first, second)

    until(back, SHORT + 300)
    assert trial.running() == trial.old
    trial.is_back(trial.run(package=NEWEST), f"was not kept within {SHORT} s of its start")


@LONG
@pytest.mark.parametrize("trial", ["host1"], indirect=True)
def test_a_machine_that_stands_still_gets_its_power_cycled(trial: Trial, panics: dict[str, str]) -> None:
    monitor = f"import sys; sys.path.insert(0, {str(ROOT / 'collections')!r}); from pathlib import Path; "
    monitor += "from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.process import Monitor; "
    monitor += f"Monitor(Path({str(LAB_DIR / trial.name)!r})).execute('system_reset')"
    # As good as no timeout, which would be refused: the kernel stands where it panicked.
    still, options = "/etc/default/grub.d/zz-still.cfg", 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX panic=86400"'
    trial.machine.check_output(f"mkdir -p $(dirname {still}) && echo '{options}' > {still}")
    times = {"nvme_kernel_boot_timeout": 120, "nvme_kernel_trial_timeout": 30}
    try:
        told = trial.run(**panics, **times, nvme_kernel_power_cycle_command=f'python3 -c "{monitor}"')
        trial.is_back(told, f"came back with {trial.old}")
    finally:
        trial.machine.check_output(f"rm -f {still} && update-grub")


# The newest series, and the generic flavour of the one that the lab has.
@pytest.mark.parametrize(
    ("trial", "package"),
    [("host1", NEWEST), pytest.param("target1", "linux-image-{generic}", marks=LONG)],
    indirect=["trial"],
)
def test_a_good_kernel_is_kept(trial: Trial, package: str) -> None:
    # The last test of a machine: it does not go back.
    package = package.format(generic=trial.old.replace("-cloud-", "-"))
    result = trial.run(package=package, nvme_kernel_keep=1)
    assert result.returncode == 0
    new = trial.running()
    assert new != trial.old
    assert new in trial.default()
    assert trial.machine.run(f"test -e /etc/systemd/system/{UNIT}").failed
    assert trial.machine.check_output("cat /proc/sys/kernel/panic_on_oops") == "0"
    # Of those that were tried it alone stays, and of course the kernel that the machine came with.
    assert trial.machine.run(f"test -e /boot/vmlinuz-{PANICS}").failed
    assert trial.machine.run(f"test -e /boot/vmlinuz-{trial.old}").succeeded
    again = trial.run(package=package)
    assert again.returncode == 0
    assert "changed=0" in again.stdout
    proven = playbook(str(ROOT / "playbooks/verify.yml"))
    assert proven.returncode == 0
    assert "fallbacks to plain TCP during the run: 0" in proven.stdout
    # A boot takes the kernel that was proven, although nobody watches.
    assert new in trial.default()
