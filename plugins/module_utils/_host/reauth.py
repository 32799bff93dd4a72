# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Another secret for a controller that lives, and the proof that its target accepts it.

Writing a secret makes the kernel authenticate anew (drivers/nvme/host/sysfs.c). Where the target does not accept it, it
drops the controller, which the kernel then connects again with the new secrets, or gives up for good.
"""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import dataclass, field
from typing import Callable, Sequence

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import BY_NAME
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.kernel_log import KernelLog

#: Seconds for a proof; a target that dropped the controller is reconnected to meanwhile.
PATIENCE = 30.0
#: Said of the host alone; of the controller too, or of both at the end of a connect.
_HOST = re.compile(r"qid 0: authenticated with")
_BOTH = re.compile(r"qid 0: (controller )?authenticated$")
_AGAIN = re.compile(r"re-authenticating controller")
_FAILED = re.compile(r"authentication( setup)? failed|setting up authentication|qid \d+ failed to receive")


@dataclass(frozen=True)
class Secret:
    """A secret as sysfs shows it: C(none) for a controller without, empty on a kernel without authentication."""

    value: str = field(repr=False)
    exposed: bool


def secret(path: str) -> Secret:
    """Read one; exposed tells whether others than root can read it too."""
    try:
        with open(path, encoding="utf-8") as stream:
            return Secret(stream.read().strip(), bool(os.fstat(stream.fileno()).st_mode & 0o077))
    except OSError:
        # The controller went, or its kernel has no such attribute.
        return Secret("", False)


def is_rewrite(operation: Operation) -> bool:
    option = BY_NAME.get(os.path.basename(operation.path))
    return operation.verb == "write" and option is not None and option.secret


class Unproven(OSError):
    """The controller has its new secrets and the target was not seen to accept them; strerror is why."""


@dataclass
class Rewriter:
    """Rewrites the secrets of one controller after the other, so that the others carry the I/O meanwhile."""

    write: Callable[[Operation], None]
    open_log: Callable[[], KernelLog] = KernelLog
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    root: str = "/"

    def rewrite(self, operations: Sequence[Operation]) -> None:
        """Write the secrets of one controller and wait for the proof.

        A controller that is gone is no error: it is missing then, and connected with the new secrets.
        Raises Unproven, or OSError where the kernel refuses a write.
        """
        folder = os.path.dirname(operations[0].path)
        log = self.open_log()
        try:
            for operation in operations:
                self.write(operation)
            self._prove(folder, log)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
        finally:
            log.close()

    def _prove(self, folder: str, log: KernelLog) -> None:
        name, mutual = os.path.basename(folder), self._text(folder, "dhchap_ctrl_secret").startswith("DHHC-1:")
        seen: list[str] = []
        deadline = self.clock() + PATIENCE
        while True:
            seen += [line for line in log.lines() if line.startswith(f"nvme {name}: ")]
            if _accepted(seen, mutual) and self._text(folder, "state") == "live":
                return
            if self.clock() >= deadline:
                raise Unproven(errno.EKEYREJECTED, _why(seen, log))
            self.sleep(0.05)

    def _text(self, folder: str, name: str) -> str:
        with open(os.path.join(self.root, folder.lstrip("/"), name), encoding="utf-8") as stream:
            return stream.read().strip()


def _accepted(lines: Sequence[str], mutual: bool) -> bool:
    """Whether the last that the kernel said is that it authenticated, with mutual the controller as well."""
    said = [line for line in lines if any(word.search(line) for word in (_AGAIN, _HOST, _BOTH, _FAILED))]
    return bool(said) and bool(_BOTH.search(said[-1]) or (not mutual and _HOST.search(said[-1])))


def _why(lines: Sequence[str], log: KernelLog) -> str:
    if not log.readable:
        return "the kernel's log cannot be read, so it is not known whether the target accepted the new secret."
    failed = [line for line in lines if _FAILED.search(line)]
    if failed:
        return (
            "the target rejected the new secret: dhchap_secret and dhchap_ctrl_secret must be the keys of this host "
            f"there (kernel: {'; '.join(dict.fromkeys(failed))})."
        )
    return "the target did not authenticate this host within the time: give it the key of this host first."
