#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_connections
short_description: Converge the NVMe over Fabrics controllers of a host
description:
  - Makes the kernel's controllers equal to a list of connections, by writing to C(/dev/nvme-fabrics) and sysfs, without
    nvme-cli.
  - A controller that is there stays as it is. Timeouts are changed while it lives; what takes a new connection is done
    only while every
    used namespace keeps another live path.
  - A namespace that is used never loses its last live path, unless its subsystem is listed in O(allow_disruption). Used
    is what is mounted, open, swapped on, held by device-mapper, md, a pool or a container, behind a loop device or
    served by nvmet, and what is by its contents a part of LVM, md or a pool, also while that is not running.
  - A connection that is wrong or cannot be made does not keep the others from being made; the module fails at the end
    and names each with the kernel's reason. Nothing is disconnected then.
  - After a success the description is saved to C(/etc/nvmeof-mptcp/host.json), which the unit C(nvmeof-mptcp-host)
    keeps.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  connections:
    description:
      - Every connection that this host shall have, an option of C(/dev/nvme-fabrics) each. What is not set is the
        kernel's own default for a new controller, and stays as it is on one that is there.
      - Transport, address, port, subsystem and the local address and interface make a connection what it is.
    type: list
    elements: dict
    required: true
    suboptions:
      transport:
        description: The transport. V(mptcp) takes a kernel that offers it, which the role
          P(nvmeof.mptcp.nvme_kernel#role) sees to.
        type: str
        choices: [mptcp, tcp, rdma, fc, loop]
        default: mptcp
      traddr:
        description:
          - Address of the target, an IPv4 or IPv6 address for V(mptcp), V(tcp) and V(rdma), or a host name.
          - A name is resolved at every run and every boot. Of several addresses the one in use stays, else it is the
            first that this machine has a route to.
        type: str
      trsvcid:
        description: Port of the target. V(mptcp), V(tcp) and V(rdma) need it, for the kernel's default is the discovery
          port.
        type: str
      subsysnqn:
        description: NQN of the subsystem.
        type: str
        required: true
      host_traddr:
        description: Local address to connect from. With V(mptcp) it concerns the first subflow only.
        type: str
      host_iface:
        description: Local interface to connect from. With V(mptcp) it concerns the first subflow only.
        type: str
      nr_io_queues:
        description: Most I/O queues; the kernel takes one per CPU by default.
        type: int
      nr_write_queues:
        description: Additional queues for writes alone.
        type: int
      nr_poll_queues:
        description: Additional queues that are polled.
        type: int
      queue_size:
        description: Entries of an I/O queue, 16 to 1024.
        type: int
      keep_alive_tmo:
        description: Keep-alive timeout in seconds.
        type: int
      reconnect_delay:
        description: Seconds between two tries to reconnect.
        type: int
      ctrl_loss_tmo:
        description: Seconds after which a lost controller is given up and its I/O fails, V(-1) for never.
        type: int
      fast_io_fail_tmo:
        description: Seconds after which I/O of a lost controller fails when no other path is left, V(-1) for never.
        type: int
      tos:
        description: IP type of service, 0 to 255.
        type: int
      hdr_digest:
        description: Protect PDU headers by CRC32C.
        type: bool
      data_digest:
        description: Protect PDU data by CRC32C.
        type: bool
      disable_sqflow:
        description: Disable submission queue flow control.
        type: bool
      dhchap_secret:
        description:
          - DH-HMAC-CHAP key of this host, in the form V(DHHC-1:0x:<base64>:).
          - Another key is written into the live controller, and the target must be seen to accept it. A first key takes
            a new connection.
          - It is kept in a file with mode 0600 to which the saved description refers. The kernel's own file, which
            everyone could read, is made root's alone before anybody else gets at it. For that only root can look into
            the folders of fabrics controllers in C(/sys/class/nvme) while a connection with a secret is made.
        type: str
        aliases: [dhchap_key]
      dhchap_ctrl_secret:
        description: DH-HMAC-CHAP key that the controller must prove, in the same form.
        type: str
        aliases: [dhchap_ctrl_key]
      tls:
        description:
          - Use TLS. V(tcp) only. It encrypts, and authenticates nobody at an nvmet.
          - The key is the one that the keyring C(.nvme) has for the NQNs of host and subsystem. It has to be loaded
            at every boot before the connections are made, as C(nvme tls-key --import) does.
        type: bool
      keyring:
        description: Serial number of the keyring with the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      tls_key:
        description: Serial number of the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      concat:
        description: Derive the TLS key from the authentication. V(tcp) only.
        type: bool
      discovery:
        description: The subsystem is a discovery subsystem, whatever its NQN is.
        type: bool
      duplicate_connect:
        description: Connect although the host has a controller of this subsystem over this address already.
        type: bool
      hostnqn:
        description: NQN of the host for this connection alone.
        type: str
      hostid:
        description: Host identifier that belongs to O(connections[].hostnqn), a UUID. By default it follows from the
          NQN.
        type: str
  discovery:
    description:
      - Discovery controllers to keep connected. What their discovery logs name, referrals included, is connected over
        the same transport, by this run and by every change of a log from then on.
      - A discovery controller with a keep-alive timeout is persistent. Its target tells it when its log changes.
    type: list
    elements: dict
    default: []
    suboptions:
      transport:
        description: The transport. V(mptcp) takes a kernel that offers it, which the role
          P(nvmeof.mptcp.nvme_kernel#role) sees to.
        type: str
        choices: [mptcp, tcp, rdma]
        default: mptcp
      traddr:
        description: Address of the target, an IPv4 or IPv6 address for V(mptcp), V(tcp) and V(rdma).
        type: str
        required: true
      trsvcid:
        description: Port of the target. V(mptcp), V(tcp) and V(rdma) need it, for the kernel's default is the discovery
          port.
        type: str
        required: true
      host_traddr:
        description: Local address to connect from. With V(mptcp) it concerns the first subflow only.
        type: str
      host_iface:
        description: Local interface to connect from. With V(mptcp) it concerns the first subflow only.
        type: str
      queue_size:
        description: Entries of an I/O queue, 16 to 1024.
        type: int
      keep_alive_tmo:
        description: Keep-alive timeout in seconds.
        type: int
        default: 30
      reconnect_delay:
        description: Seconds between two tries to reconnect.
        type: int
      ctrl_loss_tmo:
        description: Seconds after which a lost controller is given up and its I/O fails, V(-1) for never.
        type: int
        default: -1
      tos:
        description: IP type of service, 0 to 255.
        type: int
      hdr_digest:
        description: Protect PDU headers by CRC32C.
        type: bool
      data_digest:
        description: Protect PDU data by CRC32C.
        type: bool
      dhchap_secret:
        description: DH-HMAC-CHAP key of this host, in the form V(DHHC-1:0x:<base64>:).
        type: str
        aliases: [dhchap_key]
      dhchap_ctrl_secret:
        description: DH-HMAC-CHAP key that the controller must prove, in the same form.
        type: str
        aliases: [dhchap_ctrl_key]
      tls:
        description:
          - Use TLS. V(tcp) only. It encrypts, and authenticates nobody at an nvmet.
          - The key is the one that the keyring C(.nvme) has for the NQNs of host and subsystem. It has to be loaded
            at every boot before the connections are made, as C(nvme tls-key --import) does.
        type: bool
      keyring:
        description: Serial number of the keyring with the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      tls_key:
        description: Serial number of the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      concat:
        description: Derive the TLS key from the authentication. V(tcp) only.
        type: bool
  discovered:
    description: Options of every connection that a discovery log names, as in O(connections).
    type: dict
    suboptions:
      nr_io_queues:
        description: Most I/O queues; the kernel takes one per CPU by default.
        type: int
      nr_write_queues:
        description: Additional queues for writes alone.
        type: int
      nr_poll_queues:
        description: Additional queues that are polled.
        type: int
      queue_size:
        description: Entries of an I/O queue, 16 to 1024.
        type: int
      keep_alive_tmo:
        description: Keep-alive timeout in seconds.
        type: int
      reconnect_delay:
        description: Seconds between two tries to reconnect.
        type: int
      ctrl_loss_tmo:
        description: Seconds after which a lost controller is given up and its I/O fails, V(-1) for never.
        type: int
      fast_io_fail_tmo:
        description: Seconds after which I/O of a lost controller fails when no other path is left, V(-1) for never.
        type: int
      tos:
        description: IP type of service, 0 to 255.
        type: int
      hdr_digest:
        description: Protect PDU headers by CRC32C.
        type: bool
      data_digest:
        description: Protect PDU data by CRC32C.
        type: bool
      disable_sqflow:
        description: Disable submission queue flow control.
        type: bool
      dhchap_secret:
        description: DH-HMAC-CHAP key of this host, in the form V(DHHC-1:0x:<base64>:).
        type: str
        aliases: [dhchap_key]
      dhchap_ctrl_secret:
        description: DH-HMAC-CHAP key that the controller must prove, in the same form.
        type: str
        aliases: [dhchap_ctrl_key]
      tls:
        description:
          - Use TLS. V(tcp) only. It encrypts, and authenticates nobody at an nvmet.
          - The key is the one that the keyring C(.nvme) has for the NQNs of host and subsystem. It has to be loaded
            at every boot before the connections are made, as C(nvme tls-key --import) does.
        type: bool
      keyring:
        description: Serial number of the keyring with the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      tls_key:
        description: Serial number of the TLS key. Refused, for it changes at every boot; see C(tls).
        type: int
      concat:
        description: Derive the TLS key from the authentication. V(tcp) only.
        type: bool
  gone:
    description:
      - What becomes of a connection that a discovery log named and none names any more, once every log is known.
      - V(keep) leaves it connected; V(disconnect) disconnects it as soon as none of its namespaces is mounted, open or
        held. Either is reported.
    type: str
    choices: [keep, disconnect]
    default: keep
  discovery_interval:
    description: Seconds after which the logs are read again although no event came, V(0) for never.
    type: int
    default: 300
  discovery_networks:
    description:
      - Networks and addresses that a discovery log may name. What it names elsewhere is not connected, so that no peer
        decides where this host connects and who gets an answer with its DH-HMAC-CHAP key. Loopback, link-local and
        reserved addresses are allowed only by a network that has no others.
      - The addresses of O(connections) and O(discovery) are allowed always. Without this option nothing else is, but
        for what logs named earlier.
      - A controller that is connected stays so.
    type: list
    elements: str
  discovery_nqns:
    description: NQNs of subsystems that a discovery log may name; V(*) stands for any text. Without this option it may
      name any.
    type: list
    elements: str
  discovery_limits:
    description: What discovery logs may cost a run of this module or of the service, all of them together. What is left
      over is told, and the service goes on with it. One log may have a quarter of seconds, commands and entries.
    type: dict
    suboptions:
      seconds:
        description: Seconds after which no log is read and nothing that logs name is connected, 60 by default.
        type: int
      commands:
        description: Commands that read logs, four entries each, 16384 by default.
        type: int
      entries:
        description: Entries that are read, 32768 by default.
        type: int
      referrals:
        description: Discovery controllers that logs name, 128 by default.
        type: int
      connections:
        description: Connections that logs name, 256 by default.
        type: int
  hostnqn:
    description:
      - NQN of this host. By default what C(/etc/nvme/hostnqn) says, which is written when it does not exist.
      - A file that says otherwise is replaced only while no controller uses its name.
    type: str
    default: ''
  hostid:
    description: Host identifier, a UUID. By default what C(/etc/nvme/hostid) says, else the UUID in the NQN, else one
      derived from the NQN.
    type: str
    default: ''
  iopolicy:
    description: How native multipath spreads I/O over the paths of the declared subsystems; unchanged when empty.
    type: str
    choices: ['', numa, round-robin, queue-depth]
    default: ''
  prune:
    description:
      - Which controllers that are not declared are disconnected.
      - V(owned) are those of an earlier description; V(all) are all of this host NQN but discovery controllers; V(none)
        are none, and those of an earlier description stay what V(owned) disconnects in a later run.
    type: str
    choices: [owned, all, none]
    default: owned
  allow_disruption:
    description: NQNs of subsystems whose used namespaces may lose their last path in this run.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds that targets may take to become reachable, all connections together. A refusal that would be the same
        the next time is
        not tried again.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: Connect one subsystem over all rails
  nvmeof.mptcp.nvme_connections:
    connections:
      - transport: mptcp
        traddr: 192.0.2.1
        trsvcid: "4420"
        subsysnqn: nqn.2026-11.org.example:vol0
        ctrl_loss_tmo: -1
    iopolicy: queue-depth

- name: Connect whatever one discovery address knows of, now and whenever that changes
  nvmeof.mptcp.nvme_connections:
    connections: []
    discovery:
      - traddr: 192.0.2.1
        trsvcid: "4420"
    discovered:
      ctrl_loss_tmo: -1

- name: Disconnect everything that an earlier description made
  nvmeof.mptcp.nvme_connections:
    connections: []
"""

RETURN = r"""
plan:
  description: What was done, or would be done in check mode, as lines that a person could type. Secrets are asterisks.
  returned: always
  type: list
  elements: str
disconnects:
  description: Names of the connections that were, or would be, taken down.
  returned: success
  type: list
  elements: str
notes:
  description: What the discovery logs say that was not done, or that went, a sentence each.
  returned: success
  type: list
  elements: str
controllers:
  description: The fabrics controllers of the host after the run, as M(nvmeof.mptcp.nvme_info) returns them but for
    C(authentication).
  returned: success
  type: list
  elements: dict
errors:
  description: What is wrong with the input, or what could not be done, one entry each.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.arguments import by_name
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.lock import Busy
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import mending
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.converge import NotConverged, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.desired import IOPOLICIES, PRUNE, Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.diff import dump
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import LIMITS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_options import (
    GONE,
    discovered_spec,
    discovery_spec,
)
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import IdentityRefused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import argument_spec
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import as_dict


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "connections": {"type": "list", "elements": "dict", "required": True, "options": argument_spec()},
            "discovery": {"type": "list", "elements": "dict", "default": [], "options": discovery_spec()},
            "discovered": {"type": "dict", "options": discovered_spec()},
            "gone": {"type": "str", "choices": list(GONE), "default": GONE[0]},
            "discovery_interval": {"type": "int", "default": 300},
            "discovery_networks": {"type": "list", "elements": "str"},
            "discovery_nqns": {"type": "list", "elements": "str"},
            "discovery_limits": {"type": "dict", "options": {kind: {"type": "int"} for kind in LIMITS}},
            "hostnqn": {"type": "str", "default": ""},
            "hostid": {"type": "str", "default": ""},
            "iopolicy": {"type": "str", "choices": ["", *IOPOLICIES], "default": ""},
            "prune": {"type": "str", "choices": list(PRUNE), "default": "owned"},
            "allow_disruption": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    # What is more than a day is a mistake, and what is more than the clock counts is a traceback.
    if not 0 <= module.params["timeout"] <= 86400:
        wrong = [f"timeout is {module.params['timeout']}; it must be from 0 to 86400 seconds"]
        module.fail_json(msg=wrong[0], errors=wrong, plan=[])
    described = by_name(module.params, module.argument_spec)
    try:
        with mending(module.warn):
            outcome = converge(lambda: described, module.check_mode, module.params["timeout"])
    except (Invalid, NotConverged) as error:
        done = [operation.line() for operation in getattr(error, "applied", [])]
        module.fail_json(msg="\n".join(error.errors), errors=error.errors, plan=done, changed=bool(done))
    except Refused as error:
        done = [operation.line() for operation in error.applied]
        module.fail_json(msg=str(error), errors=[str(error)], plan=done, changed=bool(done))
    except (Busy, IdentityRefused, OSError, ValueError) as error:
        module.fail_json(msg=str(error), errors=[str(error)], plan=[])
    for line in outcome.unmade:
        module.warn(f"{line}. A discovery log names it: the service goes on trying")
    module.exit_json(
        changed=outcome.changed,
        plan=[operation.line() for operation in outcome.operations],
        disconnects=outcome.disconnects,
        notes=outcome.notes,
        controllers=as_dict(outcome.nvme.controllers),
        diff={"before": dump(outcome.before), "after": dump(outcome.after)},
    )


if __name__ == "__main__":
    main()
