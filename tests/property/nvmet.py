# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random pairs of descriptions on a real kernel: `nvmet.py --ssh-config F --host target1 --pairs N`.

The second follows from the first, a further run finds nothing to do, and what is equal in both is neither written,
linked, unlinked, made nor removed: strace tells, and inode numbers. All the while a host is connected to
a subsystem that is equal in all, and does I/O. The machine's nvmet must be nobody else's.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "collections"), str(ROOT / "tests/unit/plugins/module_utils")]

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import parse  # noqa: E402
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils import _program  # noqa: E402
from nvmet_descriptions import CONTROLLERS, DEVICES, descriptions  # noqa: E402
from nvmet_refusal_cases import CASES  # noqa: E402

FOLDER = "/var/tmp/nvmeof-mptcp-property"
CONFIGFS = "/sys/kernel/config/nvmet/"
# A subsystem that is equal in all descriptions, to which a host is connected and does I/O all the while.
LIVE = "nqn.2026-11.org.example.live:kept"
LIVE_HOST = "nqn.2026-11.org.example.live:host"


def pairs(count: int, number: int) -> list[tuple[dict, dict]]:
    found: list[tuple[dict, dict]] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(first=descriptions(), second=descriptions())
    def collect(first: dict, second: dict) -> None:
        found.append((first, second))

    collect()
    return found[:count]


def fitted(description: dict, transports: tuple[str, ...], controller: str = "") -> dict:
    """The description with this machine's files, controller and transports, and with the live subsystem."""
    out = copy.deepcopy(description)
    for subsystem in out["subsystems"]:
        # The machine has one controller, the first of those that are drawn.
        if "passthru" in subsystem and subsystem["passthru"]["device_path"] == CONTROLLERS[0]:
            subsystem["passthru"]["device_path"] = controller
        else:
            subsystem.pop("passthru", None)
        for namespace in subsystem.get("namespaces", []):
            namespace["device_path"] = f"{FOLDER}/{DEVICES.index(namespace['device_path'])}"
    for port in out["ports"]:
        if port["trtype"] not in transports:
            port["trtype"] = "tcp"
    out["subsystems"].append(
        {"nqn": LIVE, "serial": "LIVE", "allowed_hosts": [LIVE_HOST],
         "namespaces": [{"nsid": 1, "device_path": f"{FOLDER}/live", "uuid": "0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d"}]}
    )  # fmt: skip
    out["ports"].append(
        {
            "portid": 9,
            "trtype": "tcp",
            "adrfam": "ipv4",
            "traddr": "127.0.0.99",
            "trsvcid": "4420",
            "subsystems": [LIVE],
        }
    )
    return out


def equal(first: dict, second: dict) -> set[str]:
    """Objects and links that nothing may touch: equal in both, and for a link its port too."""
    one, two = parse(first), parse(second)
    same = {path for path in one.objects if path in two.objects and one.objects[path] == two.objects[path]}
    links = {link for link in one.links if link in two.links}
    return same | {link for link in links if not link.startswith("ports/") or "/".join(link.split("/")[:2]) in same}


def touched(trace: str) -> dict[int, set[str]]:
    """Pair → objects and links that were written, made, linked or removed, as strace saw it."""
    out: dict[int, set[str]] = {}
    now = None
    for line in trace.splitlines():
        marker = re.search(r'"/marker/(begin|end)/(\d+)"', line)
        if marker:
            now = int(marker[2]) if marker[1] == "begin" else None
        change = re.search(rf'(mkdir|rmdir|unlink|symlink|chmod)\w*\(.*"{CONFIGFS}([^"]+)"', line)
        written = re.search(rf"(write)\(\d+<{CONFIGFS}([^>]+)>", line)
        if now is not None and (change or written):
            verb, path = (change or written).groups()
            out.setdefault(now, set()).add(path.rpartition("/")[0] if verb in ("write", "chmod") else path)
    return out


class Node:
    """The machine, over ssh."""

    def __init__(self, config: str, host: str) -> None:
        self.ssh = ["ssh", "-F", config, f"root@{host}"]

    def run(self, command: str, data: bytes = b"") -> str:
        done = subprocess.run([*self.ssh, command], input=data, check=False, stdout=subprocess.PIPE)
        if done.returncode:
            raise SystemExit(f"{command}: status {done.returncode}\n{done.stdout.decode()[-500:]}")
        return done.stdout.decode()

    def put(self, path: str, data: bytes) -> None:
        self.run(f"cat > {path}", data)


def python(script: str) -> str:
    return f"PYTHONPATH={FOLDER}/program.pyz python3 {FOLDER}/{script}"


def prepare(node: Node) -> tuple[str, ...]:
    # Left by a run that was interrupted.
    node.run(
        "systemctl stop nvmet-property-io 2>&1; systemctl reset-failed nvmet-property-io 2>&1; nvme disconnect-all"
    )
    node.run(
        f"mkdir -p {FOLDER} && cd {FOLDER} && truncate -s 64M live 0 1 2 3 4 5 && modprobe -a nvmet nvmet-tcp nvme-tcp "
        "nvme-loop && rm -rf trace io_* && dmesg -C"
    )
    node.put(f"{FOLDER}/program.pyz", _program.build())
    for name in ("refusals_on_node.py", "converge_on_node.py"):
        node.put(f"{FOLDER}/{name}", (ROOT / "tests/property" / name).read_bytes())
    node.put(f"{FOLDER}/empty.json", json.dumps([{}, [[{}, {}]]]).encode())
    node.run(f"{python('converge_on_node.py')} < {FOLDER}/empty.json")
    node.run(python("refusals_on_node.py"), json.dumps(CASES).encode())
    print(f"refusals: {len(CASES)} cases as in the table")
    offered = node.run("d=/sys/kernel/config/nvmet/ports/99; mkdir $d; printf mptcp > $d/addr_trtype 2>/dev/null "
                       "&& echo mptcp; rmdir $d").split()  # fmt: skip
    return ("tcp", "loop", *offered)


