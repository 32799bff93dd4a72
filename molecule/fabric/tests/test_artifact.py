# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built collection is whole: run by name from an empty folder, its site playbook finds everything as deployed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from machines import LAB_DIR, ROOT


def test_built_collection_deploys_by_name(tmp_path: Path) -> None:
    # The checkout's settings and collection are out of reach.
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
    settings |= {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path), "LAB_DIR": str(LAB_DIR), "ANSIBLE_PIPELINING": "1"}
    galaxy = ["ansible-galaxy", "collection"]
    build = [*galaxy, "build", "--output-path", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, cwd=tmp_path, env=settings)
    [artifact] = tmp_path.glob("nvmeof-mptcp-*.tar.gz")
    install = [*galaxy, "install", "--offline", "--collections-path", str(tmp_path), str(artifact)]
    subprocess.run(install, check=True, cwd=tmp_path, env=settings)
    assert (tmp_path / "ansible_collections/nvmeof/mptcp/SECURITY.md").exists()
    result = subprocess.run(
        ["ansible-playbook", "--inventory", str(ROOT / "inventories/lab"), "nvmeof.mptcp.site"],
        cwd=tmp_path,
        env=settings,
        check=False,
        capture_output=True,
        text=True,
    )
    print(result.stdout, result.stderr)
    assert result.returncode == 0
    for line in result.stdout.splitlines():
        if "unreachable=" in line:
            assert "changed=0" in line, line
