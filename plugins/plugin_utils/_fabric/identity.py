# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""Who is who: the one place where an inventory name becomes a host NQN, and where identifiers are derived.

Derived identifiers are name-based UUIDs (RFC 9562 version 5): the same description gives the same identifiers on every
controller, on every target and after every re-creation.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import checked, shown
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._fabric.entrance import variable

#: uuid5(NAMESPACE_DNS, "nvmeof.mptcp"): what every derived identifier is a name in.
NAMESPACE = uuid.UUID("8cc8357f-9c4a-5a52-9244-f87bc16f3c38")
#: NVM Express Base Specification 2.1, section 4.7: the form of an NQN that carries a UUID.
UUID_NQN = "nqn.2014-08.org.nvmexpress:uuid:"


class UnknownHost(ValueError):
    """A name that is neither an NQN nor a machine whose NQN is known."""


def hostnqn(name: str, hostvars: Mapping[str, Any]) -> str:
    """The host NQN of an inventory machine; a name that is an NQN already is returned as it is.

    In this order: the machine's variable C(nvme_host_hostnqn), its own C(/etc/nvme/hostnqn) as its facts tell it
    (subset C(nvme)), an NQN derived from its inventory name when the facts say that it has none.
    Raises UnknownHost for a machine that is not in the inventory or whose facts are not gathered: deriving an NQN then
    could lock out a host that is connected under its own; Refused for facts that tell what is no NQN.
    """
    if name.startswith("nqn."):
        return name
    if name not in hostvars:
        raise UnknownHost(
            f"{shown(name)} is neither an NQN (nqn.…) nor a machine of the inventory; write one of the two"
        )
    written = variable(hostvars, name, "nvme_host_hostnqn")
    if written:
        return str(written)
    facts = variable(hostvars, name, "ansible_facts") or {}
    if "hostnqn" not in facts:
        raise UnknownHost(
            f"the host NQN of {shown(name)} is not known: set nvme_host_hostnqn for it, or gather its facts first "
            "(gather_subset nvme), also when --limit leaves it out"
        )
    if not facts["hostnqn"]:
        return f"{UUID_NQN}{derived_uuid('host', name)}"
    return checked("NQN", facts["hostnqn"], f"ansible_facts.hostnqn (/etc/nvme/hostnqn) of {name}")


def derived_uuid(*names: object) -> uuid.UUID:
    """The UUID of a list of names, for example C("namespace", nqn, nsid)."""
    return uuid.uuid5(NAMESPACE, "\0".join(str(name) for name in names))


def namespace_identifiers(nqn: str, nsid: object) -> dict[str, str]:
    """The uuid and nguid of a namespace whose description gives none; the same on every target that serves it."""
    return {name: str(derived_uuid(name, nqn, nsid)) for name in ("uuid", "nguid")}


def derived_serial(nqn: str) -> str:
    """A serial number of 20 characters (the longest that NVMe allows) for a subsystem."""
    return derived_uuid("serial", nqn).hex[:20]
