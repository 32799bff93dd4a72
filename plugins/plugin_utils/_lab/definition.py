# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""What a lab consists of: machines, their disks, and their NIC in each network. Pure; no file, no process."""

from __future__ import annotations

import re
import typing as t
from dataclasses import asdict, dataclass

import netaddr
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError

# The PCI slots that the machine's command line keeps for each kind (see _lab_qemu).
MAX_NETWORKS = 8
MAX_DISKS = 14

# How a machine comes to its kernel: QEMU loads it, or a boot loader from the machine's own disk (BIOS; UEFI).
DIRECT, GRUB, SYSTEMD_BOOT = BOOTS = ("direct", "grub", "systemd-boot")

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
# IFNAMSIZ is 16 with the final NUL (linux/if.h).
_NIC_NAME = re.compile(r"[a-z][a-z0-9_-]{0,14}")
# VIRTIO_BLK_ID_BYTES is 20 (linux/virtio_blk.h); udev shows it as /dev/disk/by-id/virtio-SERIAL.
_SERIAL = re.compile(r"[A-Za-z0-9_-]{1,20}")
_SIZE = re.compile(r"[1-9][0-9]*[MG]")
_RATE = re.compile(r"[1-9][0-9]*[KMG]")


@dataclass(frozen=True)
class Disk:
    """A data disk: its serial (up to 20 characters) and its size as qemu-img writes it (512M, 1G)."""

    serial: str
    size: str


@dataclass(frozen=True)
class Nic:
    """A machine's NIC in a network: its name in the guest, MAC address, address with prefix length, rate and MTU.

    rate is what it sends at most, in bit/s with systemd's suffixes (40M); empty is as fast as the machine can.
    mtu is in bytes; 0 is the driver's own.
    """

    name: str
    mac: str
    address: str
    rate: str = ""
    mtu: int = 0


@dataclass(frozen=True)
class Machine:
    """One machine. memory is in MiB; boot is one of BOOTS."""

    name: str
    number: int
    memory: int
    cpus: int
    management_mac: str
    nics: tuple[Nic, ...]
    disks: tuple[Disk, ...]
    boot: str = DIRECT


@dataclass(frozen=True)
class Lab:
    """All machines, in the order in which they start."""

    machines: tuple[Machine, ...]

    def members(self, network: str) -> list[str]:
        """The names of the machines with a NIC in `network`, in the order of their start."""
        return [machine.name for machine in self.machines if any(nic.name == network for nic in machine.nics)]

    def boots(self) -> list[str]:
        """The ways to boot that occur, in the order of BOOTS."""
        return [boot for boot in BOOTS if any(machine.boot == boot for machine in self.machines)]

    def as_data(self) -> list[dict[str, t.Any]]:
        """Plain data, for a hash or a file."""
        return [asdict(machine) for machine in self.machines]


def define(machines: t.Sequence[t.Mapping[str, t.Any]], networks: t.Sequence[t.Mapping[str, t.Any]]) -> Lab:
    """The lab of `lab_machines` and `lab_networks`, or LabError naming the variable and the value."""
    cidrs = _networks(networks)
    links = _links(networks)
    lab = Lab(tuple(_machine(machine, cidrs, links) for machine in machines))
    if not lab.machines:
        raise LabError("lab_machines is empty: list at least one machine")
    for what in ("name", "number"):
        values = [getattr(machine, what) for machine in lab.machines]
        for value in values:
            if values.count(value) > 1:
                raise LabError(f"lab_machines: {what} {value!r} is used twice; each machine needs its own")
    return lab


def mac_address(index: int, number: int) -> str:
    """A locally administered MAC address (52:54:00, as QEMU's own) for NIC `index` of machine `number`."""
    return f"52:54:00:{index:02x}:{number >> 8:02x}:{number & 0xFF:02x}"


