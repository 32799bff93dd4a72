# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Why nvmet refused an operation and what to do about it, as a table.

Source: drivers/nvme/target/configfs.c and fs/configfs of Linux 7.2. The first row that fits explains the refusal.
"""

from __future__ import annotations

import errno
from typing import Callable, NamedTuple

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation


class Refusal(NamedTuple):
    """verb and end: what the operation is; fits: a further condition on it; why: the sentence that explains."""

    verb: str
    end: str
    code: int
    why: str
    fits: Callable[[Operation], bool] = lambda operation: True


def _is_port(operation: Operation) -> bool:
    return "/ports/" in operation.path and operation.path.rpartition("/")[0].endswith("/subsystems")


def _value(value: str) -> Callable[[Operation], bool]:
    return lambda operation: operation.value == value


_DISCOVERED = (
    "a host has discovered the subsystem and may rely on it. Leave it, or remove the subsystem and make it anew."
)
_ENABLED = "the object is enabled, and another program may have enabled it in this moment. Run again."

REFUSALS: tuple[Refusal, ...] = (
    Refusal("write", "addr_trtype", errno.EINVAL,
            "this kernel's nvmet does not offer the transport mptcp. Role nvmeof.mptcp.nvme_kernel brings it.",
            _value("mptcp")),
    Refusal("write", "addr_trtype", errno.EINVAL, "this kernel's nvmet does not know that transport type."),
    Refusal("write", "addr_tsas", errno.EINVAL,
            "the transport takes no such TSAS; tls1.3 needs trtype tcp and a kernel with NVME_TARGET_TCP_TLS."),
    Refusal("write", "attr_allow_any_host", errno.EINVAL,
            "another program allowed the subsystem a host in this moment. Run again.",
            _value("1")),
    Refusal("write", "attr_version", errno.EINVAL, _DISCOVERED),
    Refusal("write", "attr_serial", errno.EINVAL, _DISCOVERED),
    Refusal("write", "attr_model", errno.EINVAL, _DISCOVERED),
    Refusal("write", "attr_firmware", errno.EINVAL, _DISCOVERED),
    Refusal("write", "attr_ieee_oui", errno.EINVAL, _DISCOVERED),
    Refusal("write", "discovery_nqn", errno.EINVAL,
            "it is how the NQN of an existing subsystem begins. Choose another."),
    Refusal("write", "revalidate_size", errno.EINVAL,
            "the namespace is not enabled, and another program may have disabled it in this moment. Run again."),
    Refusal("write", "passthru/enable", errno.EINVAL,
            "the controller is in use already, or another program made a namespace in this moment. Run again."),
    Refusal("write", "enable", errno.ENOENT, "the device or file does not exist. Correct device_path."),
    Refusal("write", "enable", errno.EBUSY, "the device is held by something else. See what lsblk says of it."),
    Refusal("write", "enable", errno.EINVAL, "nvmet cannot serve that device or file. Correct device_path."),
    Refusal("write", "enable", errno.EACCES, "the device or file is read-only. Correct its access, or device_path."),
    Refusal("write", "enable", errno.EROFS, "the device or file is read-only. Correct its access, or device_path."),
    Refusal("write", "", errno.EACCES, "the port is open, and another program may have opened it. Run again.",
            lambda operation: "/ports/" in operation.path),
    Refusal("write", "", errno.EBUSY, _ENABLED),
    Refusal("write", "", errno.ENOENT, "this kernel's nvmet has no such attribute. Leave the option out."),
    Refusal("write", "", errno.EINVAL, "nvmet does not take that value here. Correct it."),
    Refusal("mkdir", "", errno.EINVAL, "nvmet does not take that name. Correct it."),
    Refusal("mkdir", "", errno.ENOMEM, "nvmet holds no more than 1024 namespaces a subsystem. Use another subsystem."),
    Refusal("mkdir", "", errno.EEXIST, "another program made it in this moment. Run again."),
    Refusal("symlink", "", errno.EADDRINUSE,
            "something else listens on that address, perhaps a port that is not described. Choose another traddr or "
            "trsvcid, or remove the other.", _is_port),
    Refusal("symlink", "", errno.EADDRNOTAVAIL,
            "no interface of this machine has the address. Correct traddr, or bring the interface up first.", _is_port),
    Refusal("symlink", "", errno.EINVAL,
            "the kernel cannot open the port: the transport's module does not load, or adrfam and traddr do not "
            "suit it. The kernel's log (dmesg) says which.", _is_port),
    Refusal("symlink", "", errno.EINVAL, "the subsystem is open to any host. Set allow_any_host: false.",
            lambda operation: "/allowed_hosts/" in operation.path),
    Refusal("symlink", "", errno.EEXIST, "another program linked it in this moment. Run again."),
    Refusal("symlink", "", errno.ENOENT, "what it points at is gone; another program removed it. Run again."),
    Refusal("rmdir", "", errno.EBUSY, "something that is not described links to it. Unlink that first, or keep this."),
    Refusal("rmdir", "", errno.ENOTEMPTY, "it holds something that another program made. Remove that first."),
    Refusal("run", "", errno.EIO, "the kernel has no NVMe target, or may not load it. Role nvmeof.mptcp.nvme_kernel "
            "brings it.", lambda operation: operation.argv[:1] == ("modprobe",)),
)  # fmt: skip


def explain(operation: Operation, error: OSError) -> str | None:
    """Why, and what to do; None when the table does not know."""
    for row in REFUSALS:
        fits = row.verb == operation.verb and row.code == error.errno
        fits = fits and (not row.end or operation.path.endswith(f"/{row.end}"))
        if fits and row.fits(operation):
            return f"{row.why} ({error.strerror})" if row.verb == "run" else row.why
    return None
