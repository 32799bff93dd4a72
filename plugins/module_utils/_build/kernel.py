# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""A kernel compiled from source into a Debian package, in a chroot of the nodes' distribution.

Every kernel is built at the same path of the same chroot, one at a time: that is what lets the compiler's cache, which
the chroot keeps, answer for whatever a changed patch did not touch.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import config, mmdebstrap
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text

Say = t.Callable[[str], None]

# What compiles a kernel and packs it.
PACKAGES = (
    *("bc", "bison", "ccache", "cpio", "debhelper", "dwarves", "flex", "gcc", "kmod", "libc6-dev", "libdw-dev"),
    *("libelf-dev", "libssl-dev", "lz4", "make", "patch", "perl", "python3", "rsync", "xz-utils", "zstd"),
)

ENVIRONMENT = {
    # Here gcc is the compiler's cache.
    "PATH": "/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin",
    "CCACHE_DIR": "/var/cache/ccache",
    "CCACHE_MAXSIZE": "10G",
    # It is given a folder below this one, and nothing else.
    "HOME": "/build/kernel",
    "TMPDIR": "/build/kernel",
    # The same input gives the same kernel, whoever builds it and when.
    "KBUILD_BUILD_USER": "nvmeof-mptcp",
    "KBUILD_BUILD_HOST": "build",
    "KBUILD_BUILD_VERSION": "1",
    "KBUILD_BUILD_TIMESTAMP": "Thu, 1 Jan 1970 00:00:00 +0000",
    "SOURCE_DATE_EPOCH": "0",
    # One line for each file that is compiled.
    "KBUILD_VERBOSE": "0",
    "KDEB_CHANGELOG_DIST": mmdebstrap.SUITE,
    "DEB_BUILD_PROFILES": "pkg.linux-upstream.nokernelheaders pkg.linux-upstream.nokerneldbg",
}

_FAILED = re.compile(r"error: |Error \d|\*\*\* |undefined reference|No space left|Killed")

# A kernel's source takes 2 GB, its objects 0.5 GB without debug information and more than 20 with it.
_SPACE = 6 << 30


def ensure_chroot(cache: pathlib.Path, mirror: str, say: Say) -> pathlib.Path:
    """A root file system with what compiles and packs a kernel."""
    entry = cache / "chroots" / _cache.content_hash({"suite": mmdebstrap.SUITE, "packages": PACKAGES})

    def build(folder: pathlib.Path) -> None:
        say("making the build chroot for kernels")
        try:
            mmdebstrap.bootstrap(str(folder / "root"), mirror, PACKAGES)
        except mmdebstrap.MmdebstrapError as error:
            raise BuildError(f"no build chroot for kernels from {mirror}: {error}") from None
        (folder / "root/var/cache/ccache").mkdir()

    _cache.ensure(entry, build, lambda: say("waiting for another process that makes the build chroot"))
    ccache = entry / "root/var/cache/ccache"
    # A chroot of an older release has it for root.
    if ccache.stat().st_uid != _chroot.BUILDER:
        _chroot.give(ccache)
    return entry / "root"


def check_space(cache: pathlib.Path) -> None:
    """Raises BuildError when the cache's file system is too full for a build."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < _SPACE:
        raise BuildError(f"{cache} has {free >> 30} GiB free, a kernel takes {_SPACE >> 30} GiB at least: make room")


def build(
    chroot: pathlib.Path,
    unpack: t.Callable[[pathlib.Path], None],
    patches: t.Sequence[Text],
    base: str,
    fragments: t.Sequence[Text],
    localversion: str,
    provenance: str,
    log: t.IO[str],
    take: t.Callable[[pathlib.Path], None],
) -> None:
    """Unpack, patch, configure, compile and pack a kernel; then hand the folder with its packages to `take`.

    localversion: ends the release. provenance: recorded in the nvme modules, shown by modinfo. The source is linux/ in
    that folder; all of it is gone afterwards.
    """
    work = chroot / "build/kernel"
    with _cache.locked_folder(work, lambda: _note(log, "waiting for another kernel that is being built")):
        try:
            _cache.empty(work)
            source = work / "linux"
            source.mkdir()
            _note(log, "unpacking the source")
            unpack(source)
            _chroot.give(work)
            for patch in patches:
                _note(log, f"applying {patch.name}")
                _apply(chroot, source, patch)
            _record(source, provenance)

            def make(target: str) -> str:
                settings = ["ARCH=x86_64", f"-j{os.cpu_count() or 1}", "DPKG_FLAGS=--no-check-builddeps"]
                environment = {**ENVIRONMENT, "LOCALVERSION": localversion}
                folder = "--directory=" + _chroot.inside(chroot, source)
                _note(log, f"make {target}")
                return _chroot.run(chroot, "make", folder, *settings, target, environment=environment, log=log)

            _make_all(source, base, fragments, make, log)
            take(work)
        finally:
            shutil.rmtree(work)


def first_errors(log: str, count: int = 5) -> str:
    """What the last make in a build's log says of why it failed: its first errors, or its last lines."""
    last = log.rpartition("\n# make ")[2].partition("\n")[2]
    lines = [line.strip() for line in last.splitlines() if line.strip()]
    return "\n".join([line for line in lines if _FAILED.search(line)][:count] or lines[-count:])


def _apply(chroot: pathlib.Path, source: pathlib.Path, patch: Text) -> None:
    try:
        _chroot.apply(chroot, source, patch.text)
    except BuildError as error:
        raise BuildError(f"{patch.name} does not apply to the source: {error}") from None


def _record(source: pathlib.Path, provenance: str) -> None:
    """Have the transport's modules say of what they were made, as rebuilt ones do."""
    for name in ("host/fabrics.c", "host/tcp.c", "target/core.c", "target/tcp.c"):
        file = source / "drivers/nvme" / name
        if not file.is_file():
            raise BuildError(f"the source has no drivers/nvme/{name}: is it a Linux kernel's?")
        with _chroot.opened(source.parent, file, "ab") as stream:
            stream.write(f'MODULE_INFO(nvmeof_mptcp, "{provenance}");\n'.encode())


def _make_all(source: pathlib.Path, base: str, fragments: t.Sequence[Text], make: config.Make, log: t.IO[str]) -> None:
    try:
        # A folder that somebody has compiled in holds objects of another configuration.
        make("mrproper")
        config.configure(source, base, fragments, make)
        make("bindeb-pkg")
    except _chroot.CommandError:
        log.flush()
        said = pathlib.Path(log.name).read_text(encoding="utf-8", errors="replace")
        raise BuildError(f"the build failed, see {log.name} on the build host:\n{first_errors(said)}") from None


def _note(log: t.IO[str], text: str) -> None:
    log.write(f"# {text}\n")
    log.flush()
