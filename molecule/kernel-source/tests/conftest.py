# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines that run a kernel built from source, and the module that built it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

sys.path[:0] = [str(Path(__file__).resolve().parents[3] / folder) for folder in ("molecule/shared", "collections")]

from kernel_repository import PATCH, TAG, git  # noqa: E402
from machines import ROOT, connect, reboot  # noqa: E402

__all__ = ["PATCH", "ROOT", "TAG", "git", "reboot"]
CACHE = Path("~/.cache/nvmeof-mptcp").expanduser()
REPOSITORY = CACHE / "linux-7.3.git"
SCENARIO = Path(__file__).resolve().parents[1]


@pytest.fixture(params=["target1", "host1"])
def machine(request: pytest.FixtureRequest) -> Host:
    return connect(request.param)


def tagged() -> str:
    """The commit that the tag stands for."""
    return git(REPOSITORY, "rev-parse", f"{TAG}^{{commit}}").strip()


@pytest.fixture(scope="session")
def commit() -> str:
    """The commit that the tag stands for."""
    return tagged()


def record(machine: Host) -> dict[str, Any]:
    """What the package of the running kernel says of itself."""
    return json.loads(machine.check_output("cat /usr/lib/modules/$(uname -r)/nvmeof-mptcp.json"))


def text(path: Path) -> dict[str, str]:
    return {"name": path.name, "text": path.read_text()}


def arguments(**changed: Any) -> dict[str, Any]:
    """What the role gives the module in this scenario."""
    return {
        "source": {"git": f"file://{REPOSITORY}", "ref": TAG, "commit": tagged()},
        "config_base": "tinyconfig",
        "config_fragments": [
            text(ROOT / "roles/nvme_kernel/files/config/transport.config"),
            text(ROOT / "molecule/shared/lean.config"),
        ],
        # What is in the cache needs none.
        "mirror": "http://mirror.invalid/debian",
        **changed,
    }


def build(**changed: Any) -> dict[str, Any]:
    """What the module answers."""
    command = ["ansible", "localhost", "--module-name=nvmeof.mptcp.nvme_kernel_build", "--args", ""]
    command[-1] = json.dumps(arguments(**changed))
    result = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(result.stdout, result.stderr)
    return yaml.safe_load(result.stdout.split("=>", 1)[1])


def role(**variables: Any) -> subprocess.CompletedProcess[str]:
    """Run kernels.yml with other variables and keep what it printed."""
    given = {**yaml.safe_load((SCENARIO / "vars/machines.yml").read_text()), **variables}
    command = ["ansible-playbook", "--inventory", str(ROOT / "inventories/lab"), "--extra-vars", json.dumps(given)]
    result = subprocess.run(
        [*command, str(ROOT / "playbooks/kernels.yml")], cwd=ROOT, check=False, capture_output=True, text=True
    )
    print(result.stdout, result.stderr)
    return result
