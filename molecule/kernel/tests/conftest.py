# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario's machines, the playbook that tries kernels on them, and a kernel that panics."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import pytest
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

import machines  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import SERIES  # noqa: E402
from machines import LAB_DIR, LONG, ROOT, boot_id, until  # noqa: E402

__all__ = ["LONG", "until"]

SCENARIO = Path(__file__).resolve().parents[1]
#: The newest kernel of the archive's backports; the lab's machines start with one of the oldest series that it has.
NEWEST = "linux-image-cloud-amd64"
PANICS = "7.0.0-panics"
PLAYBOOK = str(ROOT / "playbooks/kernels.yml")
UNIT = "nvmeof-mptcp-kernel-trial.service"
BOTH = ("host1", pytest.param("target1", marks=LONG))


def command(*arguments: str, **variables: Any) -> list[str]:
    """ansible-playbook on the scenario's inventory."""
    inventory = ["--inventory", str(ROOT / "inventories/lab"), f"--extra-vars=@{SCENARIO}/vars/machines.yml"]
    return ["ansible-playbook", *inventory, "--extra-vars", json.dumps(variables), *arguments]


def playbook(*arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook and keep what it printed."""
    settings = {**os.environ, "LAB_DIR": str(LAB_DIR)}
    argv = command(*arguments, **variables)
    result = subprocess.run(argv, cwd=ROOT, env=settings, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return result


def words(text: str) -> str:
    """The text on one line, as if nothing had wrapped it."""
    return " ".join(text.replace("''", "'").split())


@dataclass
class Trial:
    """A machine on which kernels are tried, and the other one of each run, which nothing of it may touch."""

    name: str
    machine: Host
    other: Host
    old: str

    def variables(self, package: str = "", **more: Any) -> dict[str, Any]:
        """Variables that ask for a kernel on this machine alone, in short times: no firmware here takes minutes."""
        if package == NEWEST and self.old.startswith(f"{SERIES[0]}."):
            package = f"linux-image-{self.old.replace('-cloud-', '-')}"
            print(f"the archive has the series {SERIES[0]} alone: {package} is tried, not a newer kernel")
        asked = {"nvme_kernel_package": f"{{{{ '{package}' if inventory_hostname == '{self.name}' else '' }}}}"}
        times = {"nvme_kernel_boot_timeout": 400, "nvme_kernel_trial_timeout": 500}
        return {"nvme_kernel_reboot": True, **times, **asked, **more}

    def run(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        result = playbook(PLAYBOOK, *arguments, **self.variables(**variables))
        [recap] = re.findall(rf"^(?!{self.name})\S+ +: (ok=.*)$", result.stdout, re.MULTILINE)
        assert "changed=0 " in recap
        assert "failed=0 " in recap
        return result

    def running(self) -> str:
        return self.machine.check_output("uname -r")

    def default(self) -> str:
        """What the loader was told to boot from now on; nothing else for the next boot."""
        if self.name == "host1":
            told = dict(
                line.partition("=")[::2] for line in self.machine.check_output("grub-editenv - list").splitlines()
            )
            assert not told.get("next_entry")
            return told.get("saved_entry", "")
        assert self.machine.run("ls /sys/firmware/efi/efivars | grep LoaderEntryOneShot").failed
        entries = json.loads(self.machine.check_output("bootctl list --json=short"))
        [name] = [entry["id"] for entry in entries if entry.get("isDefault")]
        return str(name)

    def is_back(self, result: subprocess.CompletedProcess[str], *reasons: str) -> None:
        """The play failed, naming machine and reason, and the machine has its old kernel and nothing of the trial."""
        assert result.returncode != 0
        said = words(result.stdout)
        assert f"{self.name}: kernel " in said
        for reason in reasons:
            assert reason in said
        assert self.running() == self.old
        assert self.old in self.default()
        assert self.machine.run(f"test -e /etc/systemd/system/{UNIT}").failed
        assert json.loads(self.machine.check_output("cat /etc/nvmeof-mptcp/kernel.json"))["trial"] is None


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    """Tries on the machine that the test is given by its parameter."""
    name = request.param
    machine, other = machines.connect(name), machines.connect({"host1": "target1", "target1": "host1"}[name])
    # The lab's own; that a kernel on trial does not stand still when it panics is the role's business.
    machine.check_output("sed -i 's/ panic=[0-9]*//' $(ls /etc/default/grub /etc/kernel/cmdline 2>/dev/null)")
    before = boot_id(other)
    yield Trial(name, machine, other, machine.check_output("uname -r"))
    assert boot_id(other) == before


@pytest.fixture(scope="session")
def panics(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that ask for a kernel that really panics: without initial RAM disk it has no driver of its disk."""
    folder = tmp_path_factory.mktemp("archive")
    tree = folder / "tree"
    image = machines.connect("host1").check_output("ls /boot/vmlinuz-*").split()[0]
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "boot").mkdir()
    with open(tree / f"boot/vmlinuz-{PANICS}", "wb") as stream:
        subprocess.run(["ssh", "-F", str(LAB_DIR / "ssh_config"), "host1", f"cat {image}"], check=True, stdout=stream)
    control = f"Package: linux-image-{PANICS}\nVersion: 1\nArchitecture: amd64\nMaintainer: x <x@example.org>\n"
    control += "Installed-Size: 16000\nDescription: a kernel that finds no root file system\n"
    (tree / "DEBIAN/control").write_text(control)
    for script, folder_of_hooks in (("postinst", "postinst.d"), ("postrm", "postrm.d")):
        # INITRD: what initramfs-tools asks.
        hooks = f"run-parts --arg={PANICS} --arg=/boot/vmlinuz-{PANICS} /etc/kernel/{folder_of_hooks}"
        (tree / "DEBIAN" / script).write_text(f"#!/bin/sh -e\nINITRD=No {hooks}\n")
        (tree / "DEBIAN" / script).chmod(0o755)
    deb = folder / f"linux-image-{PANICS}_1_amd64.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", str(tree), str(deb)], check=True)
    shutil.rmtree(tree)
    content = deb.read_bytes()
    sums = f"Filename: ./{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    (folder / "Packages").write_text(control + sums)
    return {
        "nvme_kernel_method": "package",
        "package": f"linux-image-{PANICS}",
        "nvme_kernel_repository": f"Types: deb\nURIs: file:{folder}\nSuites: ./\nTrusted: yes\nX-Unsigned: accepted",
    }
