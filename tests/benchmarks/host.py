# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""64 controllers, 8 subsystems on 4 ports of each of two targets: nvme_connections' code against bare writes.

Makes a lab of its own. One call of ours, in one process with everything that it reads and saves, stands beside a loop
of writes to /dev/nvme-fabrics, the same writes by eight threads (which the kernel takes one at a time), 64 runs of
`nvme connect`, and our call that finds nothing to do. The last line is one JSON object with the medians of the ratios.
Asserts nothing.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program  # noqa: E402

LAB_DIR = Path(os.environ.get("LAB_DIR") or ROOT / ".lab" / "bench").resolve()
RUNS = int(os.environ.get("RUNS", "3"))
FOLDER = "/var/tmp/host-benchmark"
TARGETS = (1, 2)
PROGRAM = f"cd {FOLDER} && PYTHONPATH=program.pyz python3 host_on_node.py"
#: Ratio → what it is of, both as the program on the host names them.
PAIRS = {
    "connect_vs_raw": ("connect", "raw"),
    "threads_vs_raw": ("raw_threads", "raw"),
    "nvme_connect_vs_raw": ("nvme_connect", "raw"),
    "disconnect_vs_raw": ("disconnect", "raw_disconnect"),
    "nochange_vs_connect": ("nochange", "connect"),
}


def play(*arguments: str) -> None:
    command = ["ansible-playbook", "-i", "inventories/lab", "playbooks/lab.yml", *arguments]
    command += ["--extra-vars", f"@{Path(__file__).with_suffix('.yml')}"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "LAB_DIR": str(LAB_DIR)}, stdout=sys.stderr)


def ssh(machine: str, command: str, content: bytes = b"") -> str:
    argv = ["ssh", "-F", str(LAB_DIR / "ssh_config"), machine, command]
    return subprocess.run(argv, input=content, check=True, stdout=subprocess.PIPE).stdout.decode()


def prepare(machine: str, modules: str) -> None:
    ssh(machine, f"mkdir -p {FOLDER} && modprobe -a {modules}")
    ssh(machine, f"cat > {FOLDER}/program.pyz", _program.build())
    ssh(machine, f"cat > {FOLDER}/host_on_node.py", Path(__file__).with_name("host_on_node.py").read_bytes())


def both(run: dict[str, float]) -> dict[str, float]:
    """The two that are compared were measured twice, on both sides of the rest."""
    again = {name: run.pop(f"{name}_again") for name in ("connect", "raw")}
    return {**run, **{name: (run[name] + again[name]) / 2 for name in again}}


def main() -> None:
    play()
    for number in TARGETS:
        prepare(f"target{number}", "nvmet nvmet-tcp")
        ssh(f"target{number}", f"{PROGRAM} {number}")
    prepare("host1", "nvme-tcp")
    runs = []
    for number in range(1, RUNS + 1):
        runs.append(both(json.loads(ssh("host1", PROGRAM))))
        words = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in runs[-1].items())
        print(f"run {number}: {words}", flush=True)
    out: dict[str, object] = {"benchmark": "host", "controllers": 64, "runs": RUNS}
    for name, (over, under) in PAIRS.items():
        ratios = [run[over] / run[under] for run in runs]
        out[name] = round(statistics.median(ratios), 2)
        out[f"{name}_spread"] = [round(min(ratios), 2), round(max(ratios), 2)]
    for name in ("raw", "connect", "nvme_connect", "nochange"):
        out[f"{name}_seconds"] = round(statistics.median(run[name] for run in runs), 3)
    play("--extra-vars", "lab_state=absent")
    print(json.dumps(out))


if __name__ == "__main__":
    main()
