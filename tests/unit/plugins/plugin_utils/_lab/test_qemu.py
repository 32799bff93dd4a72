# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: cables that fit together, slots that do not collide, nothing that reaches out."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import BOOTS, Lab, define
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.qemu import Boot, command, disk_files

BELOW = {
    "root": [("/proc/self/fd/7", "qcow2"), ("/proc/self/fd/8", "raw")],
    "disk-vol0": [("/proc/self/fd/9", "qcow2")],
}


def lab(machines: int, networks: int = 4, disks: int = 1, boot: str = "direct") -> Lab:
    return define(
        [
            {
                "name": f"m{index}",
                "number": index + 1,
                "memory": 1280,
                "cpus": 2,
                "boot": boot,
                "disks": [{"serial": f"vol{disk}", "size": "1G"} for disk in range(disks)],
            }
            for index in range(machines)
        ],
        [{"name": f"rail{index}", "cidr": f"10.10.{index}.0/24"} for index in range(networks)],
    )


def words_of(a_lab: Lab, index: int, accelerator: str = "tcg") -> list[str]:
    boot = Boot(accelerator, "/images/x/vmlinuz", "/images/x/initrd", "/images/x/code.fd")
    return command(a_lab, a_lab.machines[index], boot, BELOW, ["system.hostname"], 20022)


def options(words: list[str], flag: str) -> list[str]:
    return [value for name, value in zip(words, words[1:]) if name == flag]


@pytest.mark.parametrize("machines", [1, 2, 3, 5])
def test_every_cable_has_exactly_one_end_that_listens_and_one_that_connects(machines: int) -> None:
    a_lab = lab(machines)
    ends: Counter[tuple[str, str]] = Counter()
    for index, machine in enumerate(a_lab.machines):
        for value in options(words_of(a_lab, index), "-netdev"):
            match = re.fullmatch(r"stream,id=[^,]+,server=(on|off),addr\.type=unix,addr\.path=(.+)", value)
            if match:
                path = match[2] if match[1] == "off" else f"../{machine.name}/{match[2]}"
                ends[path, match[1]] += 1
    assert set(ends.values()) <= {1}
    assert {path for path, role in ends if role == "on"} == {path for path, role in ends if role == "off"}
    assert len(ends) == 2 * 4 * (machines - 1)


def test_two_machines_need_no_hub_and_a_third_joins_the_first_one_s() -> None:
    assert not [v for v in options(words_of(lab(2), 0), "-netdev") if v.startswith("hubport")]
    hub = [v for v in options(words_of(lab(3, networks=1), 0), "-netdev") if v.startswith("hubport")]
    assert hub == [
        "hubport,id=rail0,hubid=0",
        "hubport,id=hub-rail0-m1,hubid=0,netdev=rail0-m1",
        "hubport,id=hub-rail0-m2,hubid=0,netdev=rail0-m2",
    ]


@pytest.mark.parametrize("boot", BOOTS)
@pytest.mark.parametrize(("networks", "disks"), [(1, 0), (8, 14)])
def test_no_two_devices_share_a_slot_or_an_id(networks: int, disks: int, boot: str) -> None:
    devices = options(words_of(lab(2, networks, disks, boot), 0), "-device")
    for key in ("addr", "id"):
        values = re.findall(rf",{key}=([^,]+)", " ".join(devices).replace(" ", " ,"))
        assert len(values) >= networks + disks
        assert len(set(values)) == len(values)
    assert all(2 <= int(slot, 16) <= 31 for slot in re.findall(r",addr=(0x[0-9a-f]+)", " ".join(devices)))


def test_the_management_nic_reaches_nothing_and_is_reached_on_loopback_alone() -> None:
    (user,) = [v for v in options(words_of(lab(2), 1), "-netdev") if v.startswith("user")]
    assert user == "user,id=mgmt0,restrict=on,hostfwd=tcp:127.0.0.1:20022-:22"


def test_disks_are_named_by_their_serial_and_the_root_disk_comes_first() -> None:
    a_lab = lab(1, disks=2)
    assert list(disk_files(a_lab.machines[0]).values()) == ["root.qcow2", "disk-vol0.qcow2", "disk-vol1.qcow2"]
    disks = [v for v in options(words_of(a_lab, 0), "-device") if v.startswith("virtio-blk-pci")]
    assert ["serial=vol0" in disk for disk in disks] == [False, True, False]
    slots = [int(re.findall(r"addr=(0x[0-9a-f]+)", disk)[0], 16) for disk in disks]
    assert slots == sorted(slots)


