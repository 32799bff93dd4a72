# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
from typing import Any, Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock as _lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import swap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.modules import MODULES, Module
from ansible_collections.nvmeof.mptcp.plugins.modules import nvme_transport

PACKAGE = "nvme-mptcp-modules-7.2.12+deb13-amd64"
INSTALL = " ".join((*packages.INSTALL, "/var/cache/modules.deb"))


class Failed(Exception):
    pass


class Machine:
    """A machine with the distribution's modules loaded, and what is done to it."""

    def __init__(self, check_mode: bool = False) -> None:
        self.params = {
            "package": PACKAGE,
            "version": "2",
            "src": "/var/cache/modules.deb",
            "sha256": "1" * 64,
            "load": True,
        }
        # Of the file that came here.
        self.sha256 = "1" * 64
        self.check_mode = check_mode
        self.installed = "1"
        self.done: list[str] = []
        self.result: dict[str, Any] = {}
        self.holders: list[str] = []
        # What connects while the package is installed.
        self.meanwhile: list[str] = []
        self.locked: list[str] = []
        # What apt installed without being asked for it by name.
        self.automatic: list[str] = []

    def fail_json(self, msg: str) -> None:
        raise Failed(msg)

    def exit_json(self, **result: Any) -> None:
        self.result = result

    def read_all(self) -> list[Module]:
        loaded = "2" if "modprobe" in " ".join(self.done) else "1"
        return [Module(name, f"/{name}.ko", loaded, self.installed, (), "") for name in MODULES]

    def perform(self, plan: list[_operation.Operation], explain: object) -> None:
        for operation in plan:
            # apt takes minutes, in which hosts connect and rails heal.
            installs = operation.argv[0] not in ("modprobe", "rmmod")
            assert self.locked == (["kernel"] if installs else ["kernel", "target", "host"])
            self.done.append(operation.line())
            if "install" in operation.argv:
                self.installed = "2"
                self.holders = self.meanwhile

    @contextlib.contextmanager
    def lock(self, *parts: str, timeout: float = 60.0) -> Iterator[None]:
        self.locked += parts
        yield
        del self.locked[-len(parts) :]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(nvme_transport, "AnsibleModule", lambda **specification: made)
    monkeypatch.setattr(nvme_transport, "read_all", made.read_all)
    monkeypatch.setattr(nvme_transport, "prove", lambda module: None)
    monkeypatch.setattr(_operation, "apply", made.perform)
    monkeypatch.setattr(cache, "file_hash", lambda path: made.sha256)
    monkeypatch.setattr(_lock, "lock", made.lock)
    monkeypatch.setattr(packages, "installed_version", lambda package: made.installed)
    monkeypatch.setattr(packages, "is_automatic", lambda package: package in made.automatic)
    monkeypatch.setattr(swap, "holders", lambda modules, users: {each.name: made.holders for each in modules})
    return made


def test_a_file_that_is_not_the_one_that_was_built_is_not_installed(machine: Machine) -> None:
    machine.sha256 = "2" * 64
    with pytest.raises(Failed, match=f"modules.deb has sha256 {'2' * 64}, not {'1' * 64} as the one that was made"):
        nvme_transport.main()
    assert machine.done == []


def test_modules_are_installed_and_swapped(machine: Machine) -> None:
    nvme_transport.main()
    assert machine.done[0] == INSTALL
    assert "rmmod nvme-tcp" in machine.done
    assert machine.result["plan"] == machine.done
    assert not machine.locked


def test_modules_go_with_a_kernel_that_apt_may_remove_and_stay_with_one_that_was_asked_for(machine: Machine) -> None:
    machine.check_mode = True
    nvme_transport.main()
    assert not [line for line in machine.result["plan"] if "apt-mark" in line]
    machine.automatic = ["linux-image-7.2.12+deb13-amd64"]
    nvme_transport.main()
    assert machine.result["plan"][:2] == [INSTALL, f"apt-mark auto -- {PACKAGE}"]


def test_modules_that_an_earlier_run_did_not_mark_are_marked_once(machine: Machine) -> None:
    machine.installed, machine.params["load"] = "2", False
    machine.automatic = ["linux-image-7.2.12+deb13-amd64"]
    nvme_transport.main()
    assert machine.done == [f"apt-mark auto -- {PACKAGE}"]
    machine.automatic.append(PACKAGE)
    nvme_transport.main()
    assert not machine.result["changed"]


def test_modules_are_installed_beside_those_in_use_for_the_next_boot(machine: Machine) -> None:
    machine.holders, machine.params["load"] = ["controller nvme1 (tcp, nqn.a)"], False
    nvme_transport.main()
    assert machine.done == machine.result["plan"] == [INSTALL]
    nvme_transport.main()
    assert not machine.result["changed"]


def test_check_mode_does_nothing_and_tells_the_same(machine: Machine) -> None:
    machine.check_mode = True
    nvme_transport.main()
    planned = machine.result["plan"]
    assert machine.done == []
    machine.check_mode = False
    nvme_transport.main()
    assert machine.done == planned


def test_nothing_is_installed_while_modules_are_in_use(machine: Machine) -> None:
    machine.holders = ["controller nvme1 (tcp, nqn.a)"]
    with pytest.raises(Failed, match=r"in use by controller nvme1 \(tcp, nqn.a\): disconnect or remove these first"):
        nvme_transport.main()
    assert machine.done == []


def test_a_controller_that_connects_during_the_installation_keeps_its_module(machine: Machine) -> None:
    machine.meanwhile = ["controller nvme1 (tcp, nqn.a)"]
    said = r"-amd64 2 is installed, but .* in use by controller nvme1 \(tcp, nqn.a\), .*: the next run .* or a reboot"
    with pytest.raises(Failed, match=said):
        nvme_transport.main()
    assert machine.done == [INSTALL]


def test_another_run_is_waited_for_and_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(part: str) -> None:
        raise _lock.Busy("process 7 holds this lock")

    monkeypatch.setattr(_lock, "lock", busy)
    with pytest.raises(Failed, match="process 7 holds this lock"):
        nvme_transport.main()
    assert machine.done == []
