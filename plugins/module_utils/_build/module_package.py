# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""The Debian package with the rebuilt modules of one kernel release, kept under the hash of everything that made it.

The modules go to updates/, where modprobe prefers them to the kernel's own, which stay where they are: removing the
package brings those back.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import pathlib
import shutil
import sys
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import modules as _module_build
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import MODULES_PACKAGE, Release

_CONTROL = """\
Package: {name}
Version: {version}
Architecture: {architecture}
Maintainer: the nvmeof.mptcp authors <authors@nvmeof-mptcp.example>
Section: kernel
Priority: optional
Depends: {image} (= {kernel_version}) | {image}-unsigned (= {kernel_version}), kmod
Description: nvme modules with the mptcp transport for Linux {release}
 nvme-fabrics, nvme-tcp, nvmet and nvmet-tcp of {source} {kernel_version},
 rebuilt with the mptcp transport. The modules of the kernel's own package stay
 in place and are used again when this package is removed.
"""

# Where the initial RAM disk holds nvme modules, they have to be the right ones.
_SCRIPT = """\
#!/bin/sh
set -e
if [ "$1" = {action} ]; then
    depmod {release}
    initrd=/boot/initrd.img-{release}
    if command -v update-initramfs >/dev/null && [ -e $initrd ]{condition}; then
        update-initramfs -u -k {release}
    fi
fi
"""

# The kernel's own package, where it is installed together with this one, makes that disk once all files are there.
_UNPACKING = """\
#!/bin/sh
set -e
touch /run/{name}
"""
_NOT_MADE_SINCE = " && ! {{ [ -e /run/{name} ] && [ $initrd -nt /run/{name} ]; }}"

_COPYRIGHT = """\
Built from Debian's {source} {kernel_version} and the patch nvme-mptcp.patch of the nvmeof.mptcp collection.
License: GPL-2.0-only (/usr/share/common-licenses/GPL-2)
"""


@dataclass(frozen=True)
class Package:
    """A module package: what it is made for and of, and where it is or would be."""

    release: Release
    kernel_version: str
    patch: str
    folder: pathlib.Path

    @property
    def name(self) -> str:
        return MODULES_PACKAGE + self.release.name

    @property
    def patch_sha256(self) -> str:
        return hashlib.sha256(self.patch.encode()).hexdigest()

    @property
    def version(self) -> str:
        """Debian version: the kernel's, and which patch."""
        return f"{self.kernel_version}+mptcp.{self.patch_sha256[:12]}"

    @property
    def path(self) -> pathlib.Path:
        return self.folder / f"{self.name}_{self.version}_{self.release.architecture}.deb"


def recorded_hash(package: Package) -> str:
    """The SHA-256 of the package as it was built, empty before that; OSError for a file that is another one."""
    if not package.path.exists():
        return ""
    sha256 = (package.folder / "sha256").read_text(encoding="ascii")
    _cache.check_hash(package.path, sha256)
    return sha256


def describe(cache: pathlib.Path, release: Release, kernel_version: str, patch: str) -> Package:
    """The package for a kernel release and a patch; whether its path exists says whether it has been built."""
    # Modules run from a zip file, so this is not a matter of opening __file__.
    code = [inspect.getsource(part) for part in (sys.modules[__name__], _module_build, _chroot)]
    key = _cache.content_hash({"release": release.name, "version": kernel_version, "patch": patch, "code": code})
    return Package(release, kernel_version, patch, cache / "modules" / key)


def ensure(package: Package, cache: pathlib.Path, mirror: str, say: t.Callable[[str], None]) -> bool:
    """Build the package unless it is in the cache; the answer is whether it was built."""

    def build(folder: pathlib.Path) -> None:
        chroot = _module_build.ensure_chroot(cache, mirror, package.release, package.kernel_version, say)
        provenance = f"{package.release.source} {package.kernel_version}, patch sha256 {package.patch_sha256}"
        say("building the modules")
        work = chroot / "build" / package.folder.name
        try:
            modules = _module_build.build_modules(
                chroot, package.release, package.patch, provenance, package.folder.name
            )
            _pack(chroot, work / "package", modules, package)
            (folder / package.path.name).write_bytes(_chroot.read(chroot, work / "package.deb"))
            (folder / "sha256").write_text(_cache.file_hash(folder / package.path.name), encoding="ascii")
            shutil.copyfile(work / "package" / _document(package, "build.json"), folder / "build.json")
        finally:
            if work.exists():
                shutil.rmtree(work)

    return _cache.ensure(package.folder, build, lambda: say("waiting for another process that builds this package"))


def _document(package: Package, name: str) -> str:
    return f"usr/share/doc/{package.name}/{name}"


def _pack(chroot: pathlib.Path, root: pathlib.Path, modules: pathlib.Path, package: Package) -> None:
    fields = {
        "name": package.name,
        "version": package.version,
        "architecture": package.release.architecture,
        "image": package.release.image,
        "kernel_version": package.kernel_version,
        "release": package.release.name,
        "source": package.release.source,
    }
    files = {
        "DEBIAN/control": _CONTROL.format(**fields),
        "DEBIAN/preinst": _UNPACKING.format(**fields),
        "DEBIAN/postinst": _SCRIPT.format(action="configure", condition=_NOT_MADE_SINCE.format(**fields), **fields),
        "DEBIAN/postrm": _SCRIPT.format(action="remove", condition="", **fields),
        _document(package, "copyright"): _COPYRIGHT.format(**fields),
        _document(package, "build.json"): _made_of(chroot, package),
    }
    root.mkdir(parents=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    target = root / "usr/lib/modules" / package.release.name / "updates/nvme-mptcp"
    shutil.copytree(modules, target)
    # Whatever the umask: with a strict one dpkg-deb refuses its own folder, and nobody could read the others.
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.name in ("preinst", "postinst", "postrm") else 0o644)
    inside = "/" + str(root.relative_to(chroot))
    _chroot.run(chroot, "dpkg-deb", "--root-owner-group", "--build", inside, inside + ".deb")


def _made_of(chroot: pathlib.Path, package: Package) -> str:
    """What the package was made of, as JSON: source, patch, configuration and compiler."""
    configuration = chroot / "usr/src" / package.release.headers / ".config"
    compilers = _chroot.run(
        chroot, "dpkg-query", "--show", "--showformat=${Package} ${Version}\n", "gcc-[0-9]*-x86-64-linux-gnu"
    )
    if not configuration.is_file():
        raise BuildError(f"{package.release.headers} has no kernel configuration in {configuration}")
    facts = {
        "kernel_release": package.release.name,
        "source": package.release.source,
        "source_version": package.kernel_version,
        "patch_sha256": package.patch_sha256,
        "config_sha256": hashlib.sha256(configuration.read_bytes()).hexdigest(),
        "compiler": compilers.split("\n")[0],
    }
    return json.dumps(facts, indent=2) + "\n"
