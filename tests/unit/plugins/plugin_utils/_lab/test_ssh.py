# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports and the ssh configuration."""

from __future__ import annotations

import itertools
import socket
import subprocess
from pathlib import Path

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import ssh
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(), st.text())
def test_candidates_are_all_ports_below_the_kernel_s_own_each_once(lab: str, machine: str) -> None:
    ports = list(ssh.candidate_ports(lab, machine))
    assert sorted(ports) == list(range(20000, 32000))
    assert ports[:3] == list(itertools.islice(ssh.candidate_ports(lab, machine), 3))


def test_a_port_in_use_or_taken_is_passed_over() -> None:
    first, second, third = itertools.islice(ssh.candidate_ports("/some/lab", "target1"), 3)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first))
        listener.listen()
        assert ssh.free_port("/some/lab", "target1", {second}) == third
    assert ssh.free_port("/some/lab", "target1", {second}) == first


def test_ssh_reads_the_configuration_as_it_was_meant(tmp_path: Path) -> None:
    folder = tmp_path / "a lab with 100%"
    folder.mkdir()
    ssh.write_config(
        folder, {"target1": 20001, "host1": 20002}, {"target1": "ssh-ed25519 AAAA c", "host1": "ssh-ed25519 BBBB"}
    )
    assert (folder / "known_hosts").read_text() == "target1 ssh-ed25519 AAAA\nhost1 ssh-ed25519 BBBB\n"
    command = ["ssh", "-G", "-F", str(folder / "ssh_config"), "host1"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    read = dict(line.split(" ", 1) for line in lines)
    assert (read["hostname"], read["port"], read["user"]) == ("127.0.0.1", "20002", "root")
    assert (read["hostkeyalias"], read["stricthostkeychecking"]) == ("host1", "true")
    assert folder.name in read["userknownhostsfile"]
    assert folder.name.replace("%", "%%") in read["identityfile"]


def test_a_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    ssh.make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key.pub").read_text().startswith("ssh-ed25519 ")