@pytest.mark.parametrize(("accelerator", "cpu"), [("tcg", "max,la57=off,erms=off,fsrm=off"), ("kvm", "host")])
def test_the_accelerator_decides_the_processor(accelerator: str, cpu: str) -> None:
    words = words_of(lab(1), 0, accelerator)
    assert options(words, "-cpu") == [cpu]
    assert options(words, "-accel")[0].split(",")[0] == accelerator


def test_credentials_are_files_and_socket_names_stay_short() -> None:
    words = words_of(lab(2), 0)
    assert options(words, "-fw_cfg") == [
        "name=opt/io.systemd.credentials/system.hostname,file=credentials/system.hostname"
    ]
    assert all(len(path) < 108 for path in re.findall(r"addr\.path=([^, ]+)", " ".join(words)))


def test_a_machine_that_boots_directly_is_given_its_kernel_and_has_no_watchdog() -> None:
    words = words_of(lab(1), 0)
    assert options(words, "-kernel") + options(words, "-initrd") == ["/images/x/vmlinuz", "/images/x/initrd"]
    assert options(words, "-append")[0].startswith("root=/dev/vda rw console=ttyS0 ")
    assert "i6300esb" not in " ".join(words)
    assert "code.fd" not in " ".join(words)
    assert "bootindex" not in " ".join(words)


@pytest.mark.parametrize("boot", ["grub", "systemd-boot"])
def test_a_loader_boots_from_the_root_disk_alone_and_a_watchdog_resets_the_machine(boot: str) -> None:
    words = words_of(lab(1, disks=2, boot=boot), 0)
    assert not {"-kernel", "-initrd", "-append"} & set(words)
    (first,) = [device for device in options(words, "-device") if "bootindex" in device]
    assert "drive=root," in first
    assert [device for device in options(words, "-device") if device.startswith("i6300esb")]
    assert options(words, "-action") == ["watchdog=reset"]


def test_uefi_s_code_is_the_image_s_and_its_variables_are_the_machine_s() -> None:
    a_lab = lab(1, boot="systemd-boot")
    assert disk_files(a_lab.machines[0])["vars"] == "vars.qcow2"
    words = words_of(a_lab, 0)
    (flash,) = [value for value in options(words, "-machine") if "pflash" in value]
    nodes = dict(pair.split("=") for pair in flash.split(","))
    blockdevs = {value.split("node-name=")[1].split(",")[0]: value for value in options(words, "-blockdev")}
    assert "read-only=on" in blockdevs[nodes["pflash0"]]
    assert "file.filename=/images/x/code.fd" in blockdevs[nodes["pflash0"]]
    assert "file.filename=vars.qcow2" in blockdevs[nodes["pflash1"]]
    assert not [device for device in options(words, "-device") if "drive=vars" in device]


def test_a_bios_machine_has_no_flash() -> None:
    a_lab = lab(1, boot="grub")
    assert "vars" not in disk_files(a_lab.machines[0])
    assert "pflash" not in " ".join(words_of(a_lab, 0))


def test_an_overlay_follows_what_it_lies_on_and_only_itself_is_written() -> None:
    nodes = {value.split("node-name=")[1].split(",")[0]: value for value in options(words_of(lab(1), 0), "-blockdev")}
    assert list(nodes) == ["root-2", "root-1", "root", "disk-vol0-1", "disk-vol0"]
    assert [name for name, value in nodes.items() if "read-only=on" not in value] == ["root", "disk-vol0"]
    on = {name: re.findall(r"backing=([^,]+)", value) for name, value in nodes.items()}
    assert on == {
        "root-2": [],
        "root-1": ["root-2"],
        "root": ["root-1"],
        "disk-vol0-1": [],
        "disk-vol0": ["disk-vol0-1"],
    }


@pytest.mark.parametrize("boot", BOOTS)
def test_who_breaks_out_starts_nothing_and_becomes_nobody_else(boot: str) -> None:
    (sandbox,) = options(words_of(lab(1, boot=boot), 0), "-sandbox")
    first, *rules = sandbox.split(",")
    assert first == "on"
    assert set(rules) >= {"elevateprivileges=deny", "spawn=deny", "resourcecontrol=deny", "obsolete=deny"}
