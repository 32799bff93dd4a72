# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""The steps of a trial: arm it, keep it, end it. Each can be interrupted anywhere and run again."""

from __future__ import annotations

import os
import re
import time
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import operation as _operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import packages as _packages
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import checks
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import ledger as _trial_ledger
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader import Loader

#: apt keeps the running and the newest kernels by itself; the way back may be neither while another one is on trial.
APT_SETTINGS = "/etc/apt/apt.conf.d/nvmeof-mptcp-kernel-trial"

Ledger = _trial_ledger.Ledger


class TrialError(Exception):
    """What a step found instead of what it needs; the text says what to do."""


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
    _do(loader.boot_default())
    _do(loader.keep_default(previous))
    # Before anything is installed, for from then on a default that does not hold may be the new kernel.
    _default_holds(loader, release, previous)
    if new:
        known = ledger["installed"].get(release, [])
        ledger["installed"][release] = [*known, *(name for name in new if name not in known)]
    _trial_ledger.write({**ledger, "trial": trial})
    pattern = re.sub(r"([.+])", r"\\\1", previous)
    protected = f'APT::NeverAutoRemove {{ "^linux-.*-{pattern}(-unsigned)?$"; }};\n'
    _do([Operation("put", path=APT_SETTINGS, value=protected, about=f"kernel {previous}")])
    _do(_packages.install(list(packages.values()), "the kernel's packages"))
    if release not in loader.entries():
        raise TrialError(
            f"the packages of kernel {release} are installed, but {loader.name} has no entry for it (it has "
            f"{', '.join(sorted(loader.entries()))}); the default is still {previous}"
        )
    # What the packages ran may have made them the default again.
    _do(loader.keep_default(previous))
    _default_holds(loader, release, previous)
    _trial_ledger.write({**ledger, "trial": {**trial, "boot": boot_id, "since": int(time.time())}})
    _do(loader.boot_once(release))
    if loader.next() != release:
        raise TrialError(f"{loader.name} did not take kernel {release} for the next boot")
    panics = [option.partition("=")[2] for option in loader.options(release) if option.startswith("panic=")]
    if not panics or panics[-1] in ("", "0"):
        _do(loader.boot_default())
        _trial_ledger.write({**ledger, "trial": trial})
        raise TrialError(
            f"{loader.name} would start kernel {release} {'with panic=' + panics[-1] if panics else 'without panic='}: "
            "a machine on which it panics would stand still, so it is not booted. Let its command line end in panic=10 "
            "(GRUB_CMDLINE_LINUX in /etc/default/grub.d, /etc/kernel/cmdline, or inside a unified kernel image)"
        )


def _default_holds(loader: Loader, release: str, previous: str) -> None:
    if loader.default() != previous:
        raise TrialError(
            f"{loader.name} boots {loader.default() or 'an unknown kernel'} by default and not the running {previous}, "
            f"so kernel {release} is not booted: see what sets its default"
        )


def keep(loader: Loader, ledger: Ledger, release: str, keep_number: int, perform: bool) -> list[str]:
    """Make a running kernel the default, let its guard go, and remove the kernels that are too many.

    A kernel stays where others that are not to go depend on one of its packages.
    """
    kept = {**ledger, "trial": None}
    kept["proven"] = [release, *[name for name in ledger["proven"] if name != release]]
    pin = loader.keep_default(release)
    superfluous = _trial_ledger.superfluous(kept, release, keep_number)
    purge = [
        Operation("run", argv=(*_packages.PURGE, *names), about=f"kernel {gone}")
        for gone in superfluous
        for names in [_installed(kept["installed"][gone])]
        if names and set(checks.removal((*_packages.PURGE, *names))) <= set(names)
    ]
    lines = [operation.line() for operation in pin + purge]
    if kept != ledger or unit.current(_trial_ledger.UNIT):
        lines.append(f"keep kernel {release}")
    if perform and lines:
        # First that it is decided: a guard whose kernel is the default already would reboot it for ever.
        if ledger["trial"]:
            _trial_ledger.write({**ledger, "trial": {**ledger["trial"], "kept": True}})
        _do(pin)
        _let_go()
        _trial_ledger.write(kept)
        _do(purge)
        there = {name: _installed(names) for name, names in kept["installed"].items()}
        kept["installed"] = {name: names for name, names in there.items() if names}
        _trial_ledger.write(kept)
    return lines


def _installed(names: t.Iterable[str]) -> list[str]:
    # What somebody has removed himself may be in no archive any more, and apt would not know its name.
    return [name for name in names if _packages.installed_version(name)]


def _let_go() -> None:
    unit.remove(_trial_ledger.UNIT)
    if os.path.exists(APT_SETTINGS):
        _do([Operation("unlink", path=APT_SETTINGS, about="apt's settings for the trial")])


def end(loader: Loader | None, ledger: Ledger, perform: bool) -> list[str]:
    """Forget a trial while another kernel runs; what was installed for it stays, and is not booted."""
    if ledger["trial"] is None and not unit.current(_trial_ledger.UNIT):
        return []
    back = loader.boot_default() if loader else []
    if perform:
        _do(back)
        _trial_ledger.write({**ledger, "trial": None})
        _let_go()
    return [*[operation.line() for operation in back], "end the trial"]


def _do(plan: t.Iterable[Operation]) -> None:
    _operation.apply(plan, lambda operation, error: None)
