# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two programs at the connections of one host: turns of one connect, one description at a time, and kills anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, operation, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as keeping
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import Patience
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from emulated_fabrics import CONNECTION, Kernel, description, discovering, entry, run
from lock_holders import an_earlier_one_runs, another_holds, until_somebody_waits

FIRST, SECOND, THIRD = ({**CONNECTION, "traddr": f"192.0.2.{number}"} for number in (1, 2, 3))


def serve(kernel: Kernel) -> converging.Outcome:
    """One round of the service."""
    return converging.converge(
        lambda: keeping.load(state.CONFIG_DIR) or {},
        False,
        0.0,
        kernel.connector,
        patience=Patience(lambda: kernel.now),
    )


def there() -> list[str]:
    return sorted(one.traddr for one in converging.look().controllers)


def owned() -> list[str]:
    return sorted(name.split()[1].partition(":")[0] for name in state.owned(COMPONENT))


def all_gone(kernel: Kernel) -> None:
    shutil.rmtree(kernel.root / "sys")
    kernel.asked.clear()


class Another(threading.Thread):
    """Another program, which wants its first part as soon as somebody asks the kernel for a connection."""

    def __init__(self, kernel: Kernel, part: str, work: Callable[[], Any]) -> None:
        super().__init__()
        self.work = work
        self._part, self._ask, self._kernel = part, kernel.connect, kernel
        kernel.connect = self.first

    def first(self, options: str) -> str:
        self._kernel.connect = self._ask
        self.start()
        until_somebody_waits(lock.FOLDER, self._part)
        return self._ask(options)

    def run(self) -> None:
        self.work()


def test_a_playbook_waits_for_one_connect_and_the_service_stops_at_its_description(kernel: Kernel) -> None:
    run(kernel, description(FIRST, SECOND))
    all_gone(kernel)
    playbook = Another(kernel, "intent", lambda: run(kernel, description(FIRST, THIRD)))
    with pytest.raises(converging.NotConverged) as stopped:
        serve(kernel)
    playbook.join()
    assert stopped.value.again
    assert [one.about.split()[1] for one in stopped.value.applied] == ["192.0.2.1:4420"]
    assert there() == owned() == ["192.0.2.1", "192.0.2.3"]
    # The service has made nothing that the playbook's description does not name, and follows it from here.
    assert not [asked for asked in kernel.asked if "traddr=192.0.2.2," in asked]
    assert serve(kernel).operations == []


def test_the_service_makes_nothing_a_second_time_that_a_playbook_has_made_between_two_turns(kernel: Kernel) -> None:
    run(kernel, description(FIRST, SECOND))
    all_gone(kernel)
    playbook = Another(kernel, "intent", lambda: run(kernel, description(FIRST, SECOND)))
    with pytest.raises(converging.NotConverged) as stopped:
        serve(kernel)
    playbook.join()
    assert stopped.value.again
    assert there() == owned() == ["192.0.2.1", "192.0.2.2"]
    assert serve(kernel).operations == []


def test_who_needs_the_connections_once_waits_for_one_connect_of_a_playbook(kernel: Kernel) -> None:
    seen = []

    def work() -> None:
        with lock.lock("host"):
            seen.extend(there())

    other = Another(kernel, "host", work)
    run(kernel, description(FIRST, SECOND, THIRD))
    other.join()
    assert seen == ["192.0.2.1"]
    assert len(there()) == 3


def test_the_service_does_not_come_between_the_steps_of_a_playbook(kernel: Kernel) -> None:
    """What a playbook has taken down is not brought back before its description is saved."""
    run(kernel, description(FIRST, SECOND))
    shutil.rmtree(kernel.root / "sys/class/nvme/nvme0")
    kernel.asked.clear()
    service = Another(kernel, "intent", lambda: serve(kernel))
    run(kernel, description(FIRST, THIRD))
    service.join()
    assert there() == owned() == ["192.0.2.1", "192.0.2.3"]
    assert not [asked for asked in kernel.asked if "traddr=192.0.2.2," in asked]


