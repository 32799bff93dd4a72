# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver's side of a host below a folder: controllers, namespaces and discovery logs that answer what is asked."""

from __future__ import annotations

import errno
import functools
import itertools
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import apply, identity, names, patience, reauth, sysfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import connect as _nvme_connect
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery as _discovery
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery_log as _discovery_log
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import round as rounds
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller

CONNECTION = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420", "subsysnqn": nvme_tree.NQN}
SECRET = nvme_tree.SECRET
CONVERGE = converging.converge
DISCOVERY = {"transport": "mptcp", "traddr": "192.0.2.1", "trsvcid": "4420"}


class Kernel:
    """The driver's side: a write to the fabrics device makes a controller in the emulated sysfs, or is refused."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.refuse: dict[str, int] = {}
        self.asked: list[str] = []
        self.names: dict[str, list[str]] = {}
        self.log: list[str] = []
        self.rejected: set[str] = set()
        #: What the discovery controller of an address has in its log, or all of the log; OSError to refuse it.
        self.logs: dict[str, list[Entry] | bytes | OSError] = {}
        #: The addresses whose logs were read, one after the other.
        self.read: list[str] = []
        self.used: dict[str, list[str]] = {}
        #: What is on a device that answers.
        self.carried: dict[str, list[str]] = {}
        #: The key that the target at an address has of this host; what is not here asks for none.
        self.keys: dict[str, str] = {}
        self.now = 0.0
        #: Seconds that a connect to an address takes.
        self.takes: dict[str, float] = {}

    def resolve(self, name: str) -> list[str]:
        if name not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[name]

    def connect(self, options: str) -> str:
        self.asked.append(options)
        self.now += self.takes.get(options.partition("traddr=")[2].partition(",")[0], 0.0)
        given = dict(word.partition("=")[::2] for word in options.split(","))
        code = self.refuse.get(given["traddr"])
        if code:
            raise _nvme_connect.ConnectFailed(code, "no.", code not in _nvme_connect.TRANSIENT)
        if self.keys.get(given["traddr"], given.get("dhchap_secret", "")) != given.get("dhchap_secret", ""):
            raise _nvme_connect._failed(OSError(errno.EKEYREJECTED, ""), ["nvme nvme9: qid 0: authentication failed"])
        # The kernel takes the lowest number that is free.
        number = next(one for one in itertools.count() if not (self.root / f"sys/class/nvme/nvme{one}").exists())
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
            address=",".join(
                f"{key}={given[key]}" for key in ("traddr", "trsvcid", "host_traddr", "host_iface") if key in given
            ),
            subsysnqn=given["nqn"],
            transport=given["transport"],
            hostnqn=given["hostnqn"],
            hostid=given["hostid"],
            dhchap_secret=given.get("dhchap_secret", "none"),
            dhchap_ctrl_secret=given.get("dhchap_ctrl_secret", "none"),
            cntrltype="discovery" if is_discovery else "io",
            kato=given.get("keep_alive_tmo", 5),
        )
        return f"nvme{number}"

    def connector(self, timeout: float) -> _nvme_connect.Connector:
        known = patience.Patience(lambda: self.now)
        return _nvme_connect.Connector(timeout, ask=lambda options: self.connect(options), patience=known)

    def discovery_log(self, controller: Controller, budget: Budget) -> list[Entry]:
        self.read.append(controller.traddr)
        found = self.logs.get(controller.traddr, [])
        if isinstance(found, OSError):
            raise found
        if isinstance(found, bytes):
            return _discovery_log.read(lambda start, length, _retain: found[start : start + length], budget)
        return found

    def write(self, operation) -> None:
        path = self.root / operation.path.lstrip("/")
        assert path.exists() or path.name == "delete_controller", path
        if path.name == "delete_controller":
            shutil.rmtree(path.parent)
        elif operation.verb == "chmod":
            path.chmod(int(operation.value, 8))
        else:
            path.write_text(operation.value + "\n")
        if path.name.startswith("dhchap") and operation.verb == "write":
            self.authenticate(path.parent)

    def authenticate(self, controller: Path) -> None:
        """What writing a secret makes the kernel do; the target accepts whoever has its key."""
        name = controller.name
        self.log.append(f"nvme {name}: re-authenticating controller")
        if name in self.rejected:
            self.log.append(f"nvme {name}: qid 0: authentication failed")
        else:
            self.log.append(f"nvme {name}: qid 0: authenticated with hash hmac(sha256) dhgroup null")

    def open_log(self) -> Log:
        return Log(self)


class Log:
    """The kernel's log from here on."""

    readable = True

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.read = kernel, len(kernel.log)

    def lines(self) -> list[str]:
        found, self.read = self.kernel.log[self.read :], len(self.kernel.log)
        return found

    def close(self) -> None:
        self.read = -1


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """This machine is below tmp_path: its sysfs, its /etc and what we keep."""
    root = str(tmp_path)
    found = Kernel(tmp_path)
    monkeypatch.setattr(converging, "read", functools.partial(sysfs.read, root))
    monkeypatch.setattr(rounds, "users", lambda device: found.used.get(device, []))
    monkeypatch.setattr(rounds, "members", lambda device: found.carried.get(device, []))
    monkeypatch.setattr(_discovery, "kernel_log", lambda controller, budget: found.discovery_log(controller, budget))
    monkeypatch.setattr(rounds, "Names", functools.partial(names.Names, lookup=found.resolve))
    monkeypatch.setattr(rounds, "_loaded", lambda module: True)
    monkeypatch.setattr(apply, "perform_other", lambda operation: found.write(operation))
    ticks = itertools.count()
    rewriter = functools.partial(
        reauth.Rewriter,
        open_log=found.open_log,
        clock=lambda: float(next(ticks)),
        sleep=lambda seconds: None,
        root=root,
    )
    monkeypatch.setattr(apply, "Rewriter", rewriter)
    monkeypatch.setattr(rounds, "secret", lambda path: reauth.secret(root + path))
    monkeypatch.setattr(_state, "CONFIG_DIR", os.path.join(root, "etc"))
    monkeypatch.setattr(identity, "find", functools.partial(identity.find, root))
    monkeypatch.setattr(identity, "write", functools.partial(identity.write, root=root))
    for keeps in (_state.load, _state.save, _state.would_save):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "etc"),))
    for keeps in (_state.owned, _state.own):
        monkeypatch.setattr(keeps, "__defaults__", (os.path.join(root, "own"),))
    monkeypatch.setattr(lock, "FOLDER", os.path.join(root, "locks"))
    return found


