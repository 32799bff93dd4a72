# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""A lab: its folder, its running machines, and what keeps a start or a stop that was interrupted repeatable.

The folder holds per machine its overlays, sockets and logs; ssh_config, known_hosts and the key; and lab.json, which is
written last: without it, whatever is there is the rest of an interrupted start.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import time
import typing as t

from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.cache import locked_folder
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import process, ssh
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import snapshot as _lab_snapshot
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import Lab
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import disk_files
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress

_RECORD = "lab.json"
# Its folder is the lab's, to clear and to remove.
_MARKER = ".nvmeof-mptcp-lab"
_ANSWER_TIMEOUT = 180.0


def present(
    folder: pathlib.Path, cache: pathlib.Path, lab: Lab, images: _lab_snapshot.Images, progress: Progress
) -> bool:
    """Have the machines of `lab` running in `folder`; whether they had to be started.

    Machines that run stay as they are. Otherwise all start from their snapshot, as if no role had ever run.
    """
    with locked_folder(folder, _waiting(folder, progress)):
        _own(folder)
        record = read_record(folder)
        if record is not None and _runs(folder, record, lab):
            _note_newer_image(record, images, progress)
            _wait(folder, lab, progress)
            return False
        snapshot = _lab_snapshot.ensure_snapshot(cache, lab, images, progress)
        _clear(folder)
        _restore(folder, lab, images, snapshot, progress)
        return True


def absent(folder: pathlib.Path, progress: Progress) -> bool:
    """End all machines in `folder` and remove what they left; whether there was anything to do."""
    if not folder.exists():
        return False
    with locked_folder(folder, _waiting(folder, progress)):
        _own(folder)
        stopped = _clear(folder)
        shutil.rmtree(folder)
    progress.say(f"{stopped} machines ended, {folder} removed")
    return True


def read_record(folder: pathlib.Path) -> dict[str, t.Any] | None:
    """What lab.json says, or None where no start was completed."""
    path = folder / _RECORD
    return t.cast("dict[str, t.Any]", json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _waiting(folder: pathlib.Path, progress: Progress) -> t.Callable[[], None]:
    return lambda: progress.say(f"waiting for another process that works on {folder}")


def _runs(folder: pathlib.Path, record: t.Mapping[str, t.Any], lab: Lab) -> bool:
    """Whether the machines run; LabError when only some do, or others than `lab`'s: neither may be lost silently."""
    wanted = json.loads(json.dumps(lab.as_data()))
    running = {where.name for where in process.find(folder).values()}
    if not running:
        return False
    if record["machines"] != wanted:
        known = {machine["name"]: machine for machine in record["machines"]}
        other = sorted(m["name"] for m in wanted if known.get(m["name"]) != m) or sorted(
            set(known) - {m["name"] for m in wanted}
        )
        raise LabError(
            "{}: the lab runs, with another definition of {}; make lab-down ends it, and what is deployed on it".format(
                folder, ", ".join(other)
            )
        )
    ended = sorted({machine["name"] for machine in wanted} - running)
    if ended:
        raise LabError(
            "{}: {} has ended by itself (see its console.log and qemu.log); make lab-down clears the lab".format(
                folder, ", ".join(ended)
            )
        )
    return True


def _note_newer_image(record: t.Mapping[str, t.Any], images: _lab_snapshot.Images, progress: Progress) -> None:
    if record["images"] == _names(images):
        progress.say("the machines are running and stay as they are")
    else:
        progress.say("the machines are running and stay as they are; there is a newer image for the next start")


def _names(images: _lab_snapshot.Images) -> dict[str, str]:
    return {boot: image.folder.name for boot, image in images.items()}


def _own(folder: pathlib.Path) -> None:
    """Mark an empty folder as a lab's; LabError when somebody else's files are in it."""
    marker = folder / _MARKER
    if not marker.exists():
        if any(folder.iterdir()):
            raise LabError(f"lab_dir {folder} holds files that are not a lab's: name a new or an empty folder")
        marker.touch()


def _clear(folder: pathlib.Path) -> int:
    """End the machines and remove everything but the marker; how many machines there were."""
    (folder / _RECORD).unlink(missing_ok=True)
    stopped = process.stop(folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _MARKER:
            path.unlink()
    return stopped


def _restore(
    folder: pathlib.Path, lab: Lab, images: _lab_snapshot.Images, snapshot: pathlib.Path, progress: Progress
) -> None:
    for name in (_lab_snapshot.KEY, _lab_snapshot.KEY + ".pub"):
        shutil.copy(snapshot / name, folder / name)
    for machine in lab.machines:
        own, saved = folder / machine.name, snapshot / machine.name
        own.mkdir()
        shutil.copytree(saved / "credentials", own / "credentials")
        for name in disk_files(machine).values():
            _lab_snapshot.make_disk(own / name, backing=str((saved / name).resolve()))
    ports = _lab_snapshot.choose_ports(folder, lab)
    ssh.write_config(folder, ports, _lab_snapshot.host_keys(snapshot, lab))
    progress.say("restoring {}".format(", ".join(machine.name for machine in lab.machines)))
    _lab_snapshot.start(folder, lab, images, ports, snapshot)
    _wait(folder, lab, progress)
    record = {"images": _names(images), "snapshot": snapshot.name, "machines": lab.as_data(), "ports": ports}
    partial = folder / (_RECORD + ".new")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / _RECORD)


def _wait(folder: pathlib.Path, lab: Lab, progress: Progress) -> None:
    # A restored machine believes it is still the moment of the snapshot.
    ssh.wait(
        folder,
        [machine.name for machine in lab.machines],
        lambda: f"date --utc --set=@{time.time():.3f}",
        _ANSWER_TIMEOUT,
        progress,
        lambda name: bool(process.find(folder / name)),
    )
