# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Turns at the host's connections: none is longer than one connect, and two programs never follow two descriptions.

A playbook has the intent from its first look until its description is saved, and the connections for one change at a
time. The service has no intent of its own: it takes both for one change, so that it waits for a playbook and a playbook
for one connect of it, and it looks anew when somebody else had a turn since its last one, whose plan is out of date.
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable, ContextManager, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as keeping

#: Gives the connections for one change.
Turn = Callable[[], ContextManager[None]]


class Superseded(Exception):
    """Another run was at the connections since this one looked; what this one has done stays, as does its ownership."""


@contextlib.contextmanager
def describing() -> Iterator[Turn]:
    """The turns of a run that brings a description. Raises Busy."""
    me = _signature()

    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        with lock.lock("host"):
            _sign(me)
            yield

    with lock.lock("intent", timeout=lock.ONE_CONNECT):
        yield turn


@contextlib.contextmanager
def keeping_saved() -> Iterator[Turn]:
    """The turns of a run that follows the saved description, which is read in its first one.

    A turn raises Superseded, and Busy.
    """
    me, known = _signature(), list[bytes]()

    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        with lock.lock("intent", "host"):
            # A program of an earlier release does not sign, but saves what it was given.
            if known and known != [
                _content(_signed()),
                _content(state.description_file(keeping.COMPONENT, state.CONFIG_DIR)),
            ]:
                raise Superseded("another run was at the connections: this one looks anew")
            _sign(me)
            yield
            known[:] = [me, _content(state.description_file(keeping.COMPONENT, state.CONFIG_DIR))]

    yield turn


@contextlib.contextmanager
def looking() -> Iterator[Turn]:
    """The turns of a run that changes nothing: it waits for nobody, and leaves no file of a lock behind."""
    yield contextlib.nullcontext


def _signature() -> bytes:
    """What tells a run from every other one."""
    return os.urandom(16).hex().encode()


def _signed() -> str:
    """The file that has the signature of the last run which had a turn."""
    return os.path.join(lock.FOLDER, "host.turn")


def _sign(signature: bytes) -> None:
    if _content(_signed()) != signature:
        with open(_signed(), "wb") as stream:
            stream.write(signature)


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""
