# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""What makes one machine of a lab itself: names, ids, keys and addresses, as systemd credentials.

The image is the same for all machines. QEMU hands each one its credentials (systemd.system-credentials(7)) at every
boot, so they are known before the first unit starts, and need no program of ours in the guest.
"""

from __future__ import annotations

import base64
import typing as t
import uuid
from dataclasses import dataclass

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.definition import Machine, Nic

# QEMU's user-mode network gives the guest this one; the network lets nothing out, so all machines may have the same.
MANAGEMENT = "10.0.2.15/24"


@dataclass(frozen=True)
class Identity:
    """Random once per machine of a set: uuid names it to systemd and to NVMe; host_key is an OpenSSH private key."""

    uuid: uuid.UUID
    host_key: str
    authorized_key: str

    @property
    def hostnqn(self) -> str:
        """The host NQN in the form of a UUID (NVMe base specification 2.1, 4.7)."""
        return f"nqn.2014-08.org.nvmexpress:uuid:{self.uuid}"


def credentials(machine: Machine, identity: Identity) -> dict[str, str]:
    """Credential name → content."""
    # A machine-id that is not the host id: systemd.machine-id is meant to stay inside the machine (machine-id(5)).
    machine_id = uuid.uuid5(identity.uuid, "machine-id").hex
    result = {
        "system.hostname": machine.name,
        "system.machine_id": machine_id,
        "network.hosts": f"127.0.0.1 localhost\n127.0.1.1 {machine.name}\n::1 localhost\n",
        "ssh.authorized_keys.root": identity.authorized_key,
        "tmpfiles.extra": _files(machine, identity),
    }
    nics = [Nic("mgmt0", machine.management_mac, MANAGEMENT), *machine.nics]
    for nic in nics:
        # "10-" sorts before the distribution's 99-default.link, and the first match wins (systemd.link(5)).
        result["network.link.10-" + nic.name] = f"[Match]\nMACAddress={nic.mac}\n[Link]\nName={nic.name}\n"
        result["network.network.10-" + nic.name] = _network(nic)
    return result


def _network(nic: Nic) -> str:
    link_local = "ipv6" if ":" in nic.address else "no"
    mtu = f"MTUBytes={nic.mtu}\n" if nic.mtu else ""
    return (
        f"[Match]\nName={nic.name}\n[Link]\nRequiredForOnline=no\n{mtu}"
        f"[Network]\nAddress={nic.address}\nLinkLocalAddressing={link_local}\nIPv6AcceptRA=no\n"
        f"{_token_bucket(nic.rate)}"
    )


def _token_bucket(rate: str) -> str:
    """Bounds what a NIC sends: links, and not an emulated CPU, are to be what is measured."""
    return f"[TokenBucketFilter]\nParent=root\nRate={rate}\nBurstBytes=64K\nLatencySec=50ms\n" if rate else ""


def _files(machine: Machine, identity: Identity) -> str:
    """tmpfiles.d(5) lines; ``f`` writes a file that does not exist yet, so a role's change survives a reboot."""
    files: t.Sequence[tuple[str, str, str]] = (
        ("/etc/hostname", "0644", machine.name + "\n"),
        ("/etc/ssh/ssh_host_ed25519_key", "0600", identity.host_key),
        ("/etc/nvme/hostnqn", "0644", identity.hostnqn + "\n"),
        ("/etc/nvme/hostid", "0644", f"{identity.uuid}\n"),
    )
    line = "f~ {0} {1} root root - {2}\n"
    return "".join(line.format(path, mode, base64.b64encode(text.encode()).decode()) for path, mode, text in files)
