# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""The Debian package of a kernel built from source, kept under the hash of everything that made it."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import shutil
import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import chroot as _chroot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import config as _kernel_config
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import kernel as _kernel_build
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.source import Source
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import modules

# To be raised when the same input gives another kernel: the code of the build is not part of its hash, for another
# release of the collection must not give every machine of a fleet another kernel.
_RECIPE = 1

# Where a node has the record of what its kernel was made of.
RECORD = "lib/modules/{}/nvmeof-mptcp.json"
# And the configuration that one is based on which starts from the running kernel: of a kernel that did so itself what
# it started from, or the same input would give another kernel each time.
BASE = "lib/modules/{}/nvmeof-mptcp.config"

# Symbols of a configuration that the source makes, where its text is not known before.
_SYMBOLS = {"tinyconfig": 1000, "allnoconfig": 1000, "allmodconfig": 15000, "allyesconfig": 15000}
_SYMBOLS_OF_OTHERS = 3000
# Measured: the work of one processor for each symbol that is set.
_SECONDS_PER_SYMBOL = 1.1


@dataclass(frozen=True)
class Kernel:
    """What a kernel is made of, and where its package is or would be."""

    source: Source
    patches: t.Sequence[Text]
    base: str
    fragments: t.Sequence[Text]
    folder: pathlib.Path

    @property
    def log(self) -> pathlib.Path:
        """What the build printed; it grows while the build runs."""
        return self.folder.with_name(self.folder.name + ".log")

    @property
    def localversion(self) -> str:
        """The end of the release (uname -r): kernels of different input never share one."""
        return f"-mptcp.{self.folder.name[:8]}"

    @property
    def provenance(self) -> str:
        """One line for modinfo."""
        patches = "".join(f", patch sha256 {_sha256(patch.text)}" for patch in self.patches)
        return f"{self.source.identity}{patches}, input {self.folder.name}"

    def built(self) -> dict[str, t.Any] | None:
        """The release, the packages and the record of the kernel; None when it has not been built."""
        record = self.folder / "build.json"
        if not record.exists():
            return None
        found: dict[str, t.Any] = json.loads(record.read_text(encoding="utf-8"))
        path = self.folder / found.pop("file")
        # A kernel of an older release has no hash recorded, and is hours of work.
        sha256 = found.pop("sha256", None) or _cache.file_hash(path)
        _cache.check_hash(path, sha256)
        package = {
            "name": found.pop("package"),
            "version": found.pop("version"),
            "path": str(path),
            "sha256": sha256,
        }
        return {"release": found["kernel_release"], "packages": [package], "record": found}


def describe(
    cache: pathlib.Path, source: Source, patches: t.Sequence[Text], base: str, fragments: t.Sequence[Text]
) -> Kernel:
    """The kernel for these inputs; whether it is built depends on them alone. Raises Refused for a configuration."""
    target = _kernel_config.TARGET.fullmatch(base) is not None
    base = base if target else _kernel_config.of_any_build(base)
    _kernel_config.check([*([] if target else [Text("config_base", base)]), *fragments])
    key = _cache.content_hash(
        {
            "recipe": _RECIPE,
            "packages": _kernel_build.PACKAGES,
            "source": source.identity,
            "patches": [_sha256(patch.text) for patch in patches],
            "base": base if target else _kernel_config.parse(base),
            "fragments": _kernel_config.merged(fragments),
        }
    )
    return Kernel(source, patches, base, fragments, cache / "kernels" / key)


def minutes(base: str, fragments: t.Sequence[Text], processors: int) -> int:
    """About how long the compiler takes when nothing is in its cache."""
    known = _SYMBOLS.get(base, _SYMBOLS_OF_OTHERS)
    if not _kernel_config.TARGET.fullmatch(base):
        values = {**_kernel_config.parse(base), **_kernel_config.merged(fragments)}.values()
        known = sum(value in ("y", "m") for value in values)
    return max(1, round(known * _SECONDS_PER_SYMBOL / processors / 60))


