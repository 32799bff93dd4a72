# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The two ends of a shutdown: before file systems are unmounted nothing waits for a dead path, after it they go.

While a host runs, I/O waits for a target for ever, which makes its reboot a pause. A shutdown has no such time: an
unmount that writes to a target that is away would not end. Source of what the kernel does: nvme_available_path,
nvme_start_failfast_work and nvme_delete_ctrl of Linux 7.2.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.systemd import is_shutting_down
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.connect import perform_other
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.converge import look
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.plan import index
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller, Nvme
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.device_users import users as device_users

#: Seconds after which I/O of a path that breaks from now on fails. Finding that it broke takes up to two keep-alives.
FAIL_IN = 5
#: Seconds that a path which is away when the shutdown begins has to come back.
GRACE = 4.0
#: Seconds for the kernel to take controllers down: a try to reconnect that is under way ends within three.
DELETE = 8.0


class Machine:
    """This machine; tests give one of their own."""

    shutting_down: Callable[[], bool] = staticmethod(is_shutting_down)
    look: Callable[[], Nvme] = staticmethod(look)
    users: Callable[..., list[str]] = staticmethod(device_users)
    perform: Callable[[Operation], None] = staticmethod(perform_other)
    sleep: Callable[[float], None] = staticmethod(time.sleep)

    def ours(self, saved: Mapping[str, Any]) -> tuple[Nvme, list[Controller]]:
        """The reading, and the controllers that this collection made."""
        nvme, mine = self.look(), set(_state.owned(COMPONENT))
        return nvme, [one for name, one in index(nvme, saved["hostnqn"]).items() if name in mine]


def release(saved: Mapping[str, Any], machine: Machine | None = None) -> Iterator[str]:
    """Before anything is unmounted: give up what has no path, and let what loses it from now on fail soon.

    It takes no lock: a shutdown does not wait for a run, and nothing here depends on one. Yields what was left unclean.
    """
    on = machine or Machine()
    if not on.shutting_down():
        yield "this machine is not shutting down; its connections stay as they are"
        return
    yield from _fail_soon(on, on.ours(saved)[1])
    ends = time.monotonic() + GRACE
    while _dead(*on.ours(saved)) and time.monotonic() < ends:
        on.sleep(0.5)
    yield from _give_up(on, _dead(*on.ours(saved)))


def withdraw(saved: Mapping[str, Any], machine: Machine | None = None) -> Iterator[str]:
    """After the unmounts: disconnect, so that targets need not find out by a timeout. What is still used stays."""
    on = machine or Machine()
    if not on.shutting_down():
        yield "this machine is not shutting down; its connections stay as they are"
        return
    nvme, ours = on.ours(saved)
    yield from _give_up(on, _dead(nvme, ours))
    nvme, ours = on.ours(saved)
    used = {name: found for name in _namespaces(ours) for found in [on.users(name)] if found}
    for name, found in used.items():
        # A shutdown goes on without it; the kernel fails its I/O once the network is gone.
        yield f"/dev/{name} is still {', '.join(found)}: not disconnected, left unclean"
    idle = [one for one in ours if not {path.namespace for path in one.paths} & set(used)]
    yield from _delete(on, idle)
    yield f"{len(idle)} controller(s) disconnected"


def _namespaces(controllers: Sequence[Controller]) -> list[str]:
    return sorted({path.namespace for one in controllers for path in one.paths})


def _dead(nvme: Nvme, ours: Sequence[Controller]) -> list[Controller]:
    """Controllers of subsystems no namespace of which can be reached by any path, ours or another's."""
    reached = {
        one.subsysnqn for one in nvme.controllers if any(one.reaches(path.namespace) for path in one.paths)
    }  # fmt: skip
    return [one for one in ours if one.paths and one.subsysnqn not in reached]


def _fail_soon(on: Machine, ours: Sequence[Controller]) -> Iterator[str]:
    """The timeout counts from the next break of a connection: the kernel starts it on the way to reconnecting."""
    for one in ours:
        if one.paths and not 0 <= one.options.get("fast_io_fail_tmo", FAIL_IN) <= FAIL_IN:
            yield from _write(on, one, "fast_io_fail_tmo", str(FAIL_IN))


def _give_up(on: Machine, dead: Sequence[Controller]) -> Iterator[str]:
    """Name who loses what, then take the controllers down: the I/O that waits for them fails."""
    for name in _namespaces(dead):
        # Without opening it: that could wait for the very path that is away.
        found = on.users(name, claims=False)
        state = "left unclean: what was not written yet is lost" if found else "unused"
        yield f"/dev/{name} has no path{''.join(f', {one}' for one in found)}: given up, {state}"
    yield from _delete(on, dead)


def _delete(on: Machine, controllers: Sequence[Controller]) -> Iterator[str]:
    """All at once, since each may have to wait for a try to reconnect; a kernel that hangs holds up nobody."""
    said: list[str] = []
    threads = [
        threading.Thread(target=lambda one=one: said.extend(_write(on, one, "delete_controller", "1")), daemon=True)
        for one in controllers
    ]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + DELETE
    for thread, one in zip(threads, controllers):
        thread.join(max(ends - time.monotonic(), 0.0))
        if thread.is_alive():
            said.append(f"{one.name} was not disconnected within {DELETE:g} s")
    yield from said


def _write(on: Machine, controller: Controller, attribute: str, value: str) -> Iterator[str]:
    try:
        on.perform(Operation("write", f"{controller.path}/{attribute}", value))
    except OSError as error:
        yield f"{controller.name}: {attribute} was refused: {error.strerror}"
