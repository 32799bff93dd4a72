# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the namespaces of fabric_in_namespaces.py; each program prints JSON."""

CONVERGE = """
import json, sys
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import lock, state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import converge
folder, plan = sys.argv[1], json.loads(sys.argv[2])
for function in (state.load, state.save, state.would_save, state.owned, state.own):
    function.__defaults__ = (folder,)
lock.FOLDER = folder + "/locks"
print(json.dumps(converge.converge(plan, check=sys.argv[3:] == ["check"])))
"""
WATCH = CONVERGE.replace(
    CONVERGE.splitlines()[-1],
    """
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import guard, watch
# How often it looks when nothing is told.
guard.SLOW = float((sys.argv[3:] or [guard.SLOW])[0])
print("ready", flush=True)
for line in watch.boot(plan):
    print(line, flush=True)
""",
)
# Serves until it is killed; a line on standard input asks which NIC the bytes to each address have left by.
SERVE = """
import collections, contextlib, json, socket, sys, threading
sent = collections.Counter()
def watch():
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    while True:
        data, (nic, _, kind, *_) = packets.recvfrom(100)
        if kind != socket.PACKET_OUTGOING:
            continue
        family, protocol, at = (10, data[20], 38) if data[12] == 0x86 else (2, data[23], 30)
        if protocol == 6:
            sent[nic, socket.inet_ntop(family, data[at : at + (16 if family == 10 else 4)])] += 1
def hold(one):
    with contextlib.suppress(ConnectionResetError):
        one.sendall(b"hello" * 40000)
        while one.recv(65536):
            pass
def serve(listener):
    while True:
        threading.Thread(target=hold, args=(listener.accept()[0],), daemon=True).start()
threading.Thread(target=watch, daemon=True).start()
for address in sys.argv[1:]:
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 262)
    listener.bind((address, 4420)); listener.listen()
    threading.Thread(target=serve, args=(listener,), daemon=True).start()
print("ready", flush=True)
for _ in sys.stdin:
    print(json.dumps(sorted({pair for pair in sent})), flush=True); sent.clear()
"""
CONNECT = """
import json, socket, sys, time
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
kept, address, count, flows = [], sys.argv[1], *map(int, sys.argv[2:])
def found():
    return [sorted((flow.local, flow.backup) for flow in one.subflows if flow.established)
            for one in sock_diag.connections() if one.established and not one.fallback]
for _ in range(count):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 262)
    one.settimeout(5); one.connect((address, 4420)); one.sendall(b"hello"); kept.append(one)
deadline = time.monotonic() + 2
while min(map(len, found()), default=0) < flows and time.monotonic() < deadline:
    time.sleep(0.05)
for one in kept:
    one.sendall(b"hello" * 40000)
    left = 200000
    while left:
        left -= len(one.recv(left))
# A subflow too many would come about now.
time.sleep(0.1)
print(json.dumps(found()))
"""

# Keeps connections busy until it is killed; a line on standard input asks for the subflows of each.
HOLD = """
import json, socket, sys, threading, time
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
address, count, errors, sent = sys.argv[1], int(sys.argv[2]), [], [0]
def carry(one):
    try:
        while True:
            one.sendall(bytes(100000)); sent[0] += 100000; time.sleep(0.02)
    except OSError as error:
        errors.append(str(error))
def read(one):
    while one.recv(65536):
        pass
for _ in range(count):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 262)
    one.settimeout(30); one.connect((address, 4420)); one.settimeout(None)
    for work in (carry, read):
        threading.Thread(target=work, args=(one,), daemon=True).start()
print("ready", flush=True)
for _ in sys.stdin:
    flows = {one.token: sorted(flow.local for flow in one.subflows if flow.established and not flow.stale)
             for one in sock_diag.connections() if one.remote == address and not one.fallback}
    print(json.dumps({"flows": flows, "errors": errors, "sent": sent[0]}), flush=True)
"""

# Connects to a server that knows no MPTCP, as through a path that takes the options away.
FALL_BACK = """
import json, socket, sys
address = sys.argv[1]
listener = socket.socket(); listener.bind((address, 4421)); listener.listen()
print("ready", flush=True)
one, _peer = listener.accept()
while one.recv(65536):
    one.sendall(b"hello")
"""