def _networks(networks: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, netaddr.IPNetwork]:
    cidrs: dict[str, netaddr.IPNetwork] = {}
    if len(networks) > MAX_NETWORKS:
        raise LabError(f"lab_networks has {len(networks)} networks; a lab machine has slots for {MAX_NETWORKS}")
    for network in networks:
        name, cidr = network["name"], network["cidr"]
        _match(_NIC_NAME, name, "lab_networks: name", "1 to 15 of a-z, 0-9, '-' and '_', a letter first")
        if name in cidrs or name == "mgmt0":
            raise LabError(f"lab_networks: name {name!r} is taken; each network needs its own")
        try:
            value = netaddr.IPNetwork(cidr)
        except (netaddr.AddrFormatError, ValueError) as error:
            raise LabError(f"lab_networks: {name}: cidr {cidr!r} is no network: {error}") from None
        if value.ip != value.network:
            raise LabError(f"lab_networks: {name}: cidr {cidr!r} has host bits; write {value.cidr}")
        for other, known in cidrs.items():
            if value in known or known in value:
                raise LabError(f"lab_networks: {name} {value} overlaps {other} {known}")
        cidrs[name] = value
    return cidrs


def _links(networks: t.Sequence[t.Mapping[str, t.Any]]) -> dict[str, tuple[str, int]]:
    """Rate and MTU of each network's NICs."""
    for network in networks:
        where = f"lab_networks: {network['name']}:"
        if network.get("rate"):
            _match(_RATE, network["rate"], f"{where} rate", "a number with K, M or G (bit/s)")
        # 1280 is the least that IPv6 works with; QEMU's frames hold 64 KiB.
        if network.get("mtu") and not 1280 <= network["mtu"] <= 65535:
            raise LabError(f"{where} mtu {network['mtu']} is outside 1280..65535")
    return {network["name"]: (network.get("rate") or "", network.get("mtu") or 0) for network in networks}


def _machine(
    machine: t.Mapping[str, t.Any],
    cidrs: t.Mapping[str, netaddr.IPNetwork],
    links: t.Mapping[str, tuple[str, int]],
) -> Machine:
    name, number = machine["name"], machine["number"]
    _match(_NAME, name, "lab_machines: name", "a host name of up to 32 of a-z, 0-9 and '-', a letter first")
    if not 1 <= number <= 0xFFFF:
        raise LabError(f"lab_machines: {name}: number {number} is outside 1..65535")
    if machine["memory"] < 512 or machine["cpus"] < 1:
        raise LabError(
            "lab_machines: {}: memory {} MiB and cpus {}: at least 512 and 1 are needed".format(
                name, machine["memory"], machine["cpus"]
            )
        )
    boot = machine.get("boot") or DIRECT
    if boot not in BOOTS:
        raise LabError(f"lab_machines: {name}: boot {boot!r} is not one of {', '.join(BOOTS)}")
    chosen = machine.get("networks")
    for network in chosen or ():
        if network not in cidrs:
            raise LabError(f"lab_machines: {name}: networks: {network!r} is not in lab_networks")
    nics = tuple(
        Nic(network, mac_address(index, number), _address(name, number, network, cidr), *links[network])
        for index, (network, cidr) in enumerate(cidrs.items())
        if chosen is None or network in chosen
    )
    return Machine(
        name, number, machine["memory"], machine["cpus"], mac_address(0xFF, number), nics, _disks(name, machine), boot
    )


def _address(machine: str, number: int, network: str, cidr: netaddr.IPNetwork) -> str:
    # The last address of an IPv4 network is its broadcast address.
    usable = cidr.size - (2 if cidr.version == 4 else 1)
    if number > usable:
        raise LabError(
            f"lab_machines: {machine}: number {number} does not fit {network} {cidr}, which has {usable} addresses"
        )
    return f"{cidr.network + number}/{cidr.prefixlen}"


def _disks(name: str, machine: t.Mapping[str, t.Any]) -> tuple[Disk, ...]:
    disks = machine.get("disks") or []
    if len(disks) > MAX_DISKS:
        raise LabError(f"lab_machines: {name}: {len(disks)} disks; a lab machine has slots for {MAX_DISKS}")
    serials = [disk["serial"] for disk in disks]
    for disk in disks:
        where = f"lab_machines: {name}: disks"
        _match(_SERIAL, disk["serial"], where + ": serial", "1 to 20 of letters, digits, '-' and '_'")
        _match(_SIZE, disk["size"], where + ": size", "a number with M or G, for example 512M")
        if serials.count(disk["serial"]) > 1:
            raise LabError("{}: serial {!r} is used twice; each disk needs its own".format(where, disk["serial"]))
    return tuple(Disk(disk["serial"], disk["size"]) for disk in disks)


def _match(pattern: re.Pattern[str], value: str, what: str, rule: str) -> None:
    if pattern.fullmatch(value) is None:
        raise LabError(f"{what} {value!r} is not {rule}")
