# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks: one a part, one order, a line of those who wait, and the one lock of earlier releases."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock
from lock_holders import an_earlier_one_runs, another_holds, until_somebody_waits


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path / "locks"))
    return lock.FOLDER


@pytest.mark.parametrize("held", lock.PARTS)
def test_a_part_waits_for_itself_alone(held: str, folder: str) -> None:
    with another_holds(folder, held):
        for part in lock.PARTS:
            if part != held:
                with lock.lock(part, timeout=0):
                    pass
        with pytest.raises(lock.Busy), lock.lock(held, timeout=0):
            pytest.fail("two have the lock")


@pytest.mark.parametrize(("first", "second"), list(itertools.product(lock.PARTS, repeat=2)))
def test_two_parts_are_taken_in_one_order_alone(first: str, second: str) -> None:
    order = list(lock.PARTS)
    if order.index(first) < order.index(second):
        with lock.lock(first), lock.lock(second, timeout=0):
            pass
        return
    with pytest.raises(lock.WrongOrder, match=f"{first} then {second}"), lock.lock(first, second, timeout=0):
        pytest.fail("taken")
    with lock.lock(first), pytest.raises(lock.WrongOrder), lock.lock(second, timeout=0):
        pytest.fail("taken")
    # Refused or not, nothing is left of it.
    with lock.lock(*order, timeout=0):
        pass


def test_a_lock_that_another_has_names_its_part_its_file_its_holder_and_the_remedy(folder: str) -> None:
    with another_holds(folder, "target") as holder, pytest.raises(lock.Busy) as busy:  # noqa: SIM117
        with lock.lock("network", "target", "host", timeout=0.2):
            pytest.fail("two have the lock")
    assert str(busy.value) == (
        f"{folder}/target.lock: process {holder.pid}, a run of this collection or one of its units, has the lock of "
        "target (what nvmet serves), which was not free within 0.2 s. Wait until it ends "
        f"(`ps -fp {holder.pid}` shows it) and run again"
    )
    # What was taken before the one that was not free is free again.
    with another_holds(folder, "network", "target", "host"):
        pass


def test_a_holder_that_the_kernel_does_not_tell_is_another_process(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_holder", lambda path: None)
    words = "host.lock: another process, .* Wait until it ends and run again"
    with another_holds(folder, "host"), pytest.raises(lock.Busy, match=words), lock.lock("host", timeout=0):
        pytest.fail("two have the lock")


def test_a_holder_that_is_killed_leaves_nothing(folder: str) -> None:
    with another_holds(folder, *lock.PARTS) as holder:
        holder.kill()
        holder.wait()
        with lock.lock(*lock.PARTS, timeout=0):
            pass


def test_a_program_of_an_earlier_release_is_waited_for_and_named(folder: str) -> None:
    with an_earlier_one_runs(f"{folder}.lock") as earlier:
        for part in lock.PARTS:
            words = rf"{folder}\.lock: process {earlier.pid}, .* everything, of a program of an earlier release"
            with pytest.raises(lock.Busy, match=words), lock.lock(part, timeout=0):
                pytest.fail("an earlier program is at work")
    with lock.lock(*lock.PARTS, timeout=0):
        pass


@pytest.mark.parametrize("part", lock.PARTS)
def test_a_program_of_an_earlier_release_waits_for_every_part(part: str, folder: str) -> None:
    with another_holds(folder, part), pytest.raises(BlockingIOError), an_earlier_one_runs(f"{folder}.lock"):
        pytest.fail("it works beside ours")
    with an_earlier_one_runs(f"{folder}.lock"):
        pass


def test_who_takes_a_part_again_and_again_comes_after_who_waits(folder: str) -> None:
    """Without the line a waiter, who looks ten times a second, hardly ever finds it free."""
    order: list[str] = []
    waits, done = threading.Event(), threading.Event()

    def wait() -> None:
        waits.set()
        with lock.lock("host"):
            order.append("waiter")
        done.set()

    waiter = threading.Thread(target=wait)
    with lock.lock("host"):
        waiter.start()
        waits.wait()
        # It stands in the line once nobody else can.
        until_somebody_waits(folder, "host")
    for _ in range(3):
        with lock.lock("host"):
            order.append("again")
    assert done.wait(10)
    waiter.join()
    assert order == ["waiter", "again", "again", "again"]
