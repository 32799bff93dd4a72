# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is PRIVATE to the collection.

"""Debian root file systems, made by mmdebstrap from the mirror that this machine's apt already uses.

The mirror is asked of apt itself (``apt-get indextargets``, apt-get(8)), which reads both forms of source lists and
knows from the signed Release files which of them is Debian's main archive.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import typing as t
from collections import deque

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import grammar

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITE = "trixie"
BACKPORTS = SUITE + "-backports"

# argument_spec of every module that builds or downloads, as doc_fragments/_build.py describes it.
ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "cache_dir": {"type": "path", "default": "~/.cache/nvmeof-mptcp"},
    "mirror": {"type": "str", "default": ""},
}

# How this machine reaches its mirrors; nothing else of its apt configuration concerns another root file system.
_TRANSPORT_OPTIONS = (
    "Acquire::http",
    "Acquire::ftp",
    "Acquire::Retries",
    "Acquire::Check-Date",
    "Acquire::Check-Valid-Until",
    "Acquire::ForceIPv4",
    "Acquire::ForceIPv6",
)

# linux-base and linux-libc-dev are versioned with the kernel, so they all come from the same suite.
_KERNEL_FROM_BACKPORTS = f"Package: linux-*\nPin: release n={BACKPORTS}\nPin-Priority: 900\n"


class MmdebstrapError(Exception):
    """A mirror that cannot be told, no package, or an mmdebstrap that failed; the text says which and what to do."""


def parse_index_targets(output: str) -> str | None:
    """The URI of Debian's main archive among the lines ``URI|COMPONENT|ORIGIN|LABEL``, or None."""
    for line in output.splitlines():
        uri, component, origin, label = line.split("|")
        if (component, origin, label) == ("main", "Debian", "Debian"):
            return uri.rstrip("/")
    return None


def find_mirror(variable: str) -> str:
    """The URI from which this machine's apt takes Debian's main archive.

    variable: the Ansible variable that overrides the answer; the error names it.
    Raises MmdebstrapError when apt has no such source or has never downloaded its index.
    """
    wanted = "$(REPO_URI)|$(COMPONENT)|$(ORIGIN)|$(LABEL)"
    command = ["apt-get", "indextargets", "--format", wanted, "Created-By: Packages"]
    remedy = f"run 'apt-get update' if it has one, or write the mirror's URI in {variable}"
    try:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise MmdebstrapError("this machine has no apt-get: a Debian-like machine is needed, with mmdebstrap") from None
    except subprocess.CalledProcessError as error:
        raise MmdebstrapError(f"apt-get indextargets: {error.stderr.strip()}; {remedy}") from None
    mirror = parse_index_targets(output)
    if mirror is None:
        raise MmdebstrapError(f"apt on this machine knows no source of Debian's main archive: {remedy}")
    return mirror


def transport_options(dump: str) -> list[str]:
    """The lines of ``apt-config dump`` that say how mirrors are reached: proxies, retries, certificates, dates."""
    return [line for line in dump.splitlines() if line.startswith(_TRANSPORT_OPTIONS) and not line.endswith(' "";')]


def sources(mirror: str) -> str:
    """The one-line sources of the suite and its backports. Raises MmdebstrapError for a mirror that is no URI."""
    _as_it_is_called("URI", mirror, "mirror")
    line = "deb [signed-by={0}] {1} {2} main"
    return "\n".join(line.format(KEYRING, mirror, suite) for suite in (SUITE, BACKPORTS)) + "\n"


def check_prerequisites() -> None:
    """Raises MmdebstrapError, naming the Debian package to install, when a root file system cannot be made here."""
    if shutil.which("mmdebstrap") is None:
        raise MmdebstrapError("mmdebstrap is not installed: apt-get install mmdebstrap")
    if not os.path.exists(KEYRING):
        raise MmdebstrapError(f"{KEYRING} does not exist: apt-get install debian-archive-keyring")
    if os.geteuid() != 0:
        raise MmdebstrapError("mmdebstrap runs as root here: use become, or run as root")


def bootstrap(
    target: str,
    mirror: str,
    packages: t.Sequence[str],
    output_format: str = "directory",
    variant: str = "minbase",
    arguments: t.Sequence[str] = (),
    on_line: t.Callable[[str], None] | None = None,
) -> None:
    """Make a root file system of SUITE with `packages`; all packages named linux-* come from BACKPORTS.

    target: a path that comes into being complete or not at all; it must not exist.
    output_format, variant: mmdebstrap's own (mmdebstrap(1)): directory, tar, squashfs ...; minbase, apt ...
    arguments: further mmdebstrap arguments, hooks for example.
    on_line: called with each line that mmdebstrap prints, to show progress.
    Raises MmdebstrapError with mmdebstrap's last lines.
    """
    check_prerequisites()
    partial = target + ".partial"
    remove(partial)
    with tempfile.TemporaryDirectory(prefix="mmdebstrap-") as scratch:
        command = _command(scratch, partial, output_format, variant, packages, arguments)
        _run(command, sources(mirror), on_line)
    os.rename(partial, target)


def remove(path: str) -> None:
    """Delete a root file system, or what an interrupted run left of one, without crossing into a mounted one."""
    subprocess.run(["rm", "-rf", "--one-file-system", "--", path], check=True)


def _command(
    scratch: str, target: str, output_format: str, variant: str, packages: t.Sequence[str], arguments: t.Sequence[str]
) -> list[str]:
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    options = os.path.join(scratch, "apt.conf")
    with open(options, "w", encoding="utf-8") as stream:
        stream.write("\n".join(transport_options(dump)) + "\n")
    pins = os.path.join(scratch, "backports")
    with open(pins, "w", encoding="utf-8") as stream:
        stream.write(_KERNEL_FROM_BACKPORTS)
    return [
        "mmdebstrap",
        "--mode=root",
        "--format=" + output_format,
        "--variant=" + variant,
        "--aptopt=" + options,
        f"--setup-hook=copy-in {pins} /etc/apt/preferences.d",
        "--include=" + ",".join(map(_wanted, packages)),
        *arguments,
        SUITE,
        target,
        "-",
    ]


def _wanted(package: str) -> str:
    """A package of --include, NAME or NAME=VERSION: mmdebstrap splits it at blanks and gives the words to apt-get."""
    name, equals, version = package.partition("=")
    _as_it_is_called("package", name, "package")
    return f"{name}={_as_it_is_called('version', version, f'version of {name}')}" if equals else name


def _as_it_is_called(kind: str, value: str, field: str) -> str:
    try:
        return grammar.checked(kind, value, field)
    except grammar.Refused as error:
        raise MmdebstrapError(str(error)) from None


def _run(command: t.Sequence[str], stdin: str, on_line: t.Callable[[str], None] | None) -> None:
    tail: deque[str] = deque(maxlen=15)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as source:
        source.write(stdin)
        source.seek(0)
        with subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process:
            for line in t.cast(t.IO[str], process.stdout):
                tail.append(line.rstrip())
                if on_line is not None:
                    on_line(line.rstrip())
    if process.returncode != 0:
        raise MmdebstrapError("mmdebstrap ended with {}: {}".format(process.returncode, "\n".join(tail)))
