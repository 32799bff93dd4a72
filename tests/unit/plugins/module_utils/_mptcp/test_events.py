# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which changes of routes, rules and neighbours wake the unit: this machine's own kernel in an empty namespace.

Runs as root on a kernel with MPTCP and is skipped elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from fabric_in_namespaces import ROOT, UNABLE

pytestmark = pytest.mark.skipif(bool(UNABLE), reason=UNABLE)

# A NIC, and one that listens.
LISTEN = """
import json, subprocess, sys, time
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import events as told
told.QUIET = 0.2
def ip(command):
    subprocess.run(["ip", *command.split()], check=True)
for command in ("link add d0 type veth peer name d1", "link set d0 up", "link set d1 up",
                "address add 10.9.0.1/24 dev d0", "address add 2001:db8::1/64 dev d0 nodad"):
    ip(command)
events = told.Events()
while events.wait(2.0).network:
    pass
"""
# Those commands of the arguments after which the network is seen to have changed.
SEEN = """
told.LONGEST, found = 0.2, []
for command in sys.argv[1:]:
    ip(command)
    seen = events.wait(0.5)
    if seen.network or seen.deleted:
        found.append(command)
print(json.dumps(found))
"""
# Seconds until the answer to a route that is deleted as soon as it is there, once, again, and with a NIC that changes.
DELETED_AGAIN = """
told.LONGEST, found = 5.0, []
for command in ("link show", "link show", "link set d0 mtu 1400"):
    ip("route add 10.8.0.0/24 dev d0 proto 77")
    ip("route del 10.8.0.0/24")
    ip(command)
    began = time.monotonic()
    assert events.wait(9.0).deleted
    found.append(time.monotonic() - began)
print("\\n" + json.dumps(found))
"""
# What is seen when a process says that a route of ours was deleted and a subflow ended, and the kernel does not.
FORGED = """
import socket, struct
told.LONGEST = 0.2
route = struct.pack("=IHHII", 28, 25, 0, 0, 0) + struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 77, 0, 1, 0)
subflow = struct.pack("=IHHII", 20, 30, 0, 0, 0) + struct.pack("=BBH", 11, 1, 0)
for channel, protocol, message in zip(events._sockets, (socket.NETLINK_ROUTE, 16), (route, subflow)):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as process:
        process.sendto(message, channel.getsockname())
print(json.dumps(events.wait(0.5) == events.wait(0.1) == told.Seen()))
"""


def said(program: str, *arguments: str) -> Any:
    argv = ["unshare", "--net", sys.executable, "-c", LISTEN + program, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "collections")}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=90, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_program_that_deletes_what_is_added_is_not_answered_at_once_each_time() -> None:
    first, again, with_a_nic = said(DELETED_AGAIN)
    assert first < 2.5 < again < 7.5
    assert with_a_nic < 2.5


def test_only_the_deletion_of_what_is_ours_wakes_the_unit() -> None:
    wakes = [
        "route del 10.8.0.0/24 proto 77",
        "-6 route del 2001:db8:1::/64 proto 77",
        "rule del priority 77",
        "-6 rule del priority 77",
        "link set d0 mtu 1400",
    ]
    ways = ("route add 10.8.0.0/24 dev d0 proto", "-6 route add 2001:db8:1::/64 dev d0 proto")
    commands = [
        *(f"{way} {number} metric {number}" for way in ways for number in (4, 77)),
        "route replace 10.8.0.0/24 dev d0 proto 77 metric 77 src 10.9.0.1",
        "route del 10.8.0.0/24 proto 4",
        wakes[0],
        "-6 route del 2001:db8:1::/64 proto 4",
        wakes[1],
    ]
    for family, address in (("", "10.9.0.1"), ("-6 ", "2001:db8::1")):
        for priority, protocol in ((4, "4"), (77, "77")):
            commands.append(f"{family}rule add from {address} lookup main priority {priority} protocol {protocol}")
        commands += [f"{family}rule del priority 4", f"{family}rule del priority 77"]
    commands += ["neigh add 10.9.0.7 lladdr 02:00:00:00:00:01 dev d0", "neigh del 10.9.0.7 dev d0", wakes[-1]]
    assert said(SEEN, *commands) == wakes


def test_what_another_process_says_is_not_believed() -> None:
    assert said(FORGED) is True
