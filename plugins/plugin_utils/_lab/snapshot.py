# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""A set of booted machines on which no role has run, kept in the cache: every start of a lab is its restoration.

An entry holds the ssh key, known host keys and per machine: credentials, disks and the state of a running machine.
Its name is the hash of the image, the machines, their command lines and the QEMU that saved them.
"""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import typing as t
import uuid
from dataclasses import asdict, dataclass, replace

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import cache as _cache
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import process, ssh, user
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.accelerator import qemu_version
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import Lab, Machine
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.identity import Identity, credentials
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import Boot, command, disk_files
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress

KEY = "id_ed25519"
# An emulated machine boots in half a minute alone; a busy controller takes several times that.
_BOOT_TIMEOUT = 600.0
# Block node → the file of the image that it begins as.
_BASES = {"root": "root.raw", "vars": "vars.fd"}


@dataclass(frozen=True)
class Image:
    """The image's folder and what it boots with."""

    folder: pathlib.Path
    boot: Boot


# The way to boot (see _lab_definition) → the image of the machines that boot so.
Images = t.Mapping[str, Image]


def snapshot_key(lab: Lab, images: Images) -> str:
    """The name of the cache entry."""
    nobody = Identity(uuid.UUID(int=0), "", "")
    machines = [
        {
            "data": data,
            "image": images[machine.boot].folder.name,
            "credentials": credentials(machine, nobody),
            "command": command(lab, machine, Boot(images[machine.boot].boot.accelerator), {}, (), 0),
        }
        for machine, data in zip(lab.machines, lab.as_data(), strict=True)
    ]
    code = pathlib.Path(__file__).read_text(encoding="utf-8")
    return _cache.content_hash({"machines": machines, "code": code, "qemu": qemu_version()})


def ensure_snapshot(cache: pathlib.Path, lab: Lab, images: Images, progress: Progress) -> pathlib.Path:
    """The folder of the snapshot, made if it is not there."""
    entry = cache / "snapshots" / snapshot_key(lab, images)

    def build(folder: pathlib.Path) -> None:
        progress.say("first boot of {}".format(", ".join(machine.name for machine in lab.machines)))
        _prepare(folder, lab, images)
        try:
            _boot(folder, lab, images, progress)
            for machine in lab.machines:
                process.save(folder / machine.name)
        finally:
            process.stop(folder)
        for machine in lab.machines:
            user.take_back(folder / machine.name)
        progress.say("saved the booted machines")

    def waiting() -> None:
        progress.say("waiting for another process that boots these machines")

    _cache.ensure(entry, build, waiting)
    return entry


def _prepare(folder: pathlib.Path, lab: Lab, images: Images) -> None:
    ssh.make_key(folder / KEY)
    authorized = (folder / (KEY + ".pub")).read_text(encoding="utf-8")
    for machine in lab.machines:
        own = folder / machine.name
        own.mkdir()
        ssh.make_key(own / "host_key")
        identity = Identity(uuid.uuid4(), (own / "host_key").read_text(encoding="utf-8"), authorized)
        (own / "credentials").mkdir()
        for name, text in credentials(machine, identity).items():
            path = own / "credentials" / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        _make_disks(own, machine, images[machine.boot])


def _make_disks(folder: pathlib.Path, machine: Machine, image: Image) -> None:
    # Relative, so that the cache can be moved as a whole. While the entry is built and after its renaming alike it is
    # three folders below the cache.
    bases = {node: f"../../../images/{image.folder.name}/{name}" for node, name in _BASES.items()}
    sizes = {f"disk-{disk.serial}": disk.size for disk in machine.disks}
    for node, name in disk_files(machine).items():
        make_disk(folder / name, size=sizes.get(node, ""), backing=bases.get(node, ""), backing_format="raw")


def make_disk(path: pathlib.Path, size: str = "", backing: str = "", backing_format: str = "qcow2") -> None:
    """Make a qcow2 disk: empty and of `size`, or an overlay of `backing`, a path relative to the disk's folder."""
    words = ["qemu-img", "create", "-q", "-f", "qcow2"]
    words += ["-b", backing, "-F", backing_format, str(path)] if backing else [str(path), size]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def start(
    folder: pathlib.Path, lab: Lab, images: Images, ports: t.Mapping[str, int], snapshot: pathlib.Path | None
) -> None:
    """Start all machines in `folder`: cold and tied to this process, or from `snapshot` and on their own."""
    user.let_through(folder)
    for machine in lab.machines:
        user.give(folder / machine.name)
    with contextlib.ExitStack() as stack:
        states: dict[pathlib.Path, int] = {}
        for machine in lab.machines:
            own, image = folder / machine.name, images[machine.boot]
            become = user.become(image.boot.accelerator)
            with user.Handed() as handed:
                words = _words(own, lab, machine, image, ports[machine.name], snapshot, handed)
                if snapshot is None:
                    process.start(words, own, tied=True, keep=handed.handles, become=become)
                    continue
                state = stack.enter_context((snapshot / machine.name / "state").open("rb"))
                states[own] = state.fileno()
                keep = [*handed.handles, state.fileno()]
                process.start([*words, "-incoming", "defer"], own, tied=False, keep=keep, become=become)
        process.restore(states)


def _words(
    own: pathlib.Path,
    lab: Lab,
    machine: Machine,
    image: Image,
    port: int,
    snapshot: pathlib.Path | None,
    handed: user.Handed,
) -> list[str]:
    """The command line of the machine in `own`, which gets by descriptor whatever is outside of the lab."""
    files = {name: path for name, path in asdict(image.boot).items() if path and name != "accelerator"}
    boot = replace(image.boot, **{name: handed.name(path) for name, path in files.items()})
    below: dict[str, list[tuple[str, str]]] = {}
    for node, name in disk_files(machine).items():
        paths = [] if snapshot is None else [(snapshot / machine.name / name, "qcow2")]
        paths += [(image.folder / _BASES[node], "raw")] if node in _BASES else []
        below[node] = [(handed.name(path), driver) for path, driver in paths]
    credential_names = sorted(path.name for path in (own / "credentials").iterdir())
    return command(lab, machine, boot, below, credential_names, port)


def choose_ports(folder: pathlib.Path, lab: Lab) -> dict[str, int]:
    """A free port per machine, the same ones for the same folder as long as they are free."""
    ports: dict[str, int] = {}
    for machine in lab.machines:
        ports[machine.name] = ssh.free_port(str(folder), machine.name, set(ports.values()))
    return ports


def host_keys(folder: pathlib.Path, lab: Lab) -> dict[str, str]:
    """Machine → its public host key."""
    return {m.name: (folder / m.name / "host_key.pub").read_text(encoding="utf-8") for m in lab.machines}


def _boot(folder: pathlib.Path, lab: Lab, images: Images, progress: Progress) -> None:
    """Boot all machines and return when each of them is completely up."""
    ports = choose_ports(folder, lab)
    ssh.write_config(folder, ports, host_keys(folder, lab))
    start(folder, lab, images, ports, None)

    def is_alive(name: str) -> bool:
        return bool(process.find(folder / name))

    names = [machine.name for machine in lab.machines]
    try:
        # is-system-running fails when a unit has: such a machine is not worth keeping.
        ssh.wait(folder, names, lambda: "systemctl is-system-running --wait && sync", _BOOT_TIMEOUT, progress, is_alive)
    except LabError as error:
        console = (folder / names[0] / "console.log").read_text(encoding="utf-8", errors="replace")
        raise LabError(
            "{}\nlast lines of the console:\n{}".format(error, "\n".join(console.splitlines()[-15:]))
        ) from None
