# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The QEMU command line of a lab machine. Pure: from a definition to a list of words, each with its reason.

All file and socket names are relative to the machine's own folder, which is QEMU's working directory: a unix socket
path has room for 108 bytes only (unix(7)), a lab may be deep in the file system, and QEMU's user may not come there.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import (
    DIRECT,
    SYSTEMD_BOOT,
    Lab,
    Machine,
    Nic,
)

QEMU = "qemu-system-x86_64"
SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

# PCI slots are fixed, so that a device plugged out and in again is the same to the guest. 0 and 1 are the board's.
_ROOT_SLOT, _MANAGEMENT_SLOT, _RNG_SLOT, _WATCHDOG_SLOT, _FIRST_NIC_SLOT, _FIRST_DISK_SLOT = 2, 3, 4, 5, 8, 16

# Besides root=: whatever the way to the kernel, it starts with the same.
KERNEL_COMMAND_LINE = (
    "rw "
    # The serial console is the machine's console.log; errors only, because each character costs an exit to QEMU.
    "console=ttyS0 quiet "
    # QEMU's timers other than the TSC cost an exit for each reading, and TCG's TSC is steady.
    "clocksource=tsc tsc=reliable "
    # Nobody else's code runs in a lab, and the mitigations' barriers are expensive to emulate.
    "mitigations=off "
    # A machine that panics comes back like one with a watchdog would.
    "panic=10 "
    # systemd needs no generator for partitions, swap or hibernation here.
    "systemd.gpt_auto=no noresume"
)


@dataclass(frozen=True)
class Boot:
    """What machines of a kind boot. accelerator: kvm or tcg; the others are names of files.

    A kernel and an initial RAM disk for those that boot directly, UEFI's code for those that boot through systemd-boot.
    """

    accelerator: str
    kernel: str = ""
    initrd: str = ""
    firmware: str = ""


# Block node → the files below its own, nearest first, each with its format.
Below = t.Mapping[str, t.Sequence[t.Tuple[str, str]]]


def command(
    lab: Lab, machine: Machine, boot: Boot, below: Below, credentials: t.Iterable[str], ssh_port: int | None
) -> list[str]:
    """The words of `machine`'s command line.

    credentials: names of the files in the folder `credentials`.
    ssh_port: forwarded from the controller's loopback to the machine's ssh.
    """
    return [
        QEMU,
        *_board(machine, boot),
        *_start(machine, boot, below),
        *_disks(machine, below),
        *_management(machine, ssh_port),
        *(word for index, nic in enumerate(machine.nics) for word in _nic(lab, machine, index, nic)),
        *(word for name in credentials for word in _credential(name)),
    ]


def disk_files(machine: Machine) -> dict[str, str]:
    """Block node → file name in the machine's folder, the root disk first; vars is where UEFI keeps its variables."""
    names = ["root", *("disk-" + disk.serial for disk in machine.disks)]
    if machine.boot == SYSTEMD_BOOT:
        names.append("vars")
    return {name: name + ".qcow2" for name in names}


def _board(machine: Machine, boot: Boot) -> list[str]:
    # 256 MiB of translated code hold a lab machine's working set; the default is 1 GiB of the controller's memory.
    accelerators = {"kvm": "kvm", "tcg": "tcg,thread=multi,tb-size=256"}
    # la57: with five levels of page tables TCG walks one more level for each translation. erms and fsrm: kernels that
    # have them copy by bytes, each of which TCG emulates by itself; copying takes a quarter of the time without them.
    models = {"kvm": "host", "tcg": "max,la57=off,erms=off,fsrm=off"}
    return [
        # Seen in `ps`.
        *("-name", f"{machine.name},process={machine.name}"),
        # Exactly the devices named here, whatever the defaults and the configuration of this QEMU.
        *("-nodefaults", "-no-user-config", "-display", "none"),
        # Whoever breaks out of a guest starts no program, becomes nobody else, and has no system call of the past.
        *("-sandbox", SANDBOX),
        # pc plugs PCI devices out and in on its root bus, which q35 does behind root ports only. hpet and vmport are
        # timers and ports that the guest would find and poll.
        *("-machine", "pc,hpet=off,vmport=off", "-accel", accelerators[boot.accelerator]),
        *("-cpu", models[boot.accelerator], "-smp", str(machine.cpus), "-m", str(machine.memory)),
        *("-chardev", "file,id=console,path=console.log,append=on", "-serial", "chardev:console"),
        # The control socket: snapshot, quit, plugging devices, cutting links.
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        # Entropy at boot, so that ssh does not wait for it.
        *("-object", "rng-random,id=entropy,filename=/dev/urandom"),
        *("-device", f"virtio-rng-pci,rng=entropy,addr={_RNG_SLOT:#x}"),
        # Tells the kernel that it was restored, so that two labs of one snapshot do not draw the same random numbers.
        *("-device", "vmgenid,guid=auto"),
    ]


