# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated sysfs of the NVMe driver: what Linux 7.2 shows, as files in a folder."""

from __future__ import annotations

from pathlib import Path

NQN = "nqn.2026-11.org.example:vol0"
HOSTNQN = "nqn.2014-08.org.nvmexpress:uuid:6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"
HOSTID = "6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01"
SECRET = "DHHC-1:01:bm90IGEgcmVhbCBrZXksIG9ubHkgZm9yIGEgdGVzdCHtsmg7:"


def write(folder: Path, **attributes: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in attributes.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def subsystem(root: Path, number: int = 0, nqn: str = NQN, namespaces: tuple[int, ...] = (1,)) -> None:
    folder = root / f"sys/class/nvme-subsystem/nvme-subsys{number}"
    write(folder, subsysnqn=nqn, iopolicy="numa", model="Linux", serial="s0")
    for nsid in namespaces:
        name = f"nvme{number}n{nsid}"
        write(folder / name)
        attributes = {"nsid": nsid, "uuid": f"u{nsid}", "nguid": f"g{nsid}", "wwid": f"uuid.u{nsid}", "size": 131072}
        write(root / "sys/class/block" / name, dev=f"259:{number * 10 + nsid}", **attributes)
        (root / "sys/class/block" / name / "holders").mkdir(exist_ok=True)


def controller(
    root: Path, number: int = 0, subsys: int = 0, namespaces: tuple[int, ...] = (1,), **changed: object
) -> Path:
    attributes: dict[str, object] = {
        "subsysnqn": NQN,
        "transport": "mptcp",
        "address": "traddr=192.0.2.1,trsvcid=4420,src_addr=198.51.100.1",
        "hostnqn": HOSTNQN,
        "hostid": HOSTID,
        "state": "live",
        "cntrltype": "io",
        "cntlid": number + 1,
        "queue_count": 5,
        "kato": 5,
        "reconnect_delay": 2,
        "ctrl_loss_tmo": "off",
        "fast_io_fail_tmo": "off",
        "dhchap_secret": "none",
        "dhchap_ctrl_secret": "none",
    }
    folder = write(root / f"sys/class/nvme/nvme{number}", **{**attributes, **changed})
    for nsid in namespaces:
        write(folder / f"nvme{subsys}c{number}n{nsid}", nsid=nsid, ana_state="optimized")
    return folder
