# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""One reading of what the NVMe driver has in sysfs: fabrics controllers, their paths, subsystems and namespaces."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import Any, Collection, Iterable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import (
    DISCOVERY_NQN,
    OPTIONS,
    name_of,
    normalise_address,
)

#: Controllers in these states are on their way out; the kernel does not count them as connected either.
_LEAVING = ("deleting", "deleting (no IO)", "dead")
#: ANA states in which a path takes I/O (NVM Express Base Specification 2.1, 8.1.1); "" is a subsystem without ANA.
_ACCESSIBLE = ("optimized", "non-optimized", "")


@dataclass(frozen=True)
class Path:
    """A namespace as one controller reaches it; namespace is the device that is used, for example C(nvme0n1)."""

    namespace: str
    nsid: int
    ana_state: str


@dataclass(frozen=True)
class Controller:
    """A fabrics controller. Timeouts are in seconds, -1 for never; transport is what it really uses (see recognise)."""

    name: str
    path: str
    transport: str
    sysfs_transport: str
    traddr: str
    trsvcid: str
    host_traddr: str
    host_iface: str
    src_addr: str
    subsysnqn: str
    hostnqn: str
    hostid: str
    state: str
    cntrltype: str
    cntlid: int
    queue_count: int
    options: Mapping[str, int]
    paths: tuple[Path, ...]

    @property
    def leaving(self) -> bool:
        return self.state in _LEAVING

    def reaches(self, namespace: str) -> bool:
        """Whether I/O to the namespace can take this controller now."""
        return self.state == "live" and any(
            path.namespace == namespace and path.ana_state in _ACCESSIBLE for path in self.paths
        )


@dataclass(frozen=True)
class Namespace:
    """A block device of a subsystem; size in bytes, uuid and nguid empty when the target gives none."""

    name: str
    nsid: int
    uuid: str
    nguid: str
    wwid: str
    size: int


@dataclass(frozen=True)
class Subsystem:
    name: str
    path: str
    subsysnqn: str
    iopolicy: str
    model: str
    serial: str
    namespaces: tuple[Namespace, ...]


@dataclass(frozen=True)
class Nvme:
    """The whole reading, both lists in the order of the kernel's instance numbers."""

    controllers: tuple[Controller, ...] = ()
    subsystems: tuple[Subsystem, ...] = ()
    device: bool = field(default=False)

    def subsystem(self, subsysnqn: str) -> Subsystem | None:
        return next((found for found in self.subsystems if found.subsysnqn == subsysnqn), None)


def read(root: str = "/") -> Nvme:
    """Read everything; what disappears meanwhile is left out. root is where / is, for tests."""
    controllers = [_controller(root, name) for name in _names(os.path.join(root, "sys/class/nvme"), r"nvme\d+")]
    base = os.path.join(root, "sys/class/nvme-subsystem")
    subsystems = [_subsystem(os.path.join(base, name), root) for name in _names(base, r"nvme-subsys\d+")]
    return Nvme(
        controllers=tuple(found for found in controllers if found),
        subsystems=tuple(found for found in subsystems if found),
        device=os.path.exists(os.path.join(root, "dev/nvme-fabrics")),
    )


def recognise(nvme: Nvme, mptcp_portals: Iterable[tuple[str, str]], known: Collection[str] = ()) -> Nvme:
    """The reading with the true transport of every controller.

    A kernel of the posted series says C(tcp) for both. mptcp_portals are the remote (address, port) of this machine's
    MPTCP connections: a controller C(tcp) of such a portal is MPTCP, unless the kernel names one C(mptcp) there.
    One that is not live may have no sockets: known, names of connections that are ours or declared, decides then.
    """
    named = {(one.traddr, one.trsvcid) for one in nvme.controllers if one.sysfs_transport == "mptcp"}
    portals = {(normalise_address(address), port) for address, port in mptcp_portals} - named
    controllers = []
    for one in nvme.controllers:
        away = one.state != "live" and _is_known(one, "mptcp", known) and not _is_known(one, "tcp", known)
        mptcp = one.sysfs_transport == "tcp" and ((one.traddr, one.trsvcid) in portals or away)
        controllers.append(replace(one, transport="mptcp") if mptcp else one)
    return Nvme(tuple(controllers), nvme.subsystems, nvme.device)


def _is_known(one: Controller, transport: str, known: Collection[str]) -> bool:
    # Names have no host NQN where it is this machine's; a discovery service may show another NQN than it was asked by.
    where = {key: getattr(one, key) for key in ("traddr", "trsvcid", "host_traddr", "host_iface")}
    nqns = (one.subsysnqn, DISCOVERY_NQN) if one.cntrltype == "discovery" else (one.subsysnqn,)
    names = [(nqn, host) for nqn in nqns for host in ("", one.hostnqn)]
    return any(name_of({**where, "transport": transport, "subsysnqn": n, "hostnqn": h}) in known for n, h in names)


