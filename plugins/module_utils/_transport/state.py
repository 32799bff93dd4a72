# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""All there is to know about the mptcp transport on this machine, as plain data for a module's result."""

from __future__ import annotations

import os
import typing as t
from dataclasses import asdict

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules as _module_files
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import probe as _transport_probe
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import release as _kernel_release
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import swap

# The target's alias is the same in every kernel that has the transport; the host's is not in the posted series.
_ALIAS = "nvmet-transport-4"


def read(probe: bool) -> dict[str, t.Any]:
    """The state of the transport.

    probe: load the modules and ask the kernel. Otherwise nothing is written or loaded, and whether the transport is
    present is judged by the modules on disk and by which builds are loaded.
    Raises ProbeError.
    """
    # nvmet takes the transport's name also when nvmet-tcp, which would serve it, cannot be loaded.
    no_host, no_target = [_transport_probe.load((name,)) if probe else [] for name in ("nvme-tcp", "nvmet-tcp")]
    modules = [_module_files.read(name) for name in _module_files.MODULES]
    offered: dict[str, bool | None] = {"host": None, "target": None}
    if probe:
        offered = {
            "host": not no_host and _transport_probe.offered_by_host(),
            "target": not no_target and _transport_probe.offered_by_target(),
        }
    release = os.uname().release
    version = kernel_version(release)
    return {
        "architecture": os.uname().machine,
        "kernel_release": release,
        "kernel_version": version,
        "probed": probe,
        "offered": offered,
        "present": all(offered.values()) if probe else judge(modules),
        "modules": [asdict(module) for module in modules],
        "missing": no_host + no_target,
        "stale": [module.name for module in modules if module.stale],
        "holders": swap.holders(modules, _module_files.users),
        "obstacles": obstacles(release, version),
        "signed_only": signed_only(),
    }


def obstacles(release: str, version: str) -> list[str]:
    """Why rebuilt modules cannot bring the transport to a kernel of this machine."""
    return _kernel_release.obstacles(release, version, signed_only())


def signed_only() -> bool:
    """Whether the kernel loads signed modules only."""
    enforced = _read("/sys/module/module/parameters/sig_enforce") == "Y"
    return _kernel_release.takes_signed_only(_read("/sys/kernel/security/lockdown"), enforced)


def judge(modules: t.Iterable[_module_files.Module]) -> bool:
    """Whether the modules that are loaded, or would be, have the transport, going by what they say of themselves."""
    found = list(modules)
    return any(_ALIAS in module.aliases for module in found) and not any(module.stale for module in found)


def kernel_version(release: str) -> str:
    """Version of the installed package that owns a kernel release; empty when none does."""
    image = f"linux-image-{release}"
    return packages.installed_version(image) or packages.installed_version(f"{image}-unsigned")


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as stream:
        return stream.read().strip()
