# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutated files of ours: a unit and the playbook that writes them end in success or in an error in words.

Never in one of Python's own, never with the name of one in what is said. What the unit takes for damaged the playbook
mends: after it the file is whole, and nothing that was there is gone.
"""

from __future__ import annotations

import collections
import errno
import os
import resource
import shutil
import time
from pathlib import Path
from typing import Any, Callable

import mutations
import pytest
from _mptcp import test_converge as mptcp_converge
from _mptcp.test_plan import description
from _nvmet.test_converge import HOST, machine, simple
from _trial import test_guard as trial_guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import secrets
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.lock import Busy
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import boot as _host_boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as _connections_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT as OF_HOST
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import converge as _mptcp_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import rails
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.saved import COMPONENT as NETWORK
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge as _nvmet_converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import Late, boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT as TARGET
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import guard
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import seen as _trial_seen
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import state as _trial_state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.ledger import COMPONENT as OF_KERNEL
from emulated_configfs import EmulatedKernel
from emulated_fabrics import CONNECTION, Kernel, discovering, entry, run
from fuzzing import cases, exception_in
from nvmet_descriptions import KEYS

#: Files a part.
WHOLE = 10_000
#: No file takes more of a processor, however damaged it is.
SECONDS = 10.0
#: What all of them together may add to the memory of the process.
MIB = 300
machine_of_guard, network = trial_guard.machine, mptcp_converge.machine
IN_WORDS = (
    _state.Damaged,
    secrets.Unreadable,
    _nvmet_converge.Disruptive,
    _nvmet_converge.NotConverged,
    _mptcp_converge.NotConverged,
    _connections_converge.NotConverged,
    Busy,
    Invalid,
    Late,
    Refused,
)


@pytest.fixture(autouse=True)
def _no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No machine crashes here, and 10,000 files take their time to be on a disk."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


class Part:
    """The files of a part. work: what reads one; it returns the lines that it says."""

    def __init__(self, folder: Path, names: dict[str, Path]) -> None:
        self.folder, self.paths = folder, names
        self.whole = {name: path.read_bytes() for name, path in names.items()}
        self.ends: collections.Counter[str] = collections.Counter()

    def run(self, restore: Callable[[], None], *works: Callable[[], list[str]]) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed, rng in cases(WHOLE):
            restore()
            name = rng.choice(sorted(self.whole))
            content = mutations.file(self.whole[name], rng)
            for work in works:
                for one, path in self.paths.items():
                    path.write_bytes(content if one == name else self.whole[one])
                began = time.process_time()
                said = self._said(work, f"SEED={seed}: {name} = {content[:300]!r}")
                assert not exception_in(said), f"SEED={seed}: {said[:500]}"
                assert time.process_time() - began < SECONDS, f"SEED={seed}: {name}"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MIB * 1024
        print(dict(self.ends))
        # Neither is all of it damage, nor does nothing come through.
        one_alone = seed == os.environ.get("SEED")
        assert one_alone or min(self.ends["success"], self.ends["Damaged"]) > 100

    def _said(self, work: Callable[[], list[str]], what: str) -> str:
        try:
            said = work()
        except IN_WORDS as error:
            self.ends[type(error).__name__] += 1
            return str(error)
        except Exception as error:
            raise AssertionError(what) from error
        self.ends["success"] += 1
        return "\n".join(said)


def test_target(tmp_path: Path) -> None:
    wanted = {**simple(), "hosts": [{"nqn": HOST, "dhchap_key": KEYS[0]}]}
    on = machine(tmp_path)
    _nvmet_converge.converge(wanted, machine=on)
    var, etc = Path(on.owned_dir), Path(on.config_dir)
    interrupted = var / "target.interrupted.json"
    interrupted.write_bytes((Path(__file__).parents[1] / "saved_before/1/target.interrupted.json").read_bytes())
    files = [etc / "target.json", var / "target.owned.json", var / "target.sizes.json", interrupted]
    part = Part(tmp_path, {path.name: path for path in files} | {"key": next((etc / "keys/target").iterdir())})
    made: list[Any] = []

    def unit() -> list[str]:
        on.kernel = EmulatedKernel()
        return boot(_state.load(TARGET, on.config_dir), wait=0, machine=on)

    def playbook() -> list[str]:
        on.kernel = EmulatedKernel()
        told: list[str] = []
        with _state.mending(told.append):
            found = _nvmet_converge.converge(wanted, machine=on)
            made.append(len(found.plan))
        if told:
            assert not _nvmet_converge.converge(wanted, machine=on).changed
        return [*told, *(one.line() for one in found.plan)]

    part.run(lambda: None, unit, playbook)
    assert len(made) > WHOLE / 50


def test_host(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry("nqn.2026-11.org.example:vol9")]
    secret = generate()
    wanted = {
        **discovering("192.0.2.1"),
        "connections": [{**CONNECTION, "dhchap_secret": secret, "ctrl_loss_tmo": -1}],
        "discovered": {"dhchap_secret": secret},
        "iopolicy": "numa",
    }
    run(kernel, wanted)
    root = kernel.root
    there = root / "there"
    shutil.copytree(root / "sys", there)
    etc, own = root / "etc", root / "own"
    files = [etc / "host.json", own / "host.owned.json", own / "host.discovered.owned.json"]
    part = Part(root, {path.name: path for path in files} | {"key": next((etc / "keys/host").iterdir())})

    changed: list[Any] = []
    connect, write = kernel.connect, kernel.write
    kernel.connect = lambda options: changed.append(options) or connect(options)
    kernel.write = lambda operation: changed.append(operation) or write(operation)

    def restore() -> None:
        if changed:
            shutil.rmtree(root / "sys")
            shutil.copytree(there, root / "sys")
            changed.clear()

    def unit() -> list[str]:
        saved = _state.load(OF_HOST)
        keeper = _host_boot.Keeper(saved)
        return list(keeper.round())

    def playbook() -> list[str]:
        told: list[str] = []
        with _state.mending(told.append):
            found = run(kernel, wanted)
        assert _state.load(OF_HOST)["connections"][0]["traddr"] == "192.0.2.1"
        return [*told, *(one.line() for one in found.operations)]

    def converge(described: Callable[[], Any], timeout: float, last: Any, patience: Any) -> Any:
        return run(kernel, described(), last=last)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_host_boot, "converge", converge)
        part.run(restore, unit, playbook)


def test_network(network: mptcp_converge.Machine) -> None:
    _mptcp_converge.converge(description())
    etc = network.folder / "etc"
    part = Part(network.folder, {name: etc / name for name in ("mptcp.json", "mptcp.owned.json")})

    model = network.do

    def do(operation: Any) -> None:
        try:
            model(operation)
        except Exception as error:  # it knows the commands of a description that can be
            raise OSError(errno.EINVAL, "Invalid argument") from error

    network.do = do

    def unit() -> list[str]:
        saved = _state.load(NETWORK)
        rails.planned(saved)
        return _mptcp_converge.converge(None)["plan"]

    def playbook() -> list[str]:
        told: list[str] = []
        with _state.mending(told.append):
            found = _mptcp_converge.converge(description())
        assert _state.load(NETWORK) == description()
        return [*told, *found["plan"]]

    part.run(lambda: mptcp_converge.Kernel.__init__(network, mptcp_converge.bare()), unit, playbook)


class Endless(Exception):
    """The guard waits for longer than a test does."""


@pytest.fixture
def guarded(machine_of_guard: trial_guard.Machine, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_trial_seen, "_journalctl", lambda *arguments: "")
    monkeypatch.setattr(_state.load, "__defaults__", (str(machine_of_guard.folder),))
    return machine_of_guard


def test_kernel(guarded: trial_guard.Machine, capsys: pytest.CaptureFixture[str]) -> None:
    trial = {**_trial_ledger.new_trial(trial_guard.RUNNING, "7.2.12+deb13-amd64", 100), "boot": "1"}
    ledger = {"trial": trial, "proven": ["7.2.12+deb13-amd64"], "installed": {"7.3.4+deb13-amd64": ["linux-image-x"]}}
    _trial_ledger.write(ledger)
    part = Part(guarded.folder, {"kernel.json": guarded.folder / "kernel.json"})

    def sleep(seconds: float) -> None:
        if guarded.clock > 1000:
            raise Endless
        guarded.clock += seconds

    guarded_sleep = guard.time.sleep
    guard.time.sleep = sleep

    def unit() -> list[str]:
        guarded.clock = 12.0
        said = []
        try:
            said += guard.guard(_state.load(OF_KERNEL) or {})
        except Endless:
            said.append("endless")
        return said

    def playbook() -> list[str]:
        told: list[str] = []
        with _state.mending(told.append):
            found = _trial_ledger.read()
            seen = _trial_state.trial() or {}
            gone = _trial_ledger.superfluous(found, trial_guard.RUNNING, 2)
            _trial_ledger.write(found)
        assert _trial_ledger.read() == found
        return [*told, *seen.get("seen", []), *gone]

    try:
        part.run(lambda: None, unit, playbook)
    finally:
        guard.time.sleep = guarded_sleep
