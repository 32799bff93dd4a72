#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_info
short_description: Read the NVMe over Fabrics controllers, subsystems and namespaces of a host
description:
  - Returns what the kernel has, from sysfs and from the sockets, as structured data.
  - On every machine of a fabric it also returns whether the kernel has the mptcp transport, which program boots it, and
    what NICs and MPTCP have counted.
  - A controller is told to be MPTCP by its sockets, because a kernel of the posted series names it C(tcp) in sysfs.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes.info
options: {}
"""

EXAMPLES = r"""
- name: Read the controllers of this host
  nvmeof.mptcp.nvme_info:
  register: __nvme
"""

RETURN = r"""
hostnqn:
  description: What C(/etc/nvme/hostnqn) says, empty when it does not exist.
  returned: success
  type: str
hostid:
  description: What C(/etc/nvme/hostid) says, empty when it does not exist.
  returned: success
  type: str
transport:
  description: The state of the mptcp transport as M(nvmeof.mptcp.nvme_transport_info) returns it in check mode.
  returned: success
  type: dict
node_program:
  description:
    - sha256 of the sources of the program that M(nvmeof.mptcp.node_program) installed, empty when there is none.
  returned: success
  type: str
counters:
  description: MPTcpExt counters since boot.
  returned: success
  type: dict
interfaces:
  description: Bytes received and sent, operational state and carrier of each NIC.
  returned: success
  type: dict
controllers:
  description: The fabrics controllers.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The kernel's name.
      type: str
      sample: nvme0
    transport:
      description: The transport that it really uses.
      type: str
      sample: mptcp
    sysfs_transport:
      description: The transport that sysfs names.
      type: str
    traddr:
      description: Address of the target, in one spelling.
      type: str
    trsvcid:
      description: Port of the target.
      type: str
    host_traddr:
      description: Local address that was asked for, else empty.
      type: str
    host_iface:
      description: Local interface that was asked for, else empty.
      type: str
    src_addr:
      description: Local address of the first subflow.
      type: str
    subsysnqn:
      description: NQN of the subsystem.
      type: str
    hostnqn:
      description: NQN that the host uses there.
      type: str
    hostid:
      description: Host identifier that the host uses there.
      type: str
    state:
      description: The kernel's state.
      type: str
      sample: live
    cntrltype:
      description: Kind of controller.
      type: str
      sample: io
    cntlid:
      description: Controller identifier at the target.
      type: int
    queue_count:
      description: Queues, the admin queue included; each is one connection.
      type: int
    options:
      description: Timeouts in seconds, V(-1) for never.
      type: dict
    authentication:
      description: Whose DH-HMAC-CHAP secret it has for a target that asks for it, V(none), that of the V(host), or
        V(mutual) for that of the target too.
      type: str
    path:
      description: Its folder in sysfs.
      type: str
    paths:
      description: The namespaces it reaches, each with C(namespace) (the device in use), C(nsid) and C(ana_state).
      type: list
      elements: dict
portals:
  description:
    - For every target address and port that MPTCP controllers use, the sockets behind them. Sockets are matched by
      their remote address, so controllers of
      one portal share the list.
  returned: success
  type: list
  elements: dict
  contains:
    traddr:
      description: Address of the target.
      type: str
    trsvcid:
      description: Port of the target.
      type: str
    controllers:
      description: Names of the controllers.
      type: list
      elements: str
    queues:
      description: Queues of these controllers together, which is the number of connections there should be.
      type: int
    connections:
      description: MPTCP connections, each with C(token), C(established), C(fallback) and C(subflows); a subflow has
        addresses, ports and byte counts.
      type: list
      elements: dict
subsystems:
  description: The subsystems.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The kernel's name.
      type: str
      sample: nvme-subsys0
    subsysnqn:
      description: NQN of the subsystem.
      type: str
    iopolicy:
      description: How native multipath spreads I/O over its paths, empty without native multipath.
      type: str
      sample: queue-depth
    model:
      description: Model number.
      type: str
    serial:
      description: Serial number.
      type: str
    path:
      description: Its folder in sysfs.
      type: str
    namespaces:
      description: The block devices, each with C(name), C(nsid), C(uuid), C(nguid), C(wwid), C(size) in bytes and
        C(users), a sentence for each mount, swap, holder, loop device, nvmet namespace or process that uses it or a
        partition of it.
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.identity import find
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.report import report
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import read
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import counters
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state as _transport_state


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        identity = find()
        module.exit_json(
            changed=False,
            hostnqn=identity.hostnqn,
            hostid=identity.hostid,
            transport=_transport_state.read(probe=False),
            node_program=unit.digest(),
            counters=counters.counters(),
            interfaces=counters.interfaces(),
            **report(read(), known=_state.owned(COMPONENT)),
        )
    except (OSError, _state.Damaged) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
