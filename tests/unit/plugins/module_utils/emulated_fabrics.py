# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's side of a host below a folder: controllers, namespaces and discovery logs that answer what is asked."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path
from typing import Collection

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _connections_converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils import _connections_round as rounds
from ansible_collections.nvmeof.mptcp.plugins.module_utils import (
    _discovery,
    _host_identity,
    _nvme_connect,
    _nvme_sysfs,
    _state,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._discovery_log import Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._fabrics_options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvme_sysfs import Controller

CONNECTION = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": nvme_tree.NQN}
CONVERGE = converging.converge
DISCOVERY = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420"}


class Kernel:
    """The driver's side: a write to the fabrics device makes a controller in the emulated sysfs, or is refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refuse: dict[str, int] = {}
        self.asked: list[str] = []
        #: What the discovery controller of an address has in its log; OSError to refuse it.
        self.logs: dict[str, list[Entry] | OSError] = {}
        self.used: dict[str, list[str]] = {}

    def connect(self, options: str) -> str:
        self.asked.append(options)
        given = dict(word.partition("=")[::2] for word in options.split(","))
        code = self.refuse.get(given["traddr"])
        if code:
            raise _nvme_connect.ConnectFailed(code, "no.", code not in _nvme_connect.TRANSIENT)
        taken = {int(path.name[len("nvme") :]) for path in (self.root / "sys/class/nvme").glob("nvme*")}
        number = next(number for number in range(len(taken) + 1) if number not in taken)
        is_discovery = given["nqn"] == DISCOVERY_NQN
        nqns = {path.read_text().strip(): int(path.parent.name[len("nvme-subsys") :]) for path in
                (self.root / "sys/class/nvme-subsystem").glob("*/subsysnqn")}  # fmt: skip
        if given["nqn"] not in nqns or is_discovery:
            nvme_tree.subsystem(self.root, number, given["nqn"], () if is_discovery else (1,))
        nvme_tree.controller(
            self.root,
            number,
            nqns.get(given["nqn"], number),
            () if is_discovery else (1,),
            address=f"traddr={given['traddr']},trsvcid={given['trsvcid']}",
            subsysnqn=given["nqn"],
            transport=given["transport"],
            hostnqn=given["hostnqn"],
            hostid=given["hostid"],
            cntrltype="discovery" if is_discovery else "io",
            kato=given.get("keep_alive_tmo", 5),
        )
        return f"nvme{number}"

    def log(self, controller: Controller) -> list[Entry]:
        found = self.logs.get(controller.traddr, [])
        if isinstance(found, OSError):
            raise found
        return found

    def write(self, operation) -> None:
        path = self.root / operation.path.lstrip("/")
        assert path.exists() or path.name == "delete_controller", path
        if path.name == "delete_controller":
            shutil.rmtree(path.parent)
        else:
            path.write_text(operation.value + "\n")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """This machine is below tmp_path: its sysfs, its /etc and what we keep."""
    root = str(tmp_path)
    found = Kernel(tmp_path)
    monkeypatch.setattr(converging, "read", functools.partial(_nvme_sysfs.read, root))
    monkeypatch.setattr(rounds, "users", lambda device: found.used.get(device, []))
    monkeypatch.setattr(rounds, "_loaded", lambda module: True)
    monkeypatch.setattr(_discovery, "kernel_log", found.log)
    monkeypatch.setattr(converging, "perform_other", found.write)
    monkeypatch.setattr(_host_identity, "find", functools.partial(_host_identity.find, root))
    monkeypatch.setattr(_host_identity, "write", functools.partial(_host_identity.write, root=root))
    for keeps in (_state.load, _state.save, _state.would_save):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "etc"),))
    for keeps in (_state.owned, _state.own):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "own"),))
    monkeypatch.setattr(_state, "lock", functools.partial(_state.lock, os.path.join(root, "lock")))
    return found


def description(*connections: dict, **more: object) -> dict:
    return {"connections": list(connections) or [CONNECTION], "hostnqn": nvme_tree.HOSTNQN, **more}


def discovering(*addresses: str, **more: object) -> dict:
    """A description that declares discovery controllers and nothing else."""
    discovery = [{**DISCOVERY, "traddr": address} for address in addresses]
    return {**description(discovery=discovery, **more), "connections": []}


def entry(nqn: str = nvme_tree.NQN, address: str = "192.0.2.1", **changed: object) -> Entry:
    given = {"trtype": 4, "subtype": 2, "portid": 1, "traddr": address, "trsvcid": "4420", "subnqn": nqn}
    return Entry(**{**given, **changed})


def referral(address: str, **changed: object) -> Entry:
    return entry(DISCOVERY_NQN, address, subtype=1, **changed)


def run(kernel: Kernel, described: dict, check: bool = False, last: Collection[str] = ()) -> converging.Outcome:
    connector = functools.partial(_nvme_connect.Connector, ask=kernel.connect)
    return CONVERGE(lambda: described, check, 0.0, connector, last)


def state(root: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in sorted(root.rglob("*")) if path.is_file() and path.name != "lock"}