def _names(folder: str, pattern: str) -> list[str]:
    try:
        found = [name for name in os.listdir(folder) if re.fullmatch(pattern, name)]
    except FileNotFoundError:
        return []
    return sorted(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _attribute(folder: str, name: str) -> str:
    # A host of 64 controllers has 1100 of these: without Python's streams a reading takes a third of the time.
    try:
        handle = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # The attribute does not exist for this kind of object.
        return ""
    try:
        return os.read(handle, 4096).decode(errors="replace").strip()
    except OSError:
        # The object is just going.
        return ""
    finally:
        os.close(handle)


def _number(text: str) -> int:
    """A number of sysfs; C(off) is the kernel's word for never."""
    return int(text) if re.fullmatch(r"-?\d+", text) else -1


def _controller(root: str, name: str) -> Controller | None:
    folder = os.path.join(root, "sys/class/nvme", name)
    subsysnqn, transport = _attribute(folder, "subsysnqn"), _attribute(folder, "transport")
    if not subsysnqn or transport in ("", "pcie", "apple-nvme"):
        return None
    address = dict(word.partition("=")[::2] for word in _attribute(folder, "address").split(","))
    shown = {option.name: _attribute(folder, option.attribute) for option in OPTIONS if option.attribute}
    return Controller(
        name=name,
        path=f"/sys/class/nvme/{name}",
        transport=transport,
        sysfs_transport=transport,
        traddr=normalise_address(address.get("traddr", "")),
        trsvcid=address.get("trsvcid", ""),
        host_traddr=normalise_address(address.get("host_traddr", "")),
        host_iface=address.get("host_iface", ""),
        src_addr=address.get("src_addr", ""),
        subsysnqn=subsysnqn,
        hostnqn=_attribute(folder, "hostnqn"),
        hostid=_attribute(folder, "hostid"),
        state=_attribute(folder, "state"),
        cntrltype=_attribute(folder, "cntrltype"),
        cntlid=_number(_attribute(folder, "cntlid")),
        queue_count=_number(_attribute(folder, "queue_count")),
        options={key: _number(text) for key, text in shown.items() if text},
        paths=_paths(folder),
    )


def _paths(folder: str) -> tuple[Path, ...]:
    found = []
    # nvme0c1n2 is controller 1's path to nvme0n2; without native multipath the path is the device itself.
    for name in _names(folder, r"nvme\d+(c\d+)?n\d+"):
        path = os.path.join(folder, name)
        nsid = _attribute(path, "nsid")
        if nsid:
            found.append(Path(re.sub(r"c\d+", "", name), int(nsid), _attribute(path, "ana_state")))
    return tuple(found)


def _subsystem(folder: str, root: str) -> Subsystem | None:
    subsysnqn = _attribute(folder, "subsysnqn")
    if not subsysnqn:
        return None
    name = os.path.basename(folder)
    devices = _names(folder, r"nvme\d+n\d+")
    for controller in _names(folder, r"nvme\d+"):
        devices += [one for one in _names(os.path.join(folder, controller), r"nvme\d+n\d+") if one not in devices]
    namespaces = [_namespace(os.path.join(root, "sys/class/block", device), device) for device in devices]
    return Subsystem(
        name=name,
        path=f"/sys/class/nvme-subsystem/{name}",
        subsysnqn=subsysnqn,
        iopolicy=_attribute(folder, "iopolicy"),
        model=_attribute(folder, "model"),
        serial=_attribute(folder, "serial"),
        namespaces=tuple(found for found in namespaces if found),
    )


def _namespace(folder: str, name: str) -> Namespace | None:
    nsid = _attribute(folder, "nsid")
    if not nsid:
        return None
    return Namespace(
        name=name,
        nsid=int(nsid),
        uuid=_attribute(folder, "uuid"),
        nguid=_attribute(folder, "nguid"),
        wwid=_attribute(folder, "wwid"),
        size=int(_attribute(folder, "size") or 0) * 512,
    )


def as_dict(value: Any) -> Any:
    """Dataclasses to what JSON knows, all the way down."""
    if hasattr(value, "__dataclass_fields__"):
        return {key: as_dict(getattr(value, key)) for key in value.__dataclass_fields__}
    if isinstance(value, (list, tuple)):
        return [as_dict(item) for item in value]
    return {key: as_dict(item) for key, item in value.items()} if isinstance(value, Mapping) else value
