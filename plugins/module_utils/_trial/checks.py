# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What stands in the way of a trial, all of it looked up before anything is installed."""

from __future__ import annotations

import os
import re
import subprocess
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import debs as _kernel_debs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import efi
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.debs import Deb, Image
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import loader as _loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial.loader import Loader

#: Configuration and symbols in /boot, and what else is written meanwhile.
_SPARE = 16 << 20

Free = t.Callable[[str], t.Tuple[int, int]]


def machine(loader: Loader | None, running: str, trial: t.Mapping[str, t.Any] | None, root: str = "/") -> list[str]:
    """What the machine itself lacks: a loader that is known, and a kernel to return to."""
    if loader is None:
        return [_loader.UNKNOWN]
    found = loader.obstacles()
    if not os.path.exists(os.path.join(root, f"boot/vmlinuz-{running}")) or running not in loader.entries():
        found.append(
            f"there would be no way back: the running kernel {running} has no /boot/vmlinuz-{running} or no entry in "
            f"the menu of {loader.name}, which has {', '.join(sorted(loader.entries())) or 'none'}: install its package"
        )
    if trial is not None and trial["release"] == running:
        found.append(f"the running kernel {running} is on trial itself and was not kept: reboot it, run again")
    return found


def packages(release: str, debs: t.Sequence[Deb], image: Image | None, architecture: str, root: str = "/") -> list[str]:
    """What is wrong with the packages for this machine. architecture: Debian's name of the machine's."""
    found = [
        f"{deb.name} is for {deb.architecture}, the machine is {architecture}: name a kernel for {architecture}"
        for deb in debs
        if deb.architecture not in (architecture, "all")
    ]
    installed = os.path.join(root, f"boot/vmlinuz-{release}")
    if image is None and not os.path.exists(installed):
        names = ", ".join(deb.name for deb in debs) or "no package"
        found.append(f"there is no kernel in {names}: name the package of a kernel (linux-image-...)")
    elif image is not None and image.release != release:
        found.append(f"the packages have kernel {image.release}, not {release}")
    elif efi.enforces_signatures(root) and not (image.signed if image else _is_signed(installed)):
        found.append(
            f"Secure Boot is on and kernel {release} is not signed, the firmware would not start it: sign it with a "
            "key that the machine trusts (sbsign, mokutil --import), or switch Secure Boot off"
        )
    return found


def _is_signed(path: str) -> bool:
    with open(path, "rb") as stream:
        return efi.is_signed(stream.read(efi.HEADER))


def space(
    release: str, debs: t.Sequence[Deb], image: Image | None, ram_disk: int, folders: t.Iterable[str], free: Free
) -> list[str]:
    """Which file system lacks the space, with figures.

    ram_disk: size of the running kernel's initial RAM disk, which the new one's is compared to. folders: the loader's
    own beside /boot. free: device and free bytes of a folder's file system.
    """
    if image is None:
        return []
    # It is made beside the one that it replaces, and differs between kernels.
    kernel = image.size + ram_disk + ram_disk // 4
    needs = [("/usr/lib/modules", sum(deb.installed for deb in debs)), ("/boot", kernel + _SPARE)]
    needs += [(folder, kernel) for folder in folders]
    wanted: dict[int, int] = {}
    names: dict[int, list[str]] = {}
    spare: dict[int, int] = {}
    for folder, size in needs:
        device, spare_bytes = free(folder)
        wanted[device] = wanted.get(device, 0) + size
        names.setdefault(device, []).append(folder)
        spare[device] = spare_bytes
    return [
        f"kernel {release} needs {_mebibytes(size)} for {' and '.join(names[device])}, {_mebibytes(spare[device])} are "
        "free there: remove a kernel that is not needed, or make room"
        for device, size in wanted.items()
        if size > spare[device]
    ]


def installation(command: t.Sequence[str]) -> list[str]:
    """What apt says against an installation; it only simulates."""
    result = _simulate(command)
    if result.returncode == 0:
        return []
    said = [line.strip() for line in (result.stdout + result.stderr).splitlines()]
    telling = [line for line in said if "Depends:" in line or "Breaks:" in line or line.startswith("E:")]
    return [
        f"its packages cannot be installed here: {'; '.join(telling) or ' '.join(said[-3:])}: install what it lacks"
    ]


def removal(command: t.Sequence[str]) -> list[str]:
    """The packages that apt would remove; it only simulates. OSError has what it says against it."""
    result = _simulate(command)
    if result.returncode:
        raise OSError(f"{' '.join(result.args)}: {result.stderr.strip()}")
    return re.findall(r"^(?:Purg|Remv) (\S+)", result.stdout, re.MULTILINE)


def _simulate(command: t.Sequence[str]) -> subprocess.CompletedProcess[str]:
    words = command.index("--")
    simulated = [*command[:words], "--simulate", *command[words:]]
    return subprocess.run(simulated, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def free(folder: str) -> tuple[int, int]:
    """Device and free bytes of the file system of a folder, or of what it will be made in."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    state = os.statvfs(folder)
    return os.stat(folder).st_dev, state.f_bavail * state.f_frsize


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    # Reason for a command: a kernel may be of another architecture than what is installed on it.
    return subprocess.run(
        ["dpkg", "--print-architecture"], check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
    ).stdout.strip()


def ram_disk(running: str, root: str = "/") -> int:
    """Size of a kernel's initial RAM disk in /boot; 0 when it has none."""
    path = os.path.join(root, f"boot/initrd.img-{running}")
    return os.path.getsize(path) if os.path.exists(path) else 0


def _mebibytes(size: int) -> str:
    return f"{-(-size // (1 << 20))} MiB"


def read_all(sources: t.Iterable[str]) -> tuple[list[Deb], Image | None]:
    """The packages' files and the kernel in them."""
    debs = [_kernel_debs.read(source) for source in sources]
    return debs, _kernel_debs.find_image(debs)
