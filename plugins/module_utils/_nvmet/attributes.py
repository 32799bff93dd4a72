# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Everything that is known of nvmet's attributes, as a table: to add an attribute is to add a row.

Source: drivers/nvme/target/configfs.c of Linux 7.2. Rows stand in the order in which they are written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Mapping

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import values

#: What an attribute goes back to when a description stops naming it; None: it stays as it is.
Default = Callable[[str, Mapping[str, str]], "str | None"]
#: The word by which a port accepts what tls.py refuses.
UNAUTHENTICATED_TLS = "allow_unauthenticated_tls"


def always(value: str | None) -> Default:
    return lambda key, attributes: value


def _ana_state(key: str, attributes: Mapping[str, str]) -> str:
    return "optimized" if key == "1" else "inaccessible"


def _tsas(key: str, attributes: Mapping[str, str]) -> str | None:
    return "none" if attributes.get("trtype") == "tcp" else None


def _treq(key: str, attributes: Mapping[str, str]) -> str:
    return "required" if attributes.get("tsas") == "tls1.3" else "not specified"


@dataclass(frozen=True)
class Attribute:
    """One attribute of a kind of object.

    name: the option of the description. file: its file in configfs. type: its Ansible type.
    gate: nvmet refuses to write it while the object's gate (enable, or a port's links) is open.
    resets: attributes that nvmet changes by itself when this one is written.
    """

    name: str
    file: str
    sanitise: values.Sanitiser
    type: str = "str"
    gate: bool = False
    default: Default = field(default=always(None))
    resets: tuple[str, ...] = ()
    secret: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of object: the key its folder is named with, its attributes, what can be made inside.

    groups: folder → kind of the objects in it. links: folder → folder of the objects that can be linked.
    fixed: kinds that nvmet makes by itself, always one, in the folder of that name.
    builtin: keys that nvmet makes by itself and that cannot be removed.
    words: switches of the description that nvmet does not have: by each it accepts what is refused without.
    """

    name: str
    key: str
    sanitise: values.Sanitiser
    attributes: tuple[Attribute, ...]
    key_type: str = "str"
    groups: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    fixed: tuple[str, ...] = ()
    builtin: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def row(self, name: str) -> Attribute | None:
        return next((row for row in self.attributes if row.name == name), None)


def _switch(name: str, file: str, default: str | None = "0", gate: bool = False) -> Attribute:
    return Attribute(name, file, values.switch, "bool", gate, always(default))


def _number(name: str, file: str, low: int, high: int, default: int | None = None, gate: bool = False) -> Attribute:
    back = always(None if default is None else str(default))
    return Attribute(name, file, values.whole(low, high), "int", gate, back)


_TRTYPE = values.one_of("mptcp", "tcp", "rdma", "fc", "loop", "pci")
_ADRFAM = values.one_of("ipv4", "ipv6", "ib", "fc", "loop", "pci")
_TREQ = values.one_of("not specified", "required", "not required")
_PORTID = values.whole(0, 65535)


def _address(prefix: str = "addr_") -> tuple[Attribute, ...]:
    return (
        Attribute("trtype", f"{prefix}trtype", _TRTYPE, gate=True, resets=("tsas",)),
        Attribute("adrfam", f"{prefix}adrfam", _ADRFAM, gate=True),
        Attribute("traddr", f"{prefix}traddr", values.address, gate=True),
        Attribute("trsvcid", f"{prefix}trsvcid", values.text(1, 31), gate=True),
    )


_TREQ_ROW = Attribute("treq", "addr_treq", _TREQ, gate=True, default=_treq)

HOST = Kind(
    "host",
    "nqn",
    values.nqn,
    (
        Attribute("dhchap_hash", "dhchap_hash", values.one_of("hmac(sha256)", "hmac(sha384)", "hmac(sha512)"),
                  default=always("hmac(sha256)")),
        Attribute("dhchap_dhgroup", "dhchap_dhgroup",
                  values.one_of("null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"),
                  default=always("null")),
        Attribute("dhchap_key", "dhchap_key", values.secret, secret=True),
        Attribute("dhchap_ctrl_key", "dhchap_ctrl_key", values.secret, secret=True),
    ),
)  # fmt: skip

NAMESPACE = Kind(
    "namespace",
    "nsid",
    # nvmet holds at most 1024 namespaces a subsystem and takes any number but 0 and 0xffffffff.
    values.whole(1, 0xFFFFFFFE),
    (
        Attribute("device_path", "device_path", values.path, gate=True),
        Attribute("uuid", "device_uuid", values.identifier, gate=True),
        Attribute("nguid", "device_nguid", values.identifier, gate=True),
        _switch("buffered_io", "buffered_io", gate=True),
        _switch("resv_enable", "resv_enable", gate=True),
        Attribute("p2pmem", "p2pmem", values.text(1, 64), gate=True),
        # 128 is a legal group that nvmet stores as 0 (array_index_nospec), so it is not offered.
        _number("ana_grpid", "ana_grpid", 1, 127, 1),
        _switch("enable", "enable"),
    ),
    key_type="int",
)

PASSTHRU = Kind(
    "passthru",
    "",
    values.text(0, 0),
    (
        Attribute("device_path", "device_path", values.path, gate=True),
        _number("admin_timeout", "admin_timeout", 0, 0xFFFFFFFF, 0),
        _number("io_timeout", "io_timeout", 0, 0xFFFFFFFF, 0),
        _switch("clear_ids", "clear_ids", None),
        _switch("enable", "enable"),
    ),
)

SUBSYSTEM = Kind(
    "subsystem",
    "nqn",
    values.subsystem_nqn,
    (
        _switch("allow_any_host", "attr_allow_any_host"),
        Attribute("version", "attr_version", values.version),
        Attribute("serial", "attr_serial", values.text(1, 20)),
        Attribute("model", "attr_model", values.text(1, 40), default=always("Linux")),
        Attribute("firmware", "attr_firmware", values.text(1, 8)),
        Attribute("ieee_oui", "attr_ieee_oui", values.whole(0, 0xFFFFFF, "0x{:06x}"), default=always("0x000000")),
        _number("cntlid_min", "attr_cntlid_min", 1, 0xFFFF, 1),
        _number("cntlid_max", "attr_cntlid_max", 1, 0xFFFF, 0xFFEF),
        Attribute("vendor_id", "attr_vendor_id", values.whole(0, 0xFFFF, "0x{:x}"), default=always("0x0")),
        Attribute("subsys_vendor_id", "attr_subsys_vendor_id", values.whole(0, 0xFFFF, "0x{:x}"),
                  default=always("0x0")),
        _number("qid_max", "attr_qid_max", 1, 128, 128),
        _switch("pi_enable", "attr_pi_enable"),
    ),
    groups={"namespaces": "namespace"},
    links={"allowed_hosts": "hosts"},
    fixed=("passthru",),
)  # fmt: skip

ANA_GROUP = Kind(
    "ana_group",
    "grpid",
    values.whole(1, 127),
    (
        Attribute(
            "ana_state",
            "ana_state",
            values.one_of("optimized", "non-optimized", "inaccessible", "persistent-loss", "change"),
            default=_ana_state,
        ),
    ),
    key_type="int",
    builtin=("1",),
)

REFERRAL = Kind(
    "referral",
    "name",
    values.name,
    (
        *_address(),
        Attribute("portid", "addr_portid", _PORTID, "int", gate=True, default=always("0")),
        _TREQ_ROW,
        _switch("enable", "enable"),
    ),
)

PORT = Kind(
    "port",
    "portid",
    _PORTID,
    (
        *_address(),
        # tls1.3 makes the kernel set treq to required, which "not specified" would then contradict.
        Attribute("tsas", "addr_tsas", values.one_of("none", "tls1.3", "connected"), gate=True, default=_tsas,
                  resets=("treq",)),
        _TREQ_ROW,
        # -1 (the transport's own) becomes the resolved number when the port opens: leave it out for that.
        _number("inline_data_size", "param_inline_data_size", 0, 0x7FFFFFFF, gate=True),
        _number("max_queue_size", "param_max_queue_size", 16, 1024, gate=True),
        _number("mdts", "param_mdts", 0, 255, gate=True),
        _switch("pi_enable", "param_pi_enable", gate=True),
    ),
    key_type="int",
    groups={"ana_groups": "ana_group", "referrals": "referral"},
    links={"subsystems": "subsystems"},
    words=(UNAUTHENTICATED_TLS,),
)  # fmt: skip

NVMET = Kind(
    "nvmet",
    "",
    values.text(0, 0),
    (Attribute("discovery_nqn", "discovery_nqn", values.nqn, default=always(values.DISCOVERY_NQN)),),
    groups={"hosts": "host", "subsystems": "subsystem", "ports": "port"},
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (NVMET, HOST, SUBSYSTEM, NAMESPACE, PASSTHRU, PORT, ANA_GROUP, REFERRAL)
}
