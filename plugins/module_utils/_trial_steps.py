# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The steps of a trial: arm it, keep it, end it. Each can be interrupted anywhere and run again."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils import _operation, _trial_ledger, _unit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._loader import Loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._operation import Operation

_APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "--quiet", "-o", "DPkg::Lock::Timeout=120")
#: --no-remove: what would have to go for it is somebody's. The settings of packages stay the site's.
INSTALL = (*_APT, "-o", "Dpkg::Options::=--force-confold", "--no-install-recommends", "--no-remove", "install")
PURGE = (*_APT, "purge")

Ledger = _trial_ledger.Ledger


class TrialError(Exception):
    """What a step found instead of what it needs; the text says what to do."""


def install(sources: t.Sequence[str]) -> list[Operation]:
    """Install packages from files."""
    if not sources:
        return []
    return [Operation("run", argv=(*INSTALL, *sources), about="the kernel's packages")]


def arm(
    loader: Loader,
    ledger: Ledger,
    trial: _trial_ledger.Trial,
    packages: t.Mapping[str, str],
    new: t.Sequence[str],
    boot_id: str,
) -> None:
    """Install a kernel beside the running one, which stays the default, and boot it at the next boot alone.

    packages: name to file of those that are not installed yet. new: which of them were not there in any version.
    """
    release, previous = trial["release"], trial["previous"]
    _trial_ledger.write({**ledger, "trial": trial})
    _do(loader.keep_default(previous))
    _do(install(list(packages.values())))
    if new:
        ledger["installed"].setdefault(release, [])
        ledger["installed"][release] += [name for name in new if name not in ledger["installed"][release]]
    _trial_ledger.write({**ledger, "trial": trial})
    if release not in loader.entries():
        raise TrialError(
            f"the packages of kernel {release} are installed, but {loader.name} has no entry for it (it has "
            f"{', '.join(sorted(loader.entries()))}); the default is still {previous}"
        )
    # What the packages ran may have made them the default again.
    _do(loader.keep_default(previous))
    if loader.default() != previous:
        raise TrialError(
            f"{loader.name} boots {loader.default() or 'an unknown kernel'} by default and not the running {previous}, "
            f"so kernel {release} is not booted: see what sets its default"
        )
    _trial_ledger.write({**ledger, "trial": {**trial, "boot": boot_id, "since": int(time.time())}})
    _do(loader.boot_once(release))
    if loader.next() != release:
        raise TrialError(f"{loader.name} did not take kernel {release} for the next boot")


def keep(loader: Loader, ledger: Ledger, release: str, keep_number: int, perform: bool) -> list[str]:
    """Make a running kernel the default, let its guard go, and remove the kernels that are too many."""
    kept = {**ledger, "trial": None}
    kept["proven"] = [release, *[name for name in ledger["proven"] if name != release]]
    pin = loader.keep_default(release)
    superfluous = _trial_ledger.superfluous(kept, release, keep_number)
    names = [name for gone in superfluous for name in kept["installed"][gone]]
    purge = [Operation("run", argv=(*PURGE, *names), about=", ".join(superfluous))] if names else []
    lines = [operation.line() for operation in pin + purge]
    if kept != ledger or _unit.current(_trial_ledger.UNIT):
        lines.append(f"keep kernel {release}")
    if perform and lines:
        _do(pin)
        _trial_ledger.write(kept)
        _unit.remove(_trial_ledger.UNIT)
        _do(purge)
        kept["installed"] = {name: of for name, of in kept["installed"].items() if name not in superfluous}
        _trial_ledger.write(kept)
    return lines


def end(loader: Loader | None, ledger: Ledger, perform: bool) -> list[str]:
    """Forget a trial while another kernel runs; what was installed for it stays, and is not booted."""
    if ledger["trial"] is None and not _unit.current(_trial_ledger.UNIT):
        return []
    back = loader.boot_default() if loader else []
    if perform:
        _do(back)
        _trial_ledger.write({**ledger, "trial": None})
        _unit.remove(_trial_ledger.UNIT)
    return [*[operation.line() for operation in back], "end the trial"]


def _do(plan: t.Iterable[Operation]) -> None:
    _operation.apply(plan, lambda operation, error: None)
