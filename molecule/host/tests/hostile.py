# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hostile discovery controller of molecule/shared on target1, to which nvmet there refers."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any, Iterator

from conftest import ADDRESSES, NVMET
from machines import ROOT, until
from testinfra.host import Host

PROGRAM = "/var/tmp/hostile_discovery.py"
ADDRESS, PORT = ADDRESSES["target1"], 4499


class Hostile:
    """The program in one of its modes, and what it counts."""

    def __init__(self, target: Host, mode: str, address: str, *more: str, port: int = PORT) -> None:
        self.target, self.unit = target, f"hostile-{mode}"
        self.file = f"/var/tmp/{self.unit}.json"
        text = base64.b64encode((ROOT / "molecule/shared/hostile_discovery.py").read_bytes()).decode()
        target.check_output(
            f"echo {text} | base64 -d > {PROGRAM}; rm -f {self.file}; "
            f"systemd-run -q --collect --unit {self.unit} python3 {PROGRAM} {mode} {address} {port} "
            f"--record {self.file} {' '.join(more)}"
        )
        until(lambda: target.run(f"ss -Hlnt src {address}:{port}").stdout != "", 30)

    def counts(self) -> dict[str, Any]:
        return json.loads(self.target.check_output(f"cat {self.file}"))


@contextlib.contextmanager
def referred(target: Host, mode: str, *more: str, port: int = PORT) -> Iterator[Hostile]:
    """The program started, and nvmet's referral to it."""
    found, referral = Hostile(target, mode, ADDRESS, *more, port=port), f"{NVMET}/ports/1/referrals/{mode}"
    words = {"trtype": "mptcp", "adrfam": "ipv4", "traddr": ADDRESS, "trsvcid": port, "portid": port}
    written = " && ".join(f"echo {value} > addr_{name}" for name, value in words.items())
    try:
        target.check_output(f"mkdir {referral} && cd {referral} && {written} && echo 1 > enable")
        yield found
    finally:
        target.run(f"rmdir {referral}")
        target.run(f"systemctl stop {found.unit}")
