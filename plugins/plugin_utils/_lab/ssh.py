# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The way into a lab's machines: a key, forwarded ports, an ssh_config, and waiting until they answer."""

from __future__ import annotations

import hashlib
import os
import pathlib
import socket
import subprocess
import time
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress

# Below 32768, where the kernel starts to give out ports of its own accord (net.ipv4.ip_local_port_range).
_FIRST_PORT, _PORTS = 20000, 12000

_HOST = """Host {name}
    HostName 127.0.0.1
    Port {port}
    User root
    HostKeyAlias {name}
    IdentityFile {folder}/id_ed25519
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    StrictHostKeyChecking yes
    BatchMode yes
"""


def make_key(path: pathlib.Path) -> None:
    """Write an Ed25519 key pair without a passphrase: `path` (0600) and `path`.pub."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "nvmeof-mptcp-lab", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def candidate_ports(lab: str, machine: str) -> t.Iterator[int]:
    """All ports of the range, beginning at one that depends on the lab and the machine."""
    digest = hashlib.sha256(f"{lab}\0{machine}".encode()).digest()
    offset = int.from_bytes(digest[:4], "big")
    return (_FIRST_PORT + (offset + step) % _PORTS for step in range(_PORTS))


def free_port(lab: str, machine: str, taken: t.Collection[int]) -> int:
    """The first candidate that nobody listens on and that is not in `taken`."""
    for port in candidate_ports(lab, machine):
        if port not in taken and _is_free(port):
            return port
    raise LabError(f"no free port on 127.0.0.1 in {_FIRST_PORT}..{_FIRST_PORT + _PORTS - 1}")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # QEMU sets this too: a connection of the lab before, still in TIME_WAIT, is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_config(folder: pathlib.Path, ports: t.Mapping[str, int], host_keys: t.Mapping[str, str]) -> None:
    """Write ssh_config and known_hosts into `folder`. host_keys: machine → its public key."""
    config = "".join(_HOST.format(name=name, port=port, folder=_quoted(folder)) for name, port in ports.items())
    known = "".join("{} {}\n".format(name, " ".join(key.split()[:2])) for name, key in host_keys.items())
    for name, text in (("ssh_config", config), ("known_hosts", known)):
        partial = folder / (name + ".new")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, folder / name)


def _quoted(path: pathlib.Path) -> str:
    # ssh_config(5): double quotes hold spaces; % starts a token.
    return '"' + str(path).replace("%", "%%") + '"'


def run(folder: pathlib.Path, machine: str, command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `command` in `machine`; timeout in seconds."""
    return subprocess.run(
        ["ssh", "-F", str(folder / "ssh_config"), "-o", "ConnectTimeout=5", machine, command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def wait(
    folder: pathlib.Path,
    machines: t.Sequence[str],
    command: t.Callable[[], str],
    timeout: float,
    progress: Progress,
    is_alive: t.Callable[[str], bool],
) -> None:
    """Wait until `command` has succeeded in all machines over ssh.

    command: gives the text anew for each try. timeout: seconds for all. is_alive: whether a machine's process is there.
    """
    left = list(machines)
    deadline = time.monotonic() + timeout
    seen = ""
    while left:
        for name in list(left):
            if not is_alive(name):
                raise LabError("{}: QEMU ended during the start; see {}".format(name, folder / name / "qemu.log"))
            try:
                result = run(folder, name, command(), timeout=30)
            except subprocess.TimeoutExpired:
                continue
            if result.returncode == 0:
                left.remove(name)
                progress.say(f"{name} answers")
            else:
                seen = "".join((result.stderr or result.stdout).strip().splitlines()[-1:])
        progress.still("waiting for {} ({})".format(", ".join(left), seen or "no connection yet"))
        if left and time.monotonic() > deadline:
            log = folder / left[0] / "console.log"
            raise LabError(f"{left[0]}: no answer within {timeout:.0f} s: {seen}; its console is in {log}")
        time.sleep(0.3)
