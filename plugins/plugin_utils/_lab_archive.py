# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""Which kernel the archive offers: the newest one of a supported series, from the index of the suite's backports."""

from __future__ import annotations

import json
import lzma
import os
import pathlib
import re
import subprocess
import tempfile
import typing as t
from dataclasses import asdict, dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._mmdebstrap import BACKPORTS
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab_report import LabError, Progress

# The series that the collection's kernel patch is tested with and that have a cloud flavour in the archive.
SERIES = ("7.2",)

_IMAGE = re.compile(r"linux-image-((\d+\.\d+)\.(\d+)\S*-cloud-amd64)")


@dataclass(frozen=True)
class Kernel:
    """A kernel package of the archive: package name, its version, and the release as uname(2) will give it."""

    package: str
    version: str
    release: str


def newest_kernel(index: str, series: t.Sequence[str]) -> Kernel | None:
    """The newest cloud kernel of the newest series in a Packages index (Debian policy 5.1), or None."""
    found: list[tuple[tuple[int, ...], Kernel]] = []
    for paragraph in index.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.*)$", paragraph, re.MULTILINE))
        match = _IMAGE.fullmatch(fields.get("Package", ""))
        if match and match[2] in series:
            order = (*map(int, match[2].split(".")), int(match[3]))
            found.append((order, Kernel(fields["Package"], fields["Version"], match[1])))
    return max(found, key=lambda item: item[0])[1] if found else None


def resolve_kernel(mirror: str, cache: pathlib.Path, progress: Progress) -> Kernel:
    """The newest supported kernel at `mirror`; when it cannot be reached, the one it offered last time."""
    remembered = cache / "kernel.json"
    try:
        index = packages_index(mirror, BACKPORTS)
    except OSError as error:
        if not remembered.exists():
            raise LabError(f"{error}; write a mirror of Debian in lab_mirror") from None
        kernel = Kernel(**json.loads(remembered.read_text(encoding="utf-8")))
        progress.say(f"{error}; staying with Linux {kernel.release}")
        return kernel
    newest = newest_kernel(index, SERIES)
    if newest is None:
        raise LabError(
            "{} has no cloud kernel of the series {} in {}: use another lab_mirror".format(
                mirror, ", ".join(SERIES), BACKPORTS
            )
        )
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = remembered.with_suffix(".new")
    partial.write_text(json.dumps(asdict(newest)), encoding="utf-8")
    os.replace(partial, remembered)
    return newest


def packages_index(mirror: str, suite: str) -> str:
    """The Packages index of a suite. Raises OSError with the address."""
    with tempfile.TemporaryDirectory(prefix="nvmeof-mptcp-") as folder:
        path = os.path.join(folder, "Packages.xz")
        download(f"{mirror}/dists/{suite}/main/binary-amd64/Packages.xz", path)
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            return stream.read()


def download(uri: str, path: str) -> None:
    """Fetch a file by apt's own downloader, which knows this machine's proxies and methods. Raises OSError."""
    command = ["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=1", "download-file", "--", uri, path]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode != 0:
        reason = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        raise OSError(f"{uri}: {reason[-1] if reason else f'apt-helper ended with {result.returncode}'}")