def check(number: int, first: dict, second: dict, found: dict, changed: set[str]) -> list[str]:
    """What is wrong with one pair."""
    kept = equal(first, second)
    wrong = [f"pair {number}: touched {path}, equal in both" for path in sorted(changed & kept)]
    wrong += [f"pair {number}: needed again: {line}" for line in found["again"]]
    moved = [path for path in kept & set(found["before"]) if found["before"][path] != found["after"].get(path)]
    wrong += [f"pair {number}: {path} was made anew" for path in moved]
    wanted, got = parse(second), parse(found["read"])
    if set(wanted.objects) != set(got.objects) or wanted.links != got.links:
        wrong.append(f"pair {number}: {sorted(set(wanted.objects) ^ set(got.objects))} differ")
    for path, item in wanted.objects.items():
        has = {**getattr(got.objects.get(path), "attributes", {}), **found["hosts"].get(path, {})}
        if path in got.objects and not item.attributes.items() <= has.items():
            wrong.append(f"pair {number}: {path} is {has}, not {item.attributes}")
        readable = [f"{path}/{name}" for name in ("dhchap_key", "dhchap_ctrl_key") if name in item.attributes]
        wrong += [f"pair {number}: everyone may read {file}" for file in readable if file in found["exposed"]]
    return wrong


def go(node: Node, to: dict) -> None:
    node.run(f"{python('converge_on_node.py')}", json.dumps([to, [[to, to]]]).encode())


def connect(node: Node, start: dict) -> str:
    """Connect a host to the live subsystem and keep it reading and writing, with what is read compared.

    Returns the device of its controller.
    """
    go(node, start)
    node.run(f"nvme connect -t tcp -a 127.0.0.99 -s 4420 -n {LIVE} -q {LIVE_HOST} -i 1 >/dev/null")
    for _ in range(50):
        device = node.run("ls /dev/disk/by-id/ | grep -m1 'nvme-uuid.0b2c1e9e.*' || true").strip()
        if device:
            break
        time.sleep(0.2)
    node.run(
        f"systemd-run -q --collect --unit nvmet-property-io fio --name=live --filename=/dev/disk/by-id/{device} "
        "--rw=randwrite --bs=16k --size=32m --time_based --runtime=100000 --verify=crc32c --verify_backlog=64 "
        f"--verify_fatal=1 --rate=2m --direct=1 --ioengine=psync --write_lat_log={FOLDER}/io --log_max_value=1 "
        "--log_avg_msec=500"
    )
    return node.run("ls /dev/nvme[0-9]").strip()


def live_problems(node: Node) -> list[str]:
    state = node.run("systemctl is-active nvmet-property-io || true").strip()
    again = node.run("dmesg | grep -c 'nvme.*reconnect\\|nvme.*I/O error' || true").strip()
    node.run("systemctl stop nvmet-property-io; nvme disconnect-all")
    worst = node.run(f"awk -F, '$2 + 0 > m {{m = $2 + 0}} END {{print m / 1e6}}' {FOLDER}/io_clat.*log || true").strip()
    print(f"live host: fio {state}, reconnects or errors {again}, longest I/O {worst} ms")
    return ([] if state == "active" else [f"I/O ended: {state}"]) + ([] if again == "0" else ["the host reconnected"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ssh-config", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    node = Node(options.ssh_config, options.host)
    transports = prepare(node)
    print(f"seed {options.seed}, transports {' '.join(transports)}", flush=True)
    start = fitted({"subsystems": [], "ports": []}, transports)
    controller = connect(node, start)
    drawn = pairs(options.pairs, options.seed)
    todo = [tuple(fitted(one, transports, controller) for one in both) for both in drawn]
    node.put(f"{FOLDER}/pairs.json", json.dumps([start, todo]).encode())
    out = node.run(
        # Stopping at these calls alone: reads are many, and each stop costs two switches.
        f"strace --seccomp-bpf -f -qq -y -o {FOLDER}/trace -e trace=write,mkdir,rmdir,unlink,symlink,chmod,fchmodat "
        f"env {python('converge_on_node.py')} < {FOLDER}/pairs.json"
    )
    results = [json.loads(line) for line in out.splitlines()]
    seen = touched(node.run(f"grep -e marker -e {CONFIGFS} {FOLDER}/trace"))
    # Nothing passes the live host's controller through while it is disconnected.
    go(node, start)
    wrong = live_problems(node)
    for number, ((first, second), found) in enumerate(zip(todo, results, strict=True)):
        wrong += check(number, first, second, found, seen.get(number, set()))
        if len(found["plan"]) and not seen.get(number):
            wrong.append(f"pair {number}: strace saw nothing of {len(found['plan'])} operations")
    operations = sum(len(found["plan"]) for found in results)
    print("\n".join(wrong))
    print(f"{len(results)} pairs, {operations} operations, seed {options.seed}: {len(wrong)} problems")
    node.run(f"{python('converge_on_node.py')} < {FOLDER}/empty.json && rm -r {FOLDER}")
    print(f"{len(results) - min(len(wrong), len(results))} passed, {len(wrong)} failed")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
