# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bandwidth of NVMe over MPTCP on four links against NVMe/TCP on one, every link of the same rate.

Makes a lab of its own, whose links the inventory bounds, deploys it with the collection's playbooks and runs the two
transports in turn. Prints every run and, last, one JSON object with the medians of the ratios. Asserts nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB_DIR = Path(os.environ.get("LAB_DIR") or ROOT / ".lab" / "bench").resolve()
RUNS = int(os.environ.get("RUNS", "5"))
# The rate of lab_networks in inventories/lab.
RATE_MBIT = 40
RAILS = 4
DESCRIPTION = Path(__file__).with_suffix(".yml")
# NQN of the volume of each transport, as in the description.
VOLUMES = {"mptcp": "nqn.2026-11.org.example:vol0", "tcp": "nqn.2026-11.org.example:vol1"}
SECONDS = 12
MIB = 2**20


def play(playbook: str, *arguments: str) -> None:
    command = ["ansible-playbook", "-i", "inventories/lab", f"playbooks/{playbook}.yml", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "LAB_DIR": str(LAB_DIR)}, stdout=sys.stderr)


def ssh(machine: str, command: str) -> str:
    argv = ["ssh", "-F", str(LAB_DIR / "ssh_config"), machine, command]
    return subprocess.run(argv, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout


def device(nqn: str) -> str:
    """The block device of namespace 1 of a subsystem, by NQN: names are given in order of connection."""
    found = ssh("host1", f"grep -lx '{nqn}' /sys/class/nvme-subsystem/*/subsysnqn").split()
    assert len(found) == 1, f"{nqn}: {found}"
    subsystem = Path(found[0]).parent
    names = ssh("host1", f"ls {subsystem}").split()
    heads = [name for name in names if name.startswith("nvme") and "c" not in name and name.endswith("n1")]
    assert len(heads) == 1, f"{subsystem}: {names}"
    return f"/dev/{heads[0]}"


def run(path: str, direction: str) -> float:
    """Bytes per second of one fio run on the host."""
    command = (
        f"fio --name=bandwidth --filename={path} --rw={direction} --bs=128k --iodepth=32 --direct=1 --ioengine=libaio"
        f" --time_based --runtime={SECONDS} --ramp_time=3 --output-format=json"
    )
    report = json.loads(ssh("host1", command))
    return float(report["jobs"][0][direction]["bw_bytes"])


def main() -> None:
    for playbook in ("lab", "kernels", "networks", "targets", "hosts"):
        play(playbook, "--extra-vars", f"@{DESCRIPTION}")
    link = RATE_MBIT * 1_000_000 / 8
    devices = {name: device(nqn) for name, nqn in VOLUMES.items()}
    rates: dict[str, dict[str, list[float]]] = {"read": {"tcp": [], "mptcp": []}, "write": {"tcp": [], "mptcp": []}}
    for number in range(1, RUNS + 1):
        for direction, of in rates.items():
            for name in ("tcp", "mptcp"):
                of[name].append(run(devices[name], direction))
            print(
                f"run {number} {direction:5}: TCP, 1 link {of['tcp'][-1] / MIB:6.2f} MiB/s"
                f" ({of['tcp'][-1] / link:4.0%} of it),"
                f" MPTCP, {RAILS} links {of['mptcp'][-1] / MIB:6.2f} MiB/s, {of['mptcp'][-1] / of['tcp'][-1]:.2f}x",
                flush=True,
            )
    out: dict[str, object] = {"benchmark": "bandwidth", "link_mbit": RATE_MBIT, "links": RAILS, "runs": RUNS}
    for direction, of in rates.items():
        ratios = [mptcp / tcp for mptcp, tcp in zip(of["mptcp"], of["tcp"])]
        out[f"{direction}_ratio"] = round(statistics.median(ratios), 2)
        out[f"{direction}_ratio_spread"] = [round(min(ratios), 2), round(max(ratios), 2)]
        out[f"{direction}_tcp_of_link"] = round(statistics.median(of["tcp"]) / link, 3)
    play("lab", "--extra-vars", "lab_state=absent")
    print(json.dumps(out))


if __name__ == "__main__":
    main()
