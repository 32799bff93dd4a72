# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a target, with its number: serve. On a host that nobody uses: one run of everything that the benchmark compares.

Prints a JSON object of seconds.
"""

from __future__ import annotations

import concurrent.futures
import glob
import json
import os
import subprocess
import sys
import time
from typing import Any, Callable

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.converge import converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DEVICE, render
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import converge as _nvmet_converge

TARGETS, SUBSYSTEMS, PORTS = 2, 8, 4
COUNT = TARGETS * SUBSYSTEMS * PORTS
HOSTNQN = "nqn.2026-11.org.example:host1"
HOSTID = "0b2f6f0e-6f0a-4d56-9a4e-3c1e5a1b7d01"
#: The role's own, but for a keep-alive that 64 controllers of emulated machines hold.
TIMEOUTS = {"keep_alive_tmo": 30, "reconnect_delay": 2, "ctrl_loss_tmo": -1}
THREADS = 8


def nqn(target: int, subsystem: int) -> str:
    return f"nqn.2026-11.org.example:t{target}-s{subsystem}"


def serve(number: int) -> None:
    os.makedirs("files", exist_ok=True)
    subsystems, names = [], [nqn(number, one) for one in range(SUBSYSTEMS)]
    for one, name in enumerate(names):
        path = os.path.abspath(f"files/{one}")
        with open(path, "wb") as stream:
            stream.truncate(1 << 24)
        namespace = {"nsid": 1, "device_path": path, "uuid": f"00000000-0000-4000-{number:04x}-{one:012x}"}
        subsystems.append(
            {"nqn": name, "serial": f"T{number}S{one}", "allow_any_host": True, "namespaces": [namespace]}
        )
    port = {"trtype": "tcp", "adrfam": "ipv4", "traddr": f"10.10.0.{number}", "subsystems": names}
    ports = [{**port, "portid": 1 + one, "trsvcid": str(4420 + one)} for one in range(PORTS)]
    _nvmet_converge.converge({"subsystems": subsystems, "ports": ports})


def connections() -> list[dict[str, Any]]:
    return [
        {
            "transport": "tcp",
            "traddr": f"10.10.0.{target}",
            "trsvcid": str(4420 + port),
            "subsysnqn": nqn(target, subsystem),
            **TIMEOUTS,
        }
        for target in range(1, TARGETS + 1)
        for subsystem in range(SUBSYSTEMS)
        for port in range(PORTS)
    ]


def described(*wanted: dict[str, Any]) -> dict[str, Any]:
    return {"connections": list(wanted), "hostnqn": HOSTNQN, "hostid": HOSTID}


def raw_connect(options: str) -> None:
    handle = os.open(DEVICE, os.O_RDWR)
    os.write(handle, options.encode())
    os.read(handle, 4096)
    os.close(handle)


def controllers() -> list[str]:
    return glob.glob("/sys/class/nvme/nvme*")


def raw_disconnect() -> None:
    for path in controllers():
        with open(f"{path}/delete_controller", "w") as stream:
            stream.write("1")


def settled() -> None:
    """Wait until every controller has its namespace, so that nothing of this step is left for the next."""
    assert len(controllers()) == COUNT, len(controllers())
    deadline = time.monotonic() + 60
    while len(glob.glob("/sys/class/nvme/nvme*/nvme*c*n1")) < COUNT:
        assert time.monotonic() < deadline, "namespaces are missing"
        time.sleep(0.2)
    time.sleep(1)


def timed(work: Callable[[], Any]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def nvme_connect(one: dict[str, Any]) -> None:
    argv = [
        "nvme",
        "connect",
        "-t",
        one["transport"],
        "-a",
        one["traddr"],
        "-s",
        one["trsvcid"],
        "-n",
        one["subsysnqn"],
    ]
    argv += [f"--hostnqn={HOSTNQN}", f"--hostid={HOSTID}", f"--keep-alive-tmo={one['keep_alive_tmo']}"]
    argv += [f"--reconnect-delay={one['reconnect_delay']}", f"--ctrl-loss-tmo={one['ctrl_loss_tmo']}"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    wanted = connections()
    texts = [render(one, HOSTNQN, HOSTID) for one in wanted]
    raw_disconnect()
    found = {}
    found["raw"] = timed(lambda: list(map(raw_connect, texts)))
    settled()
    found["raw_disconnect"] = timed(raw_disconnect)
    time.sleep(1)
    found["connect"] = timed(lambda: converge(lambda: described(*wanted)))
    settled()
    found["nochange"] = timed(lambda: converge(lambda: described(*wanted)))
    assert not converge(lambda: described(*wanted)).changed
    found["disconnect"] = timed(lambda: converge(lambda: described()))
    assert not controllers()
    time.sleep(1)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        found["raw_threads"] = timed(lambda: list(pool.map(raw_connect, texts)))
    settled()
    raw_disconnect()
    time.sleep(1)
    found["nvme_connect"] = timed(lambda: list(map(nvme_connect, wanted)))
    settled()
    raw_disconnect()
    time.sleep(1)
    # Once more, for the drift of the machine: the two that are compared stand on both sides.
    found["connect_again"] = timed(lambda: converge(lambda: described(*wanted)))
    settled()
    converge(lambda: described())
    time.sleep(1)
    found["raw_again"] = timed(lambda: list(map(raw_connect, texts)))
    settled()
    raw_disconnect()
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(int(sys.argv[1]))
    else:
        main()
