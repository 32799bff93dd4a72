# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The one place that reads nvmet's configfs; changes are Operations. Tests hand in a kernel of their own."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import socket
import stat
from typing import Iterable, Protocol

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, perform
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import KINDS, Attribute, Kind
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Object, Tree, join

MOUNT = "/sys/kernel/config"
ROOT = f"{MOUNT}/nvmet"
#: Kernels with NVME_TARGET_DEBUGFS show each controller there (drivers/nvme/target/debugfs.c).
DEBUGFS = "/sys/kernel/debug/nvmet"


class Kernel(Protocol):
    """What the code needs of the system; each method raises OSError as the system call does."""

    def read(self, path: str) -> str: ...

    def names(self, path: str) -> list[str]: ...

    def mode(self, path: str) -> int: ...

    def perform(self, operation: Operation) -> None: ...

    def bind(self, address: str) -> None: ...

    def is_mounted(self, path: str) -> bool: ...

    def sockets(self) -> list[str]: ...

    def mptcp(self) -> list[tuple[str, int, str]] | None: ...

    def loops(self) -> set[str]: ...

    def controllers(self) -> list[tuple[str, str, str]] | None: ...


class Live:
    """The kernel that this process runs on."""

    def read(self, path: str) -> str:
        # A configfs attribute is at most one page and is read at once.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(handle, 4096).decode("utf-8", "replace")
        finally:
            os.close(handle)

    def names(self, path: str) -> list[str]:
        return os.listdir(path)

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)

    def perform(self, operation: Operation) -> None:
        perform(operation)

    def bind(self, address: str) -> None:
        """Whether a socket can have this IP address here, at any port number."""
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))

    def is_mounted(self, path: str) -> bool:
        return os.path.ismount(path)

    def sockets(self) -> list[str]:
        """The texts of the kernel's tables of TCP sockets."""
        return [_whole(path) for path in ("/proc/net/tcp", "/proc/net/tcp6") if os.path.exists(path)]

    def mptcp(self) -> list[tuple[str, int, str]] | None:
        """(our address, our port, address of the other side) as each MPTCP connection began; None where none tells."""
        try:
            return [(one.local, one.local_port, one.remote) for one in sock_diag.connections()]
        except OSError:
            # The kernel was built without mptcp_diag.
            return None

    def loops(self) -> set[str]:
        """NQNs of the subsystems that this machine itself is connected to by transport loop."""
        folders = glob.glob("/sys/class/nvme/nvme*")
        return {
            _whole(f"{folder}/subsysnqn").strip()
            for folder in folders
            if _whole(f"{folder}/transport").strip() == "loop"
        }

    def controllers(self) -> list[tuple[str, str, str]] | None:
        """(subsystem, port, host NQN) of every controller that nvmet has; None where its debugfs does not tell."""
        if not os.path.isdir(DEBUGFS):
            return None
        found = []
        for folder in glob.glob(f"{glob.escape(DEBUGFS)}/*/ctrl*"):
            # A controller may go while we look.
            with contextlib.suppress(FileNotFoundError):
                port, host = (_whole(f"{folder}/{name}").strip() for name in ("port", "hostnqn"))
                found.append((folder.split("/")[-2], port, host))
        return found


def _whole(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def preparation(kernel: Kernel, root: str = ROOT) -> list[Operation]:
    """What it takes before nvmet's tree can be seen; the transports' modules are loaded by nvmet itself."""
    operations = []
    if not kernel.is_mounted(MOUNT):
        argv = ("mount", "-t", "configfs", "configfs", MOUNT)
        operations.append(Operation("run", argv=argv, about="configfs"))
    try:
        kernel.names(root)
    except FileNotFoundError:
        # systemd mounts configfs only once its module is there.
        operations.insert(0, Operation("run", argv=("modprobe", "-a", "configfs", "nvmet"), about="nvmet"))
    return operations


def gather(kernel: Kernel, root: str = ROOT) -> Tree:
    """What nvmet has now; an empty tree when nvmet is not loaded."""
    tree = Tree()
    try:
        kernel.names(root)
    except FileNotFoundError:
        return tree
    _Gatherer(kernel, root, tree).object("nvmet", "")
    return tree


def without_effect(kernel: Kernel, root: str, done: Iterable[Operation], desired: Tree) -> list[Operation]:
    """The writes after which nvmet has another value; what was made or removed is so when the kernel says so.

    Only what was written is read again, the last value of each: a write can reset what was written before it.
    """
    last = {operation.path: operation for operation in done if operation.verb == "write"}
    return [
        operation
        for path, operation in last.items()
        if not _has(kernel, path, path[len(root) + 1 :], operation, desired)
    ]


def _has(kernel: Kernel, file: str, inside: str, operation: Operation, desired: Tree) -> bool:
    path, _, name = inside.rpartition("/")
    if path not in desired.objects:
        # Closed because it goes, or gives something up.
        return True
    row = next((row for row in KINDS[desired.objects[path].kind].attributes if row.file == name), None)
    return row is None or _normal(row, kernel.read(file).strip()) == operation.value


class _Gatherer:
    def __init__(self, kernel: Kernel, root: str, tree: Tree) -> None:
        self.kernel, self.root, self.tree = kernel, root, tree
        # Every object of a kind has the same files: looked up once.
        self.readable: dict[str, list[Attribute]] = {}
        self.folders: dict[str, set[str]] = {}

    def object(self, kind_name: str, path: str) -> None:
        kind = KINDS[kind_name]
        folder = f"{self.root}/{path}" if path else self.root
        found = Object(kind_name)
        self.tree.objects[path] = found
        rows = self._rows(kind, folder)
        values = ((row.name, _normal(row, self._value(f"{folder}/{row.file}"))) for row in rows)
        found.attributes.update((name, value) for name, value in values if value is not None)
        secret = (row.file for row in rows if row.secret)
        self.tree.exposed.update(join(path, file) for file in secret if self.kernel.mode(f"{folder}/{file}") & 0o077)
        present = self.folders[kind_name]
        for group, inner in kind.groups.items():
            if group in present:
                for name in self.kernel.names(f"{folder}/{group}"):
                    self.object(inner, join(path, group, name))
        for group, target in kind.links.items():
            for name in self.kernel.names(f"{folder}/{group}"):
                self.tree.links[join(path, group, name)] = join(target, name)
        for name in kind.fixed:
            if name in present:
                self.object(name, join(path, name))

    def _rows(self, kind: Kind, folder: str) -> list[Attribute]:
        if kind.name not in self.readable:
            names = set(self.kernel.names(folder))
            self.folders[kind.name] = names
            self.readable[kind.name] = [row for row in kind.attributes if row.file in names]
            self.tree.lacking[kind.name] = {row.name for row in kind.attributes if row.file not in names}
        return self.readable[kind.name]

    def _value(self, path: str) -> str:
        try:
            return self.kernel.read(path).strip()
        except OSError as error:
            # A TSAS that the port's transport type has no meaning for is refused on reading.
            if error.errno == errno.EINVAL:
                return ""
            raise


def _normal(row: Attribute, text: str) -> str | None:
    try:
        return row.sanitise(text)
    except ValueError:
        # Not set: nothing, "(null)" or "-1". No description can ask for that.
        return None
