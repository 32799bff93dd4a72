# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""Which kernels the archive offers: the newest of each supported series, from the index of the suite's backports."""

from __future__ import annotations

import json
import lzma
import os
import pathlib
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.mmdebstrap import BACKPORTS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import SERIES
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress

# Which of the series that the archive has; any other word names one.
NEWEST, OLDEST = "newest", "oldest"

_IMAGE = re.compile(r"linux-image-((\d+\.\d+)\.(\d+)\S*-cloud-amd64)")


@dataclass(frozen=True)
class Kernel:
    """A kernel package of the archive: package name, its version, and the release as uname(2) will give it."""

    package: str
    version: str
    release: str


def newest_kernels(index: str) -> dict[str, Kernel]:
    """The newest cloud kernel of each series of SERIES that a Packages index (Debian policy 5.1) has, newest first."""
    found: dict[str, list[tuple[int, Kernel]]] = {series: [] for series in SERIES}
    for paragraph in index.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version): (.*)$", paragraph, re.MULTILINE))
        match = _IMAGE.fullmatch(fields.get("Package", ""))
        if match and match[2] in found:
            found[match[2]].append((int(match[3]), Kernel(fields["Package"], fields["Version"], match[1])))
    return {series: max(kernels, key=lambda item: item[0])[1] for series, kernels in found.items() if kernels}


def resolve_kernel(mirror: str, cache: pathlib.Path, series: str, progress: Progress) -> Kernel:
    """The kernel that `mirror` offers; when it cannot be reached, the one it offered last time.

    series: NEWEST or OLDEST of SERIES that the archive has, or one of them. Raises LabError.
    """
    if series not in (NEWEST, OLDEST, *SERIES):
        raise LabError(f"lab_kernel_series is {series!r}: write one of {', '.join((NEWEST, OLDEST, *SERIES))}")
    remembered = cache / f"kernel-{series}.json"
    try:
        kernels = newest_kernels(packages_index(mirror, BACKPORTS))
    except OSError as error:
        if not remembered.exists():
            raise LabError(f"{error}; write a mirror of Debian in lab_mirror") from None
        kernel = Kernel(**json.loads(remembered.read_text(encoding="utf-8")))
        progress.say(f"{error}; staying with Linux {kernel.release}")
        return kernel
    there = list(kernels)
    if not there or (series in SERIES and series not in kernels):
        wanted = series if series in SERIES else " or ".join(SERIES)
        has = f"has {', '.join(there)} alone" if there else "has none of them"
        raise LabError(
            f"{mirror} has no cloud kernel of series {wanted} in {BACKPORTS} ({has}): use another lab_mirror"
        )
    if len(there) == 1:
        progress.say(f"of the series {', '.join(SERIES)} the archive has {there[0]} alone: nothing else is tested")
    kernel = kernels[{NEWEST: there[0], OLDEST: there[-1]}.get(series, series)]
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = remembered.with_suffix(".new")
    partial.write_text(json.dumps(asdict(kernel)), encoding="utf-8")
    os.replace(partial, remembered)
    return kernel


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