@pytest.mark.parametrize("by", [run, lambda kernel, described: serve(kernel)], ids=["playbook", "service"])
def test_logs_are_read_while_nobody_waits_for_the_connections(kernel: Kernel, by, monkeypatch) -> None:
    read = kernel.discovery_log
    times = []

    def reading(controller, budget):
        with another_holds(lock.FOLDER, "network", "host"):
            times.append(controller.name)
        return read(controller, budget)

    described = discovering("192.0.2.1")
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, described)
    all_gone(kernel)
    monkeypatch.setattr(converging.sock_diag, "connections", list)
    monkeypatch.setattr("ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery.kernel_log", reading)
    by(kernel, described)
    assert len(times) == 1
    assert len(there()) == 2


def test_a_controller_that_took_the_number_of_another_is_not_written_to(kernel: Kernel) -> None:
    """A plan names controllers by their numbers; between it and the write another may have got one of them."""
    run(kernel, description(FIRST))
    ask = kernel.connect

    def swap(options: str) -> str:
        kernel.connect = ask
        shutil.rmtree(kernel.root / "sys/class/nvme/nvme0")
        ask(options.replace("traddr=192.0.2.3", "traddr=192.0.2.9"))
        return ask(options)

    kernel.connect = swap
    timeout = kernel.root / "sys/class/nvme/nvme0/ctrl_loss_tmo"
    before = timeout.read_text()
    run(kernel, description(THIRD, {**FIRST, "ctrl_loss_tmo": 30}))
    assert [one.traddr for one in converging.look().controllers] == ["192.0.2.9", "192.0.2.3", "192.0.2.1"]
    assert timeout.read_text() == before
    assert [number for number, asked in enumerate(kernel.asked) if "ctrl_loss_tmo=30" in asked]


def points(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Kill this process at one point: before or after a connect, a write or a file of ours."""
    count = 0

    def passing(work: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*given: Any, **named: Any) -> Any:
            nonlocal count
            for half in (0, 1):
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
                if half == 0:
                    result = work(*given, **named)
            return result

        return passed

    kernel.connect, kernel.write = passing(kernel.connect), passing(kernel.write)
    monkeypatch.setattr(state, "put", passing(operation.put))


def killed_at(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Iterator[int]:
    """Run work in a child that is killed at the first point, then one at the second, until one comes to its end."""
    for at in range(1000):
        child = os.fork()
        if child == 0:
            points(kernel, monkeypatch, at)
            try:
                work()
            finally:
                os._exit(0)
        _child, status = os.waitpid(child, 0)
        yield at
        if not os.WIFSIGNALED(status):
            return


@pytest.mark.parametrize(("who", "number"), [("playbook", 10), ("service", 4)])
def test_a_kill_at_any_point_leaves_no_lock_and_loses_no_ownership(
    kernel: Kernel, who: str, number: int, monkeypatch
) -> None:
    before, after = description(FIRST, SECOND), description(SECOND, THIRD)
    work = {"playbook": lambda: run(kernel, after), "service": lambda: serve(kernel)}[who]
    last = -1
    whole = kernel.root / "whole"
    run(kernel, before)
    if who == "service":
        all_gone(kernel)
        (kernel.root / "sys/class/nvme").mkdir(parents=True)
    folders = [name for name in ("sys", "etc", "own") if (kernel.root / name).exists()]
    for name in folders:
        shutil.copytree(kernel.root / name, whole / name, symlinks=True)
    for at in killed_at(kernel, monkeypatch, work):
        last = at
        with lock.lock(*lock.PARTS, timeout=0):
            pass
        assert set(there()) <= set(owned())
        saved = [one["traddr"] for one in keeping.load(state.CONFIG_DIR)["connections"]]
        # The service alone, then a playbook: each finds what the killed one has left, and ends where it should.
        serve(kernel)
        assert set(saved) <= set(there()) <= set(owned())
        run(kernel, after)
        assert there() == owned() == ["192.0.2.2", "192.0.2.3"]
        for name in folders:
            shutil.rmtree(kernel.root / name)
            shutil.copytree(whole / name, kernel.root / name, symlinks=True)
    assert last == number, "each connect, each write and each file of ours was a point"


def test_a_program_of_an_earlier_release_at_work_is_waited_for_by_playbook_and_service(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(kernel, description(FIRST))
    all_gone(kernel)
    monkeypatch.setattr(lock, "ONE_CONNECT", 0.0)
    with an_earlier_one_runs(f"{lock.FOLDER}.lock"), pytest.raises(lock.Busy, match="a program of an earlier release"):
        run(kernel, description(FIRST))
    assert kernel.asked == []
