# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import report, sysfs
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag


def test_nothing_there(tmp_path: Path) -> None:
    assert sysfs.read(str(tmp_path)) == sysfs.Nvme()


def test_reads_controllers_subsystems_and_namespaces(tmp_path: Path) -> None:
    nvme_tree.subsystem(tmp_path, namespaces=(1, 2))
    nvme_tree.controller(tmp_path, 0, namespaces=(1, 2))
    nvme_tree.controller(
        tmp_path, 10, address="traddr=::ffff:192.0.2.2,trsvcid=4420,host_iface=rail0", ctrl_loss_tmo=600
    )
    nvme_tree.write(tmp_path / "sys/class/nvme/nvme2", transport="pcie", subsysnqn="nqn.2014.08.org.nvmexpress:8086")
    found = sysfs.read(str(tmp_path))
    assert [one.name for one in found.controllers] == ["nvme0", "nvme10"]
    first, second = found.controllers
    assert (first.traddr, first.trsvcid, first.src_addr, first.queue_count) == ("192.0.2.1", "4420", "198.51.100.1", 5)
    assert first.options == {"keep_alive_tmo": 5, "reconnect_delay": 2, "ctrl_loss_tmo": -1, "fast_io_fail_tmo": -1}
    assert [path.namespace for path in first.paths] == ["nvme0n1", "nvme0n2"]
    assert (second.traddr, second.host_iface, second.options["ctrl_loss_tmo"]) == ("192.0.2.2", "rail0", 600)
    (subsystem,) = found.subsystems
    assert [(one.name, one.nsid, one.size) for one in subsystem.namespaces] == [
        ("nvme0n1", 1, 131072 * 512),
        ("nvme0n2", 2, 131072 * 512),
    ]
    json.dumps(sysfs.as_dict(found))


def test_without_native_multipath_the_namespace_is_below_its_controller(tmp_path: Path) -> None:
    nvme_tree.subsystem(tmp_path, namespaces=())
    nvme_tree.controller(tmp_path, 3, namespaces=())
    nvme_tree.write(tmp_path / "sys/class/nvme/nvme3/nvme3n1", nsid=1)
    nvme_tree.write(tmp_path / "sys/class/nvme-subsystem/nvme-subsys0/nvme3/nvme3n1", nsid=1)
    nvme_tree.write(tmp_path / "sys/class/block/nvme3n1", nsid=1, uuid="u", size=8)
    found = sysfs.read(str(tmp_path))
    assert found.controllers[0].paths[0].namespace == "nvme3n1"
    assert found.subsystems[0].namespaces[0].name == "nvme3n1"


def test_a_path_that_is_not_accessible_takes_no_io(tmp_path: Path) -> None:
    folder = nvme_tree.controller(tmp_path)
    assert sysfs.read(str(tmp_path)).controllers[0].reaches("nvme0n1")
    nvme_tree.write(folder / "nvme0c0n1", ana_state="inaccessible")
    assert not sysfs.read(str(tmp_path)).controllers[0].reaches("nvme0n1")


def test_mptcp_is_recognised_by_its_sockets(tmp_path: Path) -> None:
    nvme_tree.controller(tmp_path, 0, transport="tcp")
    nvme_tree.controller(tmp_path, 1, transport="tcp", address="traddr=192.0.2.9,trsvcid=4420")
    found = sysfs.recognise(sysfs.read(str(tmp_path)), [("192.0.2.1", "4420"), ("192.0.2.9", "22")])
    assert [one.transport for one in found.controllers] == ["mptcp", "tcp"]


def test_without_sockets_what_is_known_decides(tmp_path: Path) -> None:
    nvme_tree.controller(tmp_path, 0, transport="tcp", state="connecting")
    nvme_tree.controller(tmp_path, 1, transport="tcp", state="connecting", address="traddr=192.0.2.9,trsvcid=4420")
    nvme_tree.controller(
        tmp_path,
        2,
        transport="tcp",
        state="resetting",
        cntrltype="discovery",
        subsysnqn="nqn.2026-11.org.example:its.own",
        address="traddr=192.0.2.8,trsvcid=4420",
    )
    known = {
        f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}",
        f"mptcp 192.0.2.9:4420 {nvme_tree.NQN}",
        f"tcp 192.0.2.9:4420 {nvme_tree.NQN}",
        f"mptcp 192.0.2.8:4420 {DISCOVERY_NQN}",
    }
    nvme = sysfs.read(str(tmp_path))
    found = [one.transport for one in sysfs.recognise(nvme, [], known).controllers]
    assert found == ["mptcp", "tcp", "mptcp"]
    assert [one.transport for one in sysfs.recognise(nvme, []).controllers] == ["tcp"] * 3
    # One that is live has sockets, and they tell.
    nvme_tree.controller(tmp_path, 0, transport="tcp")
    nvme = sysfs.recognise(sysfs.read(str(tmp_path)), [], known)
    assert nvme.controllers[0].transport == "tcp"


def test_a_kernel_that_tells_them_apart_is_believed(tmp_path: Path) -> None:
    nvme_tree.controller(tmp_path, 0, transport="tcp")
    nvme_tree.controller(tmp_path, 1, transport="mptcp")
    found = sysfs.recognise(sysfs.read(str(tmp_path)), [("192.0.2.1", "4420")])
    assert [one.transport for one in found.controllers] == ["tcp", "mptcp"]


def test_report_joins_controllers_with_their_sockets(tmp_path: Path) -> None:
    nvme_tree.subsystem(tmp_path)
    nvme_tree.controller(tmp_path, 0)
    socket = sock_diag.Connection(7, "198.51.100.1", 40000, "192.0.2.1", 4420, True, False)
    other = sock_diag.Connection(8, "198.51.100.1", 40001, "192.0.2.7", 4420, True, False)
    found = report.report(sysfs.read(str(tmp_path)), lambda: [socket, other], lambda device: [device])
    (portal,) = found["portals"]
    assert (portal["controllers"], portal["queues"]) == (["nvme0"], 5)
    assert [one["token"] for one in portal["connections"]] == [7]
    assert found["subsystems"][0]["namespaces"][0]["users"] == ["nvme0n1"]
    json.dumps(found)


@pytest.mark.parametrize(
    ("host", "target", "told"),
    [("none", "none", "none"), (nvme_tree.SECRET, "none", "host"), (nvme_tree.SECRET, nvme_tree.SECRET, "mutual")],
)
def test_report_tells_the_authentication_and_no_secret(tmp_path: Path, host: str, target: str, told: str) -> None:
    nvme_tree.controller(tmp_path, dhchap_secret=host, dhchap_ctrl_secret=target)
    found = report.report(sysfs.read(str(tmp_path)), list, lambda device: [], lambda path: secret(str(tmp_path) + path))
    assert found["controllers"][0]["authentication"] == told
    assert "DHHC-1" not in json.dumps(found)
