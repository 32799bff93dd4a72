# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Every option of /dev/nvme-fabrics as a table, and what follows: checks, the normal form, the text that is written.

Source: drivers/nvme/host/fabrics.c (names, ranges, options of every transport) and the transport drivers beside it
(options of their own) of Linux 7.2; the transport C(mptcp) takes what C(tcp) takes, without TLS.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import alias, malformed
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import HIDDEN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import address_conflicts, unfit

#: Where controllers are asked for.
DEVICE = "/dev/nvme-fabrics"
DISCOVERY_NQN = "nqn.2014-08.org.nvmexpress.discovery"
#: Transport to the module that offers it.
MODULES = {"mptcp": "nvme_tcp", "tcp": "nvme_tcp", "rdma": "nvme_rdma", "fc": "nvme_fc", "loop": "nvme_loop"}

_IP = ("mptcp", "tcp", "rdma")
_TCP = ("mptcp", "tcp")
_RECONNECTING = (*_IP, "fc")
_ALL = tuple(MODULES)
#: Seconds of a timeout that the kernel counts in ticks, up to 1000 a second, in 31 bits.
_LONGEST = 2147483
_NAME = re.compile(r"[A-Za-z0-9_.:\-]{1,63}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


@dataclass(frozen=True)
class Option:
    """One option of the fabrics device.

    name: our name and, unless token says otherwise, the kernel's.
    kind: C(str), C(int) or C(bool); a bool is written without a value when it is true.
    transports: those that know it; the kernel answers EINVAL for any other.
    minimum, maximum: of an int, in the kernel's own units (seconds for every timeout).
    attribute: the file of a controller in sysfs that shows it, where there is one.
    writable: that file can be written while the controller lives.
    serial: it is the number of a key or a keyring of the kernel, which no other boot knows.
    """

    name: str
    kind: str = "int"
    transports: tuple[str, ...] = _ALL
    minimum: int = 0
    maximum: int = 2**31 - 1
    token: str = ""
    secret: bool = False
    attribute: str = ""
    writable: bool = False
    serial: bool = False


OPTIONS = (
    Option("transport", "str"),
    Option("traddr", "str"),
    Option("trsvcid", "str", _IP),
    Option("subsysnqn", "str", token="nqn"),
    Option("host_traddr", "str", (*_IP, "fc")),
    Option("host_iface", "str", _TCP),
    Option("nr_io_queues", minimum=1),
    Option("nr_write_queues", transports=_IP, minimum=1),
    Option("nr_poll_queues", transports=_IP, minimum=1),
    Option("queue_size", minimum=16, maximum=1024),
    Option("keep_alive_tmo", minimum=1, maximum=_LONGEST, attribute="kato"),
    # The next two are written in this order: the kernel keeps the loss timeout as a number of delays.
    Option("reconnect_delay", "int", _RECONNECTING, 1, _LONGEST, attribute="reconnect_delay", writable=True),
    Option("ctrl_loss_tmo", transports=_RECONNECTING, minimum=-1, attribute="ctrl_loss_tmo", writable=True),
    Option("fast_io_fail_tmo", minimum=-1, maximum=_LONGEST, attribute="fast_io_fail_tmo", writable=True),
    Option("tos", transports=_IP, maximum=255),
    Option("hdr_digest", "bool", _TCP),
    Option("data_digest", "bool", _TCP),
    Option("disable_sqflow", "bool"),
    # The controller's first: each is proven again as soon as it is written, and the last proof is the one of both.
    Option("dhchap_ctrl_secret", "str", secret=True),
    Option("dhchap_secret", "str", secret=True),
    Option("tls", "bool", ("tcp",)),
    Option("keyring", transports=("tcp",), minimum=1, serial=True),
    Option("tls_key", transports=("tcp",), minimum=1, serial=True),
    Option("concat", "bool", ("tcp",)),
    Option("discovery", "bool"),
    Option("duplicate_connect", "bool"),
    Option("hostnqn", "str"),
    Option("hostid", "str"),
)
BY_NAME = {option.name: option for option in OPTIONS}


def normalise_address(text: str) -> str:
    """One spelling of an IP address: compressed, IPv4-mapped IPv6 as IPv4, its zone by name; any other text as it is.

    Idempotent.
    """
    address, percent, scope = text.partition("%")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return text
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped or parsed.version == 4:
        return str(mapped or parsed) + percent + scope
    if scope.isdigit():
        # A zone that is not an interface here stays as it is; the kernel refuses it.
        with contextlib.suppress(OSError, OverflowError):
            scope = socket.if_indextoname(int(scope))
    return str(parsed) + percent + scope


def normalise(connection: Mapping[str, Any]) -> dict[str, Any]:
    """The connection without what is not set, addresses in one spelling, in the order of the table. Idempotent."""
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value = connection.get(option.name)
        if value is None or value == "" or (option.kind == "bool" and not value):
            continue
        found[option.name] = value
        if option.name in ("traddr", "host_traddr") and isinstance(value, str):
            found[option.name] = normalise_address(value)
    return found


def name_of(connection: Mapping[str, Any]) -> str:
    """What a connection is called in messages and in what we own: all that makes it another one when it changes."""
    traddr = str(connection.get("traddr", ""))
    portal = f"[{traddr}]" if ":" in traddr and connection["transport"] in _IP else traddr
    words = [connection["transport"], f"{portal}:{connection.get('trsvcid', '')}".strip(":"), connection["subsysnqn"]]
    words += [f"{key}={connection[key]}" for key in ("host_traddr", "host_iface", "hostnqn") if connection.get(key)]
    return " ".join(word for word in words if word)


def errors(connection: Mapping[str, Any]) -> list[str]:
    """What is wrong with one connection, each with the value and the remedy; empty when the kernel would take it."""
    unknown = sorted(set(connection) - set(BY_NAME), key=str)
    found = [f"{name!r} is no option of {DEVICE}; it knows {', '.join(BY_NAME)}" for name in unknown]
    given = normalise({key: value for key, value in connection.items() if key in BY_NAME})
    transport = given.get("transport")
    if not isinstance(transport, str) or transport not in MODULES:
        return [*found, f"transport is {transport!r}; it must be one of {', '.join(MODULES)}"]
    for name, value in given.items():
        found += _value_errors(BY_NAME[name], value, transport)
    return found + _missing(given, transport) + _conflicts(given)


def _value_errors(option: Option, value: Any, transport: str) -> list[str]:
    shown = HIDDEN if option.secret else repr(value)
    if transport not in option.transports:
        remedy = f"remove it, or use {' or '.join(option.transports)}"
        if transport == "mptcp" and option.transports == ("tcp",):
            remedy = "the kernel has no TLS for MPTCP; remove it and use dhchap_secret, or use tcp"
        return [f"{option.name} is {shown}, which the transport {transport} does not know: {remedy}"]
    if option.kind == "int":
        if isinstance(value, bool) or not isinstance(value, int):
            return [f"{option.name} is {shown}; it must be a whole number"]
        if not option.minimum <= value <= option.maximum:
            return [f"{option.name} is {shown}; it must be from {option.minimum} to {option.maximum}"]
        if option.serial:
            return [
                f"{option.name} is {shown}, a serial number that changes at every boot, and connections are saved for "
                "the boot: write tls: true instead, and have the key loaded into the keyring .nvme at every boot "
                "(nvme tls-key --import), where the kernel finds it by the NQNs of host and subsystem"
            ]
    elif option.kind == "bool":
        if not isinstance(value, bool):
            return [f"{option.name} is {shown}; it must be true or false"]
    elif not isinstance(value, str) or re.search(r"[,\s]", value) or not value.isprintable():
        # A comma would end the option and start another one.
        return [f"{option.name} is {shown}; it must be a text without a comma, a space or a control character"]
    return _form_errors(option.name, value, shown, transport)


def _form_errors(name: str, value: Any, shown: str, transport: str) -> list[str]:
    if name in ("traddr", "host_traddr") and transport in _IP and unfit(value):
        return [f"{name} is {shown}; {unfit(value)}"]
    if name == "trsvcid" and not (re.match(r"[1-9][0-9]{0,4}\Z", value) and int(value) < 65536):
        return [f"trsvcid is {shown}; it must be a port number without leading zeros, from 1 to 65535"]
    if name in ("subsysnqn", "hostnqn"):
        return nqn_errors(name, value)
    if name == "hostid" and not _UUID.match(value):
        return [f"hostid is {shown}; it must be a UUID"]
    if name == "host_iface" and not (_NAME.match(value) and len(value) < 16):
        return [f"host_iface is {shown}; it must be the name of an interface"]
    wrong = malformed(value) if BY_NAME[name].secret else ""
    return [f"{name} {wrong}"] if wrong else []


def nqn_errors(name: str, value: str) -> list[str]:
    """What is wrong with an NQN (NVM Express Base Specification 2.1, section 4.7)."""
    if not (re.match(r"nqn\.[0-9]{4}-[0-9]{2}\.[^,\s]+\Z", value) and value.isprintable()):
        form = "nqn.<year>-<month>.<reversed domain>, and has no comma, space or control character"
        return [f"{name} is {value!r}; an NQN starts with {form}"]
    size = len(value.encode())
    return [f"{name} is {value!r}; an NQN has at most 223 bytes, this has {size}"] if size > 223 else []


def _missing(given: Mapping[str, Any], transport: str) -> list[str]:
    required = ["subsysnqn"]
    if transport in (*_IP, "fc"):
        required.append("traddr")
    if transport in _IP:
        # Without it the kernel takes 8009, the discovery port, for every kind of controller.
        required.append("trsvcid")
    if transport == "fc":
        required.append("host_traddr")
    return [f"{name} is missing; the transport {transport} needs it" for name in required if name not in given]


def _conflicts(given: Mapping[str, Any]) -> list[str]:
    found = address_conflicts(given) if given["transport"] in _IP else []
    if "dhchap_ctrl_secret" in given and "dhchap_secret" not in given:
        found.append("dhchap_ctrl_secret is set without dhchap_secret: a controller is authenticated after the host")
    if given.get("concat") and "dhchap_secret" not in given:
        found.append("concat needs dhchap_secret: the TLS key is derived from it")
    if given.get("concat") and (given.get("tls") or "tls_key" in given):
        found.append("concat excludes tls and tls_key: it derives its own key")
    if "hostid" in given and "hostnqn" not in given:
        found.append("hostid is set without hostnqn, and the kernel allows one identifier for a name: set both or none")
    loss, fail = given.get("ctrl_loss_tmo", 600), given.get("fast_io_fail_tmo", -1)
    if isinstance(loss, int) and isinstance(fail, int) and 0 <= loss < fail:
        found.append(f"fast_io_fail_tmo ({fail}) is longer than ctrl_loss_tmo ({loss}); it would never take effect")
    return found


def render(connection: Mapping[str, Any], hostnqn: str, hostid: str, hide: bool = False) -> str:
    """The text to write to the fabrics device for a checked connection; hide puts asterisks in place of secrets."""
    words = []
    for name, value in normalise(connection).items():
        option = BY_NAME[name]
        token = option.token or name
        if option.kind == "bool":
            words.append(token)
        else:
            words.append(f"{token}={HIDDEN if hide and option.secret else value}")
    own = {"hostnqn": hostnqn, "hostid": hostid}
    return ",".join([*words, *(f"{name}={value}" for name, value in own.items() if not connection.get(name))])


def argument_spec() -> dict[str, dict[str, Any]]:
    """The suboptions of a connection for an Ansible module."""
    spec: dict[str, dict[str, Any]] = {option.name: {"type": option.kind} for option in OPTIONS}
    for option in OPTIONS:
        # Stated for every name that looks like a secret, so that Ansible does not guess.
        if option.secret or "key" in option.name:
            spec[option.name]["no_log"] = option.secret
        if option.secret:
            spec[option.name]["aliases"] = [alias(option.name)]
    spec["transport"].update(choices=list(MODULES), default="mptcp")
    spec["subsysnqn"]["required"] = True
    return spec
