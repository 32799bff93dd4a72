# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Asking the kernel for controllers, and putting its refusals into words.

One controller at a time: the kernel holds one mutex over the whole of a connect (nvmf_dev_write), so that threads would
only wait for each other.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any, Callable, ContextManager, Iterator, Mapping, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, perform
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DEVICE, OPTIONS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import Patience
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.unseen import FOLDER, unseen
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.kernel_log import KernelLog

#: The target, or the way to it, may only be down for now.
TRANSIENT = (
    errno.ETIMEDOUT,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EAGAIN,
    errno.EIO,
)
#: What the kernel logs (nvmf_log_connect_error) of an answer that will be the same the next time, and the remedy.
_ANSWERS = (
    (r"not allowed, hostnqn", "the target does not allow this host: add it to allowed_hosts of the subsystem there"),
    (r"Invalid Data Parameter, subsysnqn", "the target serves no such subsystem on this port: check the NQN"),
    (r"Invalid Data Parameter, hostnqn", "the target does not accept this host NQN"),
    (r"no handler found for transport", "this kernel does not offer the transport: the role nvme_kernel brings it"),
    (
        r"qid \d+: no key|authentication required",
        "the target wants authentication and this connection has no dhchap_secret: set it to the host's key there",
    ),
    (
        r"controller authentication failed|invalid ctrl key",
        "the target did not prove dhchap_ctrl_secret: it must be the dhchap_ctrl_key of this host there",
    ),
    (
        r"authentication( setup)? failed|qid \d+ failed to receive|setting up authentication",
        "the target rejected the authentication: dhchap_secret must be the dhchap_key of this host there",
    ),
    (
        r"found same host(nqn|id)",
        "the kernel knows this host NQN or identifier together with another one until the last of its controllers is "
        "disconnected",
    ),
    (r"(unknown|invalid|missing) parameter", "this kernel does not know the option for this transport"),
)
#: What the kernel logs, or answers where its log cannot be read, when another secret may be the right one.
_REJECTED = re.compile(r"authenticat|qid \d+: no key|invalid ctrl key|qid \d+ failed to receive")
_KEYS = (errno.EKEYREJECTED, errno.EACCES)
_SECRETS = tuple(option.name for option in OPTIONS if option.secret)
_REMEDIES = {
    errno.EINVAL: "this kernel does not know the transport or an option; the role nvme_kernel brings mptcp.",
    errno.ENOENT: f"{DEVICE} does not exist: the module nvme-fabrics is not loaded (modprobe nvme-tcp).",
    errno.ECONNREFUSED: "nothing listens there: check address and port, and that the target's port is enabled.",
    errno.ETIMEDOUT: "the target did not answer in time: check that it is up and that a rail to it works.",
    errno.EHOSTUNREACH: "no working route to the target: check the rails and the routes to its address.",
    errno.ENETUNREACH: "there is no route to the target: the role mptcp makes them.",
    errno.EADDRNOTAVAIL: "host_traddr is not an address of this machine.",
    errno.ENODEV: "host_iface is not an interface of this machine.",
    errno.EKEYREJECTED: "the target rejected the key: check dhchap_secret on both sides.",
    errno.EACCES: "authentication failed or is not allowed: check dhchap_secret on both sides.",
    errno.EPERM: "this takes root (CAP_SYS_ADMIN): use become.",
    errno.ENOKEY: "the TLS key or keyring is not known to the kernel.",
    errno.EIO: "the target refused the connect.",
    errno.EADDRINUSE: "the host NQN is in use with another host identifier.",
}


class ConnectFailed(OSError):
    """A connect that the kernel refused; strerror is why and what to do; permanent when a repetition cannot help.

    rejected: it was the secrets.
    """

    def __init__(self, code: int, why: str, permanent: bool, rejected: bool = False) -> None:
        super().__init__(code, why)
        self.permanent, self.rejected = permanent, rejected


@dataclass(frozen=True)
class Failure:
    """A connection that could not be made: its name, the last refusal, and how often it was tried."""

    name: str
    error: OSError
    attempts: int

    def text(self) -> str:
        code = errno.errorcode.get(self.error.errno or 0, str(self.error.errno))
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        return f"{self.name}: {code} (tried {times}): {self.error.strerror}"


def connect(options: str, device: str = DEVICE, kernel_log: str = "/dev/kmsg", folder: str = FOLDER) -> str:
    """Ask for one controller and return its name, C(nvme<instance>).

    An equal controller that is there already is a success and named C("").
    folder: where the kernel makes controllers. Raises ConnectFailed.
    """
    log = KernelLog(kernel_log)
    try:
        handle = os.open(device, os.O_RDWR | os.O_CLOEXEC)
        try:
            with contextlib.ExitStack() as stack:
                if any(f"{name}=" in options for name in _SECRETS):
                    _close(stack, folder)
                os.write(handle, options.encode())
                answer = os.read(handle, 4096).decode()
        finally:
            os.close(handle)
    except ConnectFailed:
        raise
    except OSError as error:
        if error.errno == errno.EALREADY:
            return ""
        raise _failed(error, _own(log.lines())) from error
    finally:
        log.close()
    match = re.search(r"instance=(\d+)", answer)
    if match is None:
        raise ConnectFailed(errno.EPROTO, f"{device} answered {answer!r}, which names no instance.", True)
    return f"nvme{match.group(1)}"


def _close(stack: contextlib.ExitStack, folder: str) -> None:
    try:
        stack.enter_context(unseen(folder))
    except OSError as error:
        why = f"{folder} cannot be closed ({error.strerror}), and everyone could read the secret there meanwhile."
        raise ConnectFailed(error.errno or 0, why, True) from error