def description(*connections: dict, **more: object) -> dict:
    return {"connections": list(connections) or [CONNECTION], "hostnqn": nvme_tree.HOSTNQN, **more}


def discovering(*addresses: str, **more: object) -> dict:
    """A description that declares discovery controllers and nothing else."""
    discovery = [{**DISCOVERY, "traddr": address} for address in addresses]
    return {**description(discovery=discovery, discovery_networks=["192.0.2.0/24"], **more), "connections": []}


def entry(nqn: str = nvme_tree.NQN, address: str = "192.0.2.1", **changed: object) -> Entry:
    given = {"trtype": 4, "subtype": 2, "portid": 1, "traddr": address, "trsvcid": "4420", "subnqn": nqn}
    return Entry(**{**given, **changed})


def referral(address: str, **changed: object) -> Entry:
    return entry(DISCOVERY_NQN, address, subtype=1, **changed)


def run(kernel: Kernel, described: dict, check: bool = False, **more: Any) -> converging.Outcome:
    return CONVERGE(lambda: described, check, 0.0, kernel.connector, **more)


def state(root: Path) -> dict[str, str]:
    found = (path for path in sorted(root.rglob("*")) if "locks" not in (path.stem, path.parent.name))
    return {str(path): path.read_text() for path in found if path.is_file()}
