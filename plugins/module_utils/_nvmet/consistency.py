# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""What must hold between the objects of one description: nvmet would refuse it, or worse, accept it."""

from __future__ import annotations

import ipaddress
from typing import Callable, Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, key, label, parent

#: Transports whose port is an IP address and a port number.
IP_TRANSPORTS = ("tcp", "mptcp", "rdma")
#: Addresses that stand for every other of their family.
WILDCARDS = {"0.0.0.0", "::"}
#: nvmet's limit (NVMET_MAX_NAMESPACES).
NAMESPACES_MAX = 1024


def inconsistencies(tree: Tree) -> list[str]:
    """One sentence for each contradiction between objects, naming both and the remedy."""
    return [problem for check in _CHECKS for problem in check(tree)]


def _of(tree: Tree, kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    return ((path, found.attributes) for path, found in tree.objects.items() if found.kind == kind)


def _namespaces(tree: Tree) -> Iterator[str]:
    counts: dict[str, int] = {}
    seen: dict[tuple[str, str], str] = {}
    for path, attributes in _of(tree, "namespace"):
        subsystem = parent(path)
        counts[subsystem] = counts.get(subsystem, 0) + 1
        if attributes["enable"] == "1" and "device_path" not in attributes:
            yield f"{label(path)}: device_path is missing; write the device or file to serve, or enable: false"
        for name in ("uuid", "nguid"):
            value = attributes.get(name)
            if value is None:
                continue
            other = seen.setdefault((name, value), path)
            if other != path:
                yield (
                    f"{label(path)}: {name} {value!r} is also that of {label(other)}; give each its own, hosts tell "
                    "namespaces apart by it"
                )
    for subsystem, count in counts.items():
        if count > NAMESPACES_MAX:
            yield f"{label(subsystem)}: {count} namespaces are more than nvmet's {NAMESPACES_MAX}; use two subsystems"


def _subsystems(tree: Tree) -> Iterator[str]:
    passed: dict[str, str] = {}
    for path, attributes in _of(tree, "subsystem"):
        hosts = sorted(key(link) for link in tree.links if link.startswith(f"{path}/allowed_hosts/"))
        if attributes.get("allow_any_host") == "1" and hosts:
            yield f"{label(path)}: allow_any_host is true and allowed_hosts names {hosts[0]!r}; write one of the two"
        low, high = int(attributes.get("cntlid_min", 1)), int(attributes.get("cntlid_max", 0xFFEF))
        if low > high:
            yield f"{label(path)}: cntlid_min {low} is above cntlid_max {high}; write a range"
        passthru = tree.objects[f"{path}/passthru"].attributes
        if passthru.get("enable") == "1":
            if "device_path" not in passthru:
                yield f"{label(path)} passthru: device_path is missing; write the NVMe controller, like /dev/nvme0"
            other = passed.setdefault(passthru.get("device_path", path), path)
            if other != path:
                yield (
                    f"{label(path)} passthru: {passthru['device_path']!r} is also passed through by {label(other)}; "
                    "drop one, nvmet gives a controller to one subsystem alone"
                )
            if any(name.startswith(f"{path}/namespaces/") for name in tree.objects):
                yield f"{label(path)}: has both namespaces and passthru; drop one, nvmet serves either"


def _ports(tree: Tree) -> Iterator[str]:
    seen: dict[tuple[str, ...], str] = {}
    for path, attributes in _of(tree, "port"):
        yield from _address(label(path), attributes)
        if attributes.get("trtype") in IP_TRANSPORTS:
            place = (_numbers(attributes), attributes.get("traddr", ""), attributes.get("trsvcid", ""))
            other = seen.setdefault(place, path)
            if other != path:
                yield f"{label(path)}: {place[1]} {place[2]} is also the address of {label(other)}; give each its own"
        if attributes.get("tsas") == "tls1.3" and attributes.get("treq") == "not specified":
            yield f"{label(path)}: treq 'not specified' contradicts tsas tls1.3; write required or not required"
    for path, attributes in _of(tree, "referral"):
        yield from _address(label(path), attributes)


def _numbers(attributes: dict[str, str]) -> str:
    """Whose port numbers the transport takes: tcp and mptcp listen on the same."""
    return "rdma" if attributes["trtype"] == "rdma" else "tcp"


def _wildcards(tree: Tree) -> Iterator[str]:
    listening = [
        (path, found["traddr"], (_numbers(found), found.get("adrfam"), found.get("trsvcid")))
        for path, found in _of(tree, "port")
        if found.get("trtype") in IP_TRANSPORTS and "traddr" in found
    ]
    everywhere = {place: path for path, address, place in listening if address in WILDCARDS}
    for path, address, place in listening:
        other = everywhere.get(place, path)
        if other != path and address not in WILDCARDS:
            yield (
                f"{label(path)}: {address} {place[2]} is among the addresses of {label(other)}, which listens on all; "
                "drop one, or give it another trsvcid"
            )


def _address(name: str, attributes: dict[str, str]) -> Iterator[str]:
    trtype = attributes.get("trtype")
    if trtype is None:
        yield f"{name}: trtype is missing; write the transport, like mptcp"
    if trtype not in IP_TRANSPORTS:
        return
    for needed in ("adrfam", "traddr", "trsvcid"):
        if needed not in attributes:
            yield f"{name}: {needed} is missing; write it, transport {trtype} needs it"
    family, address, service = (attributes.get(part, "") for part in ("adrfam", "traddr", "trsvcid"))
    if family and family not in ("ipv4", "ipv6"):
        yield f"{name}: adrfam {family!r} does not go with trtype {trtype}; write ipv4 or ipv6"
    elif address and (":" in address) != (family == "ipv6"):
        yield f"{name}: traddr {address!r} is not of adrfam {family}; correct one of the two"
    elif family and address and not _is_ip(address):
        form = "an IPv4" if family == "ipv4" else "an IPv6"
        yield f"{name}: traddr {address!r} is not {form} address; write one, nvmet resolves no names"
    if service and not (service.isascii() and service.isdigit() and 1 <= int(service) <= 65535):
        yield f"{name}: trsvcid {service!r} is not a port number; write 1 to 65535, NVMe's is 4420"


def _is_ip(address: str) -> bool:
    bare, scoped, scope = address.partition("%")
    try:
        version = ipaddress.ip_address(bare).version
    except ValueError:
        return False
    return not scoped or (version == 6 and scope != "")


def _links(tree: Tree) -> Iterator[str]:
    for link, target in tree.links.items():
        if target not in tree.objects:
            yield f"{label(parent(link))}: {key(link)!r} is not a subsystem of this description; describe it or drop it"


def _discovery(tree: Tree) -> Iterator[str]:
    found = tree.objects[""].attributes.get("discovery_nqn")
    for path, _attributes in _of(tree, "subsystem"):
        # nvmet compares the first characters only.
        if found and key(path).startswith(found):
            yield f"discovery_nqn {found!r} is how the NQN of {label(path)} begins, which nvmet refuses; choose another"


def _ana_groups(tree: Tree) -> Iterator[str]:
    """nvmet takes any group and treats it as inaccessible on a port that does not have it."""
    ports: dict[str, list[str]] = {}
    for link, target in tree.links.items():
        if link.startswith("ports/"):
            ports.setdefault(target, []).append(parent(link))
    for path, attributes in _of(tree, "namespace"):
        group, serving = attributes.get("ana_grpid", "1"), ports.get(parent(path), [])
        if serving and group != "1" and not any(f"{port}/ana_groups/{group}" in tree.objects for port in serving):
            yield (
                f"{label(path)}: ana_grpid {group} is a group of none of its ports, so that no host could use it; "
                f"describe the group on {label(serving[0])} or choose 1, which every port has"
            )


_CHECKS: tuple[Callable[[Tree], Iterator[str]], ...] = (
    _subsystems,
    _namespaces,
    _ports,
    _wildcards,
    _links,
    _discovery,
    _ana_groups,
)
