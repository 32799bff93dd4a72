# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A discovery controller that means no good, for hosts of the tests: NVMe/TCP over TCP or MPTCP sockets.

    python3 hostile_discovery.py MODE ADDRESS PORT [--tcp] [--count N] [--nqn NQN] [--foreign ADDRESS] [--record FILE]

It runs on a target beside nvmet, on the standard library alone, until it is killed. MODE is what its log does:

  quiet    names nothing
  flood    names N subsystems at this portal, NQN-0 to NQN-(N-1); none of them lets anybody in
  churn    changes after each reading, and says so by an event each time
  foreign  names NQN, a copy of a served subsystem, at loopback, a link-local address and ADDRESS of --foreign
  control  names subsystems whose NQNs hold a newline with a forged line, an escape sequence and damaged UTF-8
  silent   accepts connections and answers nothing

A host is led to it by a referral of nvmet, or by its own inventory. FILE gets one JSON object whenever it changes:
C(accepted) counts connections, C(readings) readings of the log's header, C(connects) Connect commands by NQN, and
C(authentications) messages of DH-HMAC-CHAP.

Sources: NVM Express Base 2.1, NVMe/TCP Transport 1.1 and include/linux/nvme.h, nvme-tcp.h of Linux.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import socket
import struct
import threading

MPTCP = 262
DISCOVERY_NQN = "nqn.2014-08.org.nvmexpress.discovery"
ICREQ, ICRESP, COMMAND, RESPONSE, C2H_DATA = 0, 1, 4, 5, 7
FABRICS, IDENTIFY, LOG_PAGE, SET_FEATURES, GET_FEATURES, ASYNC_EVENT, KEEP_ALIVE = 0x7F, 0x06, 0x02, 9, 10, 0x0C, 0x18
PROPERTY_SET, CONNECT, PROPERTY_GET, AUTH_SEND, AUTH_RECEIVE = 0, 1, 4, 5, 6
CAP, VS, CC, CSTS = 0x00, 0x08, 0x14, 0x1C
INVALID_OPCODE, CONNECT_INVALID, DNR = 0x01, 0x182, 0x4000
ENTRY = 1024
#: Notice, discovery log change, of the discovery log page.
CHANGED = 2 | 0xF0 << 8 | 0x70 << 16


def entry(transport: int, subtype: int, nqn: bytes, address: str, port: int) -> bytes:
    """An entry of a discovery log."""
    head = struct.pack("<BBBBHHHH20x", transport, 1, subtype, 0, 1, 0xFFFF, 32, 0)
    text = str(port).encode().ljust(32) + bytes(192) + nqn.ljust(256, b"\0") + address.encode().ljust(256)
    return (head + text).ljust(ENTRY, b"\0")


def entries(given: argparse.Namespace) -> list[bytes]:
    """What the log names in its mode."""

    def named(nqn: bytes, address: str = given.address, port: int = given.port) -> bytes:
        return entry(3 if given.tcp else 4, 2, nqn, address, port)

    nqn = given.nqn.encode()
    forged = b"\nhost: 3 connection(s) as described"
    return {
        "flood": [named(nqn + f"-{number}".encode()) for number in range(given.count)],
        "foreign": [
            named(nqn, "127.0.0.1", 22),
            named(nqn, "169.254.0.9"),
            named(nqn, given.foreign),
            entry(3 if given.tcp else 4, 1, DISCOVERY_NQN.encode(), given.foreign, given.port),
        ],
        "control": [named(nqn + forged), named(nqn + b"\x1b[2K\rnothing"), named(nqn + b"\xff\xfe")],
    }.get(given.mode, [])