def _own(lines: Sequence[str], folder: str = "/sys/class/nvme") -> list[str]:
    """The lines of a connect that failed. Its controller is gone: those of controllers that are there are others'."""
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    found = [(line, re.match(r"nvme (nvme\d+): ", line)) for line in lines]
    return list(dict.fromkeys(line for line, named in found if not named or named.group(1) not in there))


def _failed(error: OSError, log: Sequence[str]) -> ConnectFailed:
    text = "; ".join(log)
    rejected = bool(_REJECTED.search(text)) or error.errno in _KEYS
    for pattern, remedy in _ANSWERS:
        if re.search(pattern, text):
            return ConnectFailed(error.errno or 0, f"{remedy} (kernel: {text}).", True, rejected)
    remedy = _REMEDIES.get(error.errno or 0, f"{os.strerror(error.errno or 0)}.")
    said = f" (kernel: {text})" if text else ""
    return ConnectFailed(error.errno or 0, f"{remedy[:-1]}{said}.", error.errno not in TRANSIENT, rejected)


@dataclass
class Connector:
    """Makes connections, trying again what may only be down for now until a deadline.

    timeout: seconds for all connections together. pause: seconds between two rounds. others: secrets to try where those
    of a connection are rejected. may: whether a connection, by its name, is asked for now; it is left out otherwise.
    turn: around one connect. patience: what is known of peers; silent ones come last.
    comes_again: run() ends early when others may want to come first; what it then has not asked for is in unasked, and
    what was in vain before in the same pass is not asked again.
    """

    timeout: float
    pause: float = 1.0
    ask: Callable[[str], str] = connect
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    failures: list[Failure] = field(default_factory=list)
    others: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    may: Callable[[str], bool] = lambda name: True
    turn: Callable[[], ContextManager[None]] = contextlib.nullcontext
    patience: Patience = field(default_factory=Patience)
    comes_again: bool = False
    unasked: list[str] = field(default_factory=list)

    def run(self, operations: Sequence[Operation]) -> Iterator[Operation]:
        """Perform the connects and yield each that was made; the others are in failures."""
        deadline = self.clock() + self.timeout
        pending, attempt = list(operations), 0
        while pending:
            attempt += 1
            failed: list[Failure] = []
            yield from self._round(pending, attempt, failed)
            hopeless = {one.about for one in pending if self.patience.not_now(_portal(one), deadline)}
            final = [one for one in failed if getattr(one.error, "permanent", False) or one.name in hopeless]
            self.failures += final
            waiting = {one.name for one in failed} - {one.name for one in final}
            pending = [operation for operation in pending if operation.about in waiting]
            if pending and self.clock() + self.pause >= deadline:
                self.failures += [one for one in failed if one.name in waiting]
                break
            if pending:
                self.sleep(self.pause)

    def _round(self, pending: Sequence[Operation], attempt: int, failed: list[Failure]) -> Iterator[Operation]:
        dead: dict[tuple[str, str], OSError] = {}
        ends = False
        for operation in sorted(pending, key=lambda one: self.patience.rank(_portal(one))):
            name, portal = operation.about, _portal(operation)
            known = self.patience.failures.get(name)
            # One dead target costs one timeout a round, however many subsystems it serves.
            away = dead.get(portal) or self.patience.not_now(portal)
            if known or away:
                failed.append(known or Failure(name, away or OSError(), attempt))
            elif ends:
                self.unasked.append(name)
            elif self.may(name):
                try:
                    self._ask(operation.value, portal)
                except OSError as error:
                    if error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
                        dead[portal] = error
                    failed.append(Failure(name, error, attempt))
                    ends = self.comes_again and self.patience.long
                else:
                    yield operation
        if self.comes_again:
            self.patience.failures.update({one.name: one for one in failed})

    def _ask(self, options: str, portal: tuple[str, str]) -> None:
        """Ask with the secrets of the connection, and where these are rejected with the others; raises the first."""
        try:
            self._once(options, portal)
        except ConnectFailed as error:
            if not error.rejected:
                raise
            rest = [word for word in options.split(",") if word.partition("=")[0] not in _SECRETS]
            for secrets in self.others:
                with contextlib.suppress(ConnectFailed):
                    words = [*rest, *(f"{key}={secrets[key]}" for key in _SECRETS if key in secrets)]
                    self._once(",".join(words), portal)
                    return
            raise

    def _once(self, options: str, portal: tuple[str, str]) -> None:
        with self.turn(), self.patience.measured(portal):
            self.ask(options)


def _portal(operation: Operation) -> tuple[str, str]:
    """Address and service that a connect is for."""
    words = dict(word.partition("=")[::2] for word in operation.value.split(","))
    return words.get("traddr", ""), words.get("trsvcid", "")


def explain(operation: Operation, error: OSError) -> str | None:
    """Why an operation other than a connect was refused; None for the system's own words."""
    if operation.verb == "run":
        return (
            f"{error.strerror}. The role nvme_kernel brings the kernel's modules; without it install the package that "
            "holds the transport's module."
        )
    if operation.path.endswith("/iopolicy") and error.errno == errno.EINVAL:
        return f"this kernel does not know the iopolicy {operation.value}."
    if error.errno == errno.EACCES:
        return "this takes root: use become."
    return None


def perform_other(operation: Operation) -> None:
    """Every other operation of a plan; a controller that went away by itself is disconnected."""
    try:
        perform(operation)
    except OSError as error:
        gone = error.errno in (errno.ENOENT, errno.ENODEV) and operation.path.endswith("/delete_controller")
        if not gone:
            raise