def ensure(kernel: Kernel, cache: pathlib.Path, mirror: str, say: t.Callable[[str], None]) -> bool:
    """Build the kernel unless it is in the cache; the answer is whether it was built."""

    def build(folder: pathlib.Path) -> None:
        _kernel_build.check_space(cache)
        chroot = _kernel_build.ensure_chroot(cache, mirror, say)
        with open(kernel.log, "w", encoding="utf-8") as log:
            _kernel_build.build(
                chroot,
                kernel.source.unpack,
                kernel.patches,
                kernel.base,
                kernel.fragments,
                kernel.localversion,
                kernel.provenance,
                log,
                lambda work: _take(chroot, work, kernel, folder),
            )

    return _cache.ensure(kernel.folder, build, lambda: say("waiting for another process that builds this kernel"))


def _take(chroot: pathlib.Path, work: pathlib.Path, kernel: Kernel, folder: pathlib.Path) -> None:
    """Put the record into the kernel's package, and keep both."""
    [built] = [path for path in work.glob("linux-image-*.deb") if "-dbg_" not in path.name]
    name, version, _ = built.name.split("_")
    grammar.checked("version", version, f"the version of {name}")
    release = grammar.checked("kernel release", name[len("linux-image-") :], f"the release of {built.name}")
    config = _chroot.read(work, work / "linux/.config")
    compiler = re.search(rb'^CONFIG_CC_VERSION_TEXT="(.*)"$', config, re.MULTILINE)
    record = {
        "kernel_release": release,
        "source": dict(kernel.source.record),
        "patches": [{"name": patch.name, "sha256": _sha256(patch.text)} for patch in kernel.patches],
        "config_sha256": hashlib.sha256(config).hexdigest(),
        "build_id": _build_id(chroot, work),
        "compiler": compiler[1].decode() if compiler else "",
        "input": kernel.folder.name,
    }
    root = work / "package"
    _chroot.run(chroot, "dpkg-deb", "--raw-extract", _chroot.inside(chroot, built), _chroot.inside(chroot, root))
    base = config.decode() if _kernel_config.TARGET.fullmatch(kernel.base) else kernel.base
    for pattern, text in {RECORD: json.dumps(record, indent=2) + "\n", BASE: base}.items():
        _add(work, root, pattern.format(release), text)
    packed = ["dpkg-deb", "--root-owner-group", "--build", _chroot.inside(chroot, root), _chroot.inside(chroot, built)]
    _chroot.run(chroot, *packed, environment=_kernel_build.ENVIRONMENT)
    with _chroot.opened(work, built, "rb") as stream, open(folder / built.name, "xb") as copy:
        shutil.copyfileobj(stream, copy)
    (folder / "config").write_bytes(config)
    kept = {**record, "package": name, "version": version, "file": built.name}
    kept["sha256"] = _cache.file_hash(folder / built.name)
    (folder / "build.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _build_id(chroot: pathlib.Path, work: pathlib.Path) -> str:
    """What the running kernel has in /sys/kernel/notes; the vDSO inside of vmlinux has a build id too."""
    notes = work / "notes"
    files = [_chroot.inside(chroot, path) for path in (work / "linux/vmlinux", notes)]
    _chroot.run(chroot, "objcopy", "--output-target=binary", "--only-section=.notes", *files)
    return modules.build_id(_chroot.read(work, notes))


def _add(work: pathlib.Path, root: pathlib.Path, name: str, text: str) -> None:
    """Add a file to an unpacked package."""
    with _chroot.opened(work, root / name, "wb") as stream:
        stream.write(text.encode())
        os.fchmod(stream.fileno(), 0o644)
    with _chroot.opened(work, root / "DEBIAN/md5sums", "ab") as sums:
        # dpkg's own kind of checksum, against damage alone.
        sums.write(f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}  {name}\n".encode())


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
