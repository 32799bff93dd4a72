# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""The nvme modules of a Debian kernel, rebuilt with a patch: natively, in a chroot with the kernel's own compiler.

The chroot is made once per kernel package and kept; nothing is ever built into the controller's own system.
"""

from __future__ import annotations

import inspect
import os
import pathlib
import shutil
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.modules import PROVENANCE_FIELD
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import Release

# Which modules are made of which folder of the kernel's source.
FOLDERS = {
    "drivers/nvme/host": ("nvme-fabrics", "nvme-tcp"),
    "drivers/nvme/target": ("nvmet", "nvmet-tcp"),
}

# Modules compile against the installed headers, whose linux/nvme.h the patch cannot reach.
_DEFINES = "-DNVMF_TRTYPE_MPTCP=4"

# What the chroot keeps of the kernel's source.
_SOURCES = ("drivers/nvme", "include/linux/nvme.h")

_PACKAGES = ("binutils", "kmod", "make", "patch", "xz-utils")


def ensure_chroot(
    cache: pathlib.Path, mirror: str, release: Release, version: str, say: t.Callable[[str], None]
) -> pathlib.Path:
    """A root file system with the headers, the compiler and the nvme source of one kernel package.

    version: of the packages linux-image, linux-headers and linux-source, for example 7.2.12-1~bpo13+1.
    """
    code = inspect.getsource(mmdebstrap)
    made_of = {"release": release.name, "version": version, "sources": _SOURCES, "packages": _PACKAGES, "code": code}
    entry = cache / "chroots" / _cache.content_hash(made_of)

    def build(folder: pathlib.Path) -> None:
        say(f"making the build chroot for Linux {release.name}")
        kernel = [f"{package}={version}" for package in (release.headers, release.source)]
        try:
            mmdebstrap.bootstrap(
                str(folder / "root"), mirror, [*kernel, *_PACKAGES], arguments=["--customize-hook=" + _unpack(release)]
            )
        except mmdebstrap.MmdebstrapError as error:
            raise BuildError(f"no build chroot for Linux {release.name} ({version}) from {mirror}: {error}") from None

    _cache.ensure(entry, build, lambda: say("waiting for another process that makes the build chroot"))
    return entry / "root"


def build_modules(chroot: pathlib.Path, release: Release, patch: str, provenance: str, name: str) -> pathlib.Path:
    """The folder with the patched modules, inside the chroot's build folder `name`, which the caller removes.

    provenance: recorded in each module, shown by modinfo.
    """
    folder = chroot / "build" / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(chroot / "usr/src" / release.source, folder, symlinks=True)
    _chroot.give(folder)
    try:
        _chroot.apply(chroot, folder, patch)
    except BuildError as error:
        raise BuildError(f"the patch does not apply to the source of Linux {release.name}: {error}") from None
    for source, modules in FOLDERS.items():
        _make(chroot, folder / source, release, modules)
    output = folder / "modules"
    output.mkdir()
    for source, modules in FOLDERS.items():
        for module in modules:
            _finish(chroot, folder / source / (module + ".ko"), output, provenance)
    return output


def _unpack(release: Release) -> str:
    """An mmdebstrap hook that unpacks what is needed of the source and drops the archive, 160 MB of it."""
    archive = f"/usr/src/{release.source}.tar.xz"
    members = " ".join(f"{release.source}/{path}" for path in _SOURCES)
    return f'chroot "$1" tar --directory=/usr/src --extract --file={archive} {members} && rm "$1{archive}"'


def _make(chroot: pathlib.Path, folder: pathlib.Path, release: Release, modules: t.Sequence[str]) -> None:
    inside = "/" + str(folder.relative_to(chroot))
    headers = "/usr/src/" + release.headers
    settings = ["M=" + inside, "KCPPFLAGS=" + _DEFINES, f"-j{os.cpu_count() or 1}"]
    _chroot.run(chroot, "make", "--directory=" + headers, *settings, *[module + ".ko" for module in modules])


def _finish(chroot: pathlib.Path, module: pathlib.Path, output: pathlib.Path, provenance: str) -> None:
    """Strip the module's debug information and add where it comes from to what modinfo shows."""
    inside = "/" + str(module.relative_to(chroot))
    information = module.with_suffix(".modinfo")
    section = ".modinfo=/" + str(information.relative_to(chroot))
    _chroot.run(chroot, "objcopy", "--strip-debug", "--dump-section", section, inside)
    with _chroot.opened(chroot, information, "ab") as stream:
        stream.write(f"{PROVENANCE_FIELD}={provenance}".encode() + b"\0")
    _chroot.run(chroot, "objcopy", "--update-section", section, inside)
    with _chroot.opened(chroot, module, "rb") as stream, open(output / module.name, "xb") as copy:
        shutil.copyfileobj(stream, copy)
