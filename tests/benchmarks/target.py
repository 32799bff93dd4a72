# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""1,000 namespaces in 10 subsystems on a real nvmet: nvmet_config's code against bare loops and against nvmetcli.

Makes a lab of its own. nvmetcli comes from Debian testing, for this benchmark's machine alone. Everything is timed in
one process on the machine, with the wall time of a process of its own beside; the last line is one JSON object with
the medians of the ratios. Asserts nothing on time, but that what nvmetcli saved of a target, imported, is that target.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.nvmeof.mptcp.plugins.filter.from_nvmetcli import from_nvmetcli  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.mmdebstrap import find_mirror  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import archive  # noqa: E402

LAB_DIR = Path(os.environ.get("LAB_DIR") or ROOT / ".lab" / "bench").resolve()
RUNS = int(os.environ.get("RUNS", "3"))
FOLDER = "/var/tmp/target-benchmark"
PACKAGES = ("nvmetcli", "python3-configshell-fb", "python3-pyparsing")


def play(*arguments: str) -> None:
    command = ["ansible-playbook", "-i", "inventories/lab", "playbooks/lab.yml", *arguments]
    command += ["--extra-vars", f"@{Path(__file__).with_suffix('.yml')}"]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "LAB_DIR": str(LAB_DIR)}, stdout=sys.stderr)


def ssh(command: str, content: bytes = b"") -> str:
    argv = ["ssh", "-F", str(LAB_DIR / "ssh_config"), "target1", command]
    return subprocess.run(argv, input=content, check=True, stdout=subprocess.PIPE).stdout.decode()


def nvmetcli() -> dict[str, bytes]:
    """The packages of Debian testing by file name, as its index and their hashes say."""
    mirror = find_mirror("lab_mirror").rstrip("/")
    index = archive.packages_index(mirror, "testing")
    found = {}
    for paragraph in index.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Filename|SHA256): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Package") in PACKAGES:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / Path(fields["Filename"]).name
                archive.download(f"{mirror}/{fields['Filename']}", str(path))
                content = path.read_bytes()
            assert hashlib.sha256(content).hexdigest() == fields["SHA256"], path.name
            found[path.name] = content
    assert len(found) == len(PACKAGES), sorted(found)
    return found


def main() -> None:
    play()
    ssh(f"mkdir -p {FOLDER}")
    for name, content in nvmetcli().items():
        ssh(f"cat > {FOLDER}/{name}", content)
    ssh(f"dpkg --install {FOLDER}/*.deb >&2 && modprobe -a nvmet nvmet-tcp")
    ssh(f"cat > {FOLDER}/program.pyz", _program.build())
    ssh(f"cat > {FOLDER}/target_on_node.py", Path(__file__).with_name("target_on_node.py").read_bytes())
    runs = []
    for number in range(1, RUNS + 1):
        runs.append(json.loads(ssh(f"cd {FOLDER} && PYTHONPATH=program.pyz python3 target_on_node.py")))
        print(
            f"run {number}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in runs[-1].items()), flush=True
        )
    imported = from_nvmetcli(json.loads(ssh(f"cat {FOLDER}/saved.json")))
    needed = ssh(
        f"cd {FOLDER} && PYTHONPATH=program.pyz python3 target_on_node.py imported", json.dumps(imported).encode()
    )
    assert needed == "", needed
    print("what nvmetcli saved is imported without a change", flush=True)
    pairs = {
        "apply_vs_raw": ("apply", "raw_apply"),
        "nochange_vs_raw": ("nochange", "raw_read"),
        "nvmetcli_fresh": ("nvmetcli_fresh", "apply"),
        "nvmetcli_unchanged": ("nvmetcli_unchanged", "nochange"),
        "removal_vs_raw": ("removal", "raw_removal"),
    }
    out: dict[str, object] = {"benchmark": "target", "namespaces": 1000, "subsystems": 10, "runs": RUNS}
    for name, (over, under) in pairs.items():
        ratios = [run[over] / run[under] for run in runs]
        out[name] = round(statistics.median(ratios), 2)
        out[f"{name}_spread"] = [round(min(ratios), 2), round(max(ratios), 2)]
    play("--extra-vars", "lab_state=absent")
    print(json.dumps(out))


if __name__ == "__main__":
    main()