class Record:
    """What was asked of all connections, and the file that says it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.Lock()
        self.counts = collections.Counter(accepted=0, readings=0, authentications=0)
        self.connects: collections.Counter[str] = collections.Counter()
        self.write()

    def count(self, what: str, nqn: str = "") -> None:
        with self.lock:
            (self.connects if nqn else self.counts)[nqn or what] += 1
            self.write()

    def write(self) -> None:
        if self.path:
            with open(f"{self.path}.new", "w", encoding="utf-8") as stream:
                json.dump({**self.counts, "connects": self.connects}, stream)
            os.replace(f"{self.path}.new", self.path)


class Queue:
    """One connection of a host: the admin queue of a controller."""

    numbers = itertools.count(1)
    generations = itertools.count(1)

    def __init__(self, stream: socket.socket, given: argparse.Namespace, log: bytes, record: Record) -> None:
        self.stream, self.given, self.log, self.record = stream, given, log, record
        self.controller = next(self.numbers) & 0x7FFF
        self.configuration, self.waiting, self.told = 0, [], False

    def serve(self) -> None:
        """Answer until the host goes."""
        while True:
            kind, _flags, head, offset, length = struct.unpack("<BBBBI", self.receive(8))
            rest = self.receive(length - 8)
            if kind == ICREQ:
                # Version 0, no alignment, no digests, up to 1 MiB at a time.
                self.stream.sendall(struct.pack("<BBBBIHBBI112x", ICRESP, 0, 128, 0, 128, 0, 0, 0, 1 << 20))
            elif kind == COMMAND:
                self.command(rest[: head - 8], rest[offset - 8 :] if offset else b"")

    def receive(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = self.stream.recv(length - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def command(self, sqe: bytes, data: bytes) -> None:
        opcode, cid = sqe[0], struct.unpack_from("<H", sqe, 2)[0]
        if opcode == FABRICS:
            self.fabrics(sqe, cid, data)
        elif opcode == IDENTIFY and sqe[40] == 1:
            self.give(cid, self.identity())
        elif opcode == LOG_PAGE and sqe[40] == 0x70:
            self.log_page(sqe, cid)
        elif opcode == ASYNC_EVENT:
            self.waiting.append(cid)
        elif opcode in (KEEP_ALIVE, SET_FEATURES, GET_FEATURES):
            self.answer(cid)
        else:
            self.answer(cid, status=INVALID_OPCODE | DNR)

    def fabrics(self, sqe: bytes, cid: int, data: bytes) -> None:
        kind, offset = sqe[4], struct.unpack_from("<I", sqe, 44)[0]
        if kind == CONNECT:
            nqn = data[256:512].partition(b"\0")[0].decode("ascii", "backslashreplace")
            self.record.count("connects", nqn)
            if nqn == DISCOVERY_NQN:
                self.answer(cid, self.controller)
            else:
                # Byte 256 of the data, the subsystem's NQN, is wrong.
                self.answer(cid, 1 << 16 | 256, CONNECT_INVALID | DNR)
        elif kind == PROPERTY_GET:
            # 128 entries, contiguous, 7.5 s to be ready, the NVM command set; version 1.4.
            done = 2 << 2 if self.configuration & 3 << 14 else 0
            values = {
                CAP: 127 | 1 << 16 | 15 << 24 | 1 << 37,
                VS: 0x10400,
                CC: self.configuration,
                CSTS: self.configuration & 1 | done,
            }
            self.answer(cid, values.get(offset, 0))
        elif kind == PROPERTY_SET:
            if offset == CC:
                self.configuration = struct.unpack_from("<I", sqe, 48)[0]
            self.answer(cid)
        else:
            if kind in (AUTH_SEND, AUTH_RECEIVE):
                self.record.count("authentications")
            self.answer(cid, status=INVALID_OPCODE | DNR)

    def identity(self) -> bytes:
        """Identify Controller: a discovery controller with a keep-alive and events of its log."""
        data = bytearray(4096)
        data[4:24], data[24:64], data[64:72] = b"hostile".ljust(20), b"hostile".ljust(40), b"1".ljust(8)
        for form, offset, value in (
            ("<H", 78, self.controller), ("<I", 80, 0x10400), ("<I", 92, 1 << 31), ("<B", 111, 2), ("<B", 261, 4),
            ("<H", 320, 10), ("<B", 512, 0x66), ("<B", 513, 0x44), ("<H", 514, 128), ("<I", 536, 1 << 20 | 1),
            ("<I", 1792, 260), ("<I", 1796, 1),
        ):  # fmt: skip
            struct.pack_into(form, data, offset, value)
        data[768 : 768 + len(DISCOVERY_NQN)] = DISCOVERY_NQN.encode()
        return bytes(data)

    def log_page(self, sqe: bytes, cid: int) -> None:
        low, high, first, above = struct.unpack_from("<IIII", sqe, 40)
        length, offset = ((low >> 16 | (high & 0xFFFF) << 16) + 1) * 4, first | above << 32
        churns = self.given.mode == "churn"
        generation = next(self.generations) if churns and offset == 0 else 0
        header = struct.pack("<QQH", generation, len(self.log) // ENTRY, 0).ljust(ENTRY, b"\0")
        if offset == 0:
            self.record.count("readings")
        self.give(cid, (header + self.log)[offset : offset + length].ljust(length, b"\0"))
        # Without Retain Asynchronous Event the host has taken note of the last one.
        self.told = self.told and bool(low & 1 << 15)
        if churns and self.waiting and not self.told:
            self.told = True
            self.answer(self.waiting.pop(0), CHANGED)

    def give(self, cid: int, data: bytes) -> None:
        """Data of a command, all at once, and its end; in one piece, or TCP waits between them."""
        last = 1 << 2
        head = struct.pack("<BBBBIHHII4x", C2H_DATA, last, 24, 24, 24 + len(data), cid, 0, 0, len(data))
        self.stream.sendall(head + data + response(cid))

    def answer(self, cid: int, result: int = 0, status: int = 0) -> None:
        self.stream.sendall(response(cid, result, status))


def response(cid: int, result: int = 0, status: int = 0) -> bytes:
    """The end of a command."""
    return struct.pack("<BBBBIQHHHH", RESPONSE, 0, 24, 0, 24, result, 0, 0, cid, status << 1 & 0xFFFF)


def serve(stream: socket.socket, given: argparse.Namespace, log: bytes, record: Record) -> None:
    """One connection, in a thread of its own."""
    record.count("accepted")
    with stream:
        try:
            if given.mode == "silent":
                while stream.recv(4096):
                    pass
            else:
                Queue(stream, given, log, record).serve()
        except (OSError, EOFError):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("mode", choices=("quiet", "flood", "churn", "foreign", "control", "silent"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--count", type=int, default=16384)
    parser.add_argument("--nqn", default="nqn.2026-11.org.example:hostile")
    parser.add_argument("--foreign", default="198.51.100.7")
    parser.add_argument("--record", default="")
    given = parser.parse_args()
    log, record = b"".join(entries(given)), Record(given.record)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0 if given.tcp else MPTCP) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((given.address, given.port))
        server.listen(128)
        while True:
            stream, _peer = server.accept()
            threading.Thread(target=serve, args=(stream, given, log, record), daemon=True).start()


if __name__ == "__main__":
    main()