def _start(machine: Machine, boot: Boot, below: Below) -> list[str]:
    """How the machine comes to its kernel."""
    if machine.boot == DIRECT:
        # No boot loader to wait for, and a reboot inside the guest takes the same way. The root disk is the first PCI
        # disk; the data disks come in later slots.
        return [
            *("-kernel", boot.kernel, "-initrd", boot.initrd),
            *("-append", f"root=/dev/vda {KERNEL_COMMAND_LINE}"),
        ]
    # Whoever boots through a loader may try kernels that hang, and is reset then as a server's own watchdog would do.
    watchdog = ["-device", f"i6300esb,id=watchdog,addr={_WATCHDOG_SLOT:#x}", "-action", "watchdog=reset"]
    if machine.boot != SYSTEMD_BOOT:
        return watchdog
    # The second flash is the machine's own: the boot entry to take once, and what a panic leaves, are UEFI variables.
    return [
        *watchdog,
        *("-blockdev", f"driver=raw,node-name=firmware,read-only=on,file.driver=file,file.filename={boot.firmware}"),
        *_blockdevs("vars", disk_files(machine)["vars"], below),
        *("-machine", "pflash0=firmware,pflash1=vars"),
    ]


def _disks(machine: Machine, below: Below) -> list[str]:
    words: list[str] = []
    files = disk_files(machine)
    slots = {"root": _ROOT_SLOT, **{"disk-" + d.serial: _FIRST_DISK_SLOT + i for i, d in enumerate(machine.disks)}}
    for node, slot in slots.items():
        device = f"virtio-blk-pci,drive={node},id=dev-{node},addr={slot:#x}"
        if node != "root":
            # The guest shows it as /dev/disk/by-id/virtio-SERIAL.
            device += ",serial=" + node[len("disk-") :]
        elif machine.boot != DIRECT:
            # The firmware looks for a loader here, and nowhere else first.
            device += ",bootindex=0"
        # discard: the file shrinks with its content.
        words += [*_blockdevs(node, files[node], below, ",discard=unmap"), "-device", device]
    return words


def _blockdevs(node: str, name: str, below: Below, options: str = "") -> list[str]:
    """The node of the machine's own file, after those of what it is an overlay of."""
    words: list[str] = []
    backing = ""
    for level, (file, driver) in reversed(list(enumerate(below.get(node, ()), start=1))):
        named = f"driver={driver},node-name={node}-{level},read-only=on,file.driver=file,file.filename={file}"
        words += ["-blockdev", named + backing]
        # Said here, because QEMU's user cannot follow the path that the overlay itself has of it.
        backing = f",backing={node}-{level}"
    # no-flush: a lab need not survive a power cut of the controller.
    own = f"driver=qcow2,node-name={node},file.driver=file,file.filename={name},cache.no-flush=on"
    return [*words, "-blockdev", own + backing + options]


def _management(machine: Machine, ssh_port: int | None) -> list[str]:
    # restrict=on: the machine reaches nothing but answers what comes through the forwarded port.
    forward = "" if ssh_port is None else f",hostfwd=tcp:127.0.0.1:{ssh_port}-:22"
    return [
        *("-netdev", "user,id=mgmt0,restrict=on" + forward),
        *("-device", _nic_device("mgmt0", machine.management_mac, _MANAGEMENT_SLOT)),
    ]


def _nic_device(name: str, mac: str, slot: int) -> str:
    # romfile: no network boot code.
    return f"virtio-net-pci,netdev={name},id=nic-{name},mac={mac},addr={slot:#x},romfile="


def _nic(lab: Lab, machine: Machine, index: int, nic: Nic) -> list[str]:
    """A NIC in a network. The first machine of the network listens, one socket for each other member.

    With two members that socket is the cable. With more, a hub inside the first machine's QEMU joins its own NIC and
    all sockets; no bridge, no daemon, and the same rights as any other process.
    """
    first, *others = lab.members(nic.name)
    device = ["-device", _nic_device(nic.name, nic.mac, _FIRST_NIC_SLOT + index)]
    if machine.name != first:
        return ["-netdev", _cable(nic.name, False, f"../{first}/{nic.name}-{machine.name}.sock"), *device]
    if len(others) == 1:
        return ["-netdev", _cable(nic.name, True, f"{nic.name}-{others[0]}.sock"), *device]
    words = ["-netdev", f"hubport,id={nic.name},hubid={index}"]
    for other in others:
        cable = f"{nic.name}-{other}"
        words += ["-netdev", _cable(cable, True, cable + ".sock")]
        words += ["-netdev", f"hubport,id=hub-{cable},hubid={index},netdev={cable}"]
    return words + device


def _cable(name: str, server: bool, path: str) -> str:
    return "stream,id={},server={},addr.type=unix,addr.path={}".format(name, "on" if server else "off", path)


def _credential(name: str) -> list[str]:
    # From a file, because a private key has no place on a command line.
    return ["-fw_cfg", f"name=opt/io.systemd.credentials/{name},file=credentials/{name}"]
