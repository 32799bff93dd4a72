# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import socket

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import netlink, uevents
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.uevents import Uevents, described

PATH = b"/devices/virtual/nvme-fabrics/ctl/nvme3\0"
REMOVED = b"remove@" + PATH + b"ACTION=remove\0SUBSYSTEM=nvme\0SEQNUM=7\0"
CHANGED = b"change@" + PATH + b"ACTION=change\0SUBSYSTEM=nvme\0NVME_AEN=0x70f002\0SEQNUM=8\0NVME_TRTYPE=mptcp\0"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (REMOVED, "nvme3 was removed"),
        (CHANGED, "nvme3 says that its discovery log has changed"),
        (
            b"change@" + PATH + b"SUBSYSTEM=nvme\0NVME_EVENT=rediscover\0",
            "nvme3 is back and may have another discovery log",
        ),
        # A controller that we make is no news to us, nor is any other notice.
        (b"change@" + PATH + b"SUBSYSTEM=nvme\0NVME_EVENT=connected\0", ""),
        (b"change@" + PATH + b"SUBSYSTEM=nvme\0NVME_AEN=0x0c0302\0", ""),
        (b"add@" + PATH + b"ACTION=add\0SUBSYSTEM=nvme\0", ""),
        (b"remove@/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1\0ACTION=remove\0SUBSYSTEM=block\0", ""),
        (b"remove@/devices/virtual/nvme-generic/nvme0\0ACTION=remove\0SUBSYSTEM=nvme-generic\0", ""),
        (b"libudev\0\xfe\xed\xca\xfe", ""),
    ],
)
def test_only_what_matters_for_connections_counts(event: bytes, line: str) -> None:
    assert described(event) == line


@pytest.fixture
def channel(monkeypatch: pytest.MonkeyPatch) -> tuple[Uevents, socket.socket]:
    """A listener, and the end from which the kernel's messages come."""
    ours, kernel_s = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    # Whoever sends over this pair has the kernel's port.
    monkeypatch.setattr(netlink, "received", lambda channel: channel.recv(65536))
    events = Uevents.__new__(Uevents)
    events._socket = ours
    return events, kernel_s


def test_events_that_come_together_are_one_wait(channel: tuple[Uevents, socket.socket]) -> None:
    events, kernel_s = channel
    for message in (b"add@/devices/x\0SUBSYSTEM=pci\0", REMOVED, CHANGED, CHANGED):
        kernel_s.send(message)
    assert events.wait(None) == ["nvme3 was removed", "nvme3 says that its discovery log has changed"]
    assert events.wait(0.01) == []


def test_time_passes_over_events_that_do_not_matter(channel: tuple[Uevents, socket.socket]) -> None:
    events, kernel_s = channel
    kernel_s.send(b"add@/devices/x\0SUBSYSTEM=pci\0")
    assert events.wait(0.01) == []


def test_lost_events_are_an_event(channel: tuple[Uevents, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def settimeout(self, timeout: float | None) -> None:
            self.first = timeout != 0.0

        def recv(self, size: int) -> bytes:
            if self.first:
                raise OSError(errno.ENOBUFS, "no buffer space")
            raise BlockingIOError

    monkeypatch.setattr(channel[0], "_socket", Full())
    assert channel[0].wait(None) == [uevents.LOST]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may send events")
def test_events_of_another_process_are_nothing() -> None:
    events = Uevents()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, uevents._NETLINK_KOBJECT_UEVENT) as process:
        process.sendto(REMOVED, events._socket.getsockname())
    assert events.wait(0.05) == []
