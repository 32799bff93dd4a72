#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: mptcp_info
short_description: Show MPTCP connections, their subflows, and what each NIC carries
description:
  - Reads MPTCP connections and subflows from the kernel over sock_diag netlink, the endpoints from C(ip -j mptcp), the
    counters from C(/proc/net/netstat) and the bytes of each NIC from sysfs.
  - What is planned comes from C(/etc/nvmeof-mptcp/mptcp.json), which M(nvmeof.mptcp.mptcp_endpoints) saved; without it
    nothing is planned.
  - The result describes one network namespace, that of the Ansible connection.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes.info
options:
  port:
    description:
      - Only connections whose local or remote port is this one, for example V(4420).
      - Without it all MPTCP connections are returned.
    type: int
"""

EXAMPLES = r"""
- name: Look at the connections of the NVMe port
  nvmeof.mptcp.mptcp_info:
    port: 4420
  register: mptcp
"""

RETURN = r"""
connections:
  description: MPTCP connections with their subflows, in a stable order.
  returned: success
  type: list
  elements: dict
  contains:
    token:
      description: The kernel's token of the connection; it stays the same as long as the connection lives.
      type: int
    local:
      description: Local address of the connection's first subflow.
      type: str
    local_port:
      description: Local port of the connection's first subflow.
      type: int
    remote:
      description: Address connected to.
      type: str
    remote_port:
      description: Port connected to.
      type: int
    established:
      description: Whether the connection is established.
      type: bool
    fallback:
      description: Whether the connection fell back to plain TCP and uses one path.
      type: bool
    bytes_acked:
      description: Bytes that the peer has acknowledged since the connection was made, over all its subflows.
      type: int
    bytes_received:
      description: Bytes received since the connection was made, over all its subflows.
      type: int
    planned:
      description:
        - Rails on which the connection should have a subflow; empty for one that is not to a target of the saved
          description.
      type: list
      elements: str
    missing:
      description: Those of RV(connections[].planned) on which it has no established subflow.
      type: list
      elements: str
    subflows:
      description: TCP flows of the connection.
      type: list
      elements: dict
      contains:
        local:
          description: Local address.
          type: str
        local_port:
          description: Local port.
          type: int
        remote:
          description: Remote address.
          type: str
        remote_port:
          description: Remote port.
          type: int
        interface:
          description: NIC that has the local address; empty when none has it.
          type: str
        rail:
          description: Rail of the local address; empty when no rail of the saved description has it.
          type: str
        state:
          description:
            - V(opening) before it is established, V(stale) while the far end does not answer and the kernel passes it
              over, V(backup) when it is used only while no other is left, else V(active).
          type: str
        established:
          description: Whether the subflow is established.
          type: bool
        backup:
          description: Whether the subflow is used only when no other is left.
          type: bool
        address_id:
          description: MPTCP identifier of the local address.
          type: int
        rtt_us:
          description: Smoothed round trip time in microseconds.
          type: int
        bytes_sent:
          description: Bytes sent since the subflow was established.
          type: int
        bytes_received:
          description: Bytes received since the subflow was established.
          type: int
        retransmissions:
          description: Segments sent again since the subflow was established.
          type: int
        backoffs:
          description: How often in a row TCP waited in vain for an answer; V(0) when it waits for none.
          type: int
        retry_in_ms:
          description: Milliseconds until TCP sends again what was not answered; V(-1) when nothing waits.
          type: int
        rate:
          description: Bytes per second that were delivered when the subflow was last busy.
          type: int
endpoints:
  description: Endpoints as C(ip -j mptcp endpoint show) gives them.
  returned: success
  type: list
  elements: dict
foreign_endpoints:
  description:
    - Addresses of endpoints that are not in the saved description; NetworkManager, mptcpd or a person made them.
  returned: success
  type: list
  elements: str
counters:
  description: MPTcpExt counters since boot.
  returned: success
  type: dict
warnings_seen:
  description: Meaning of each counter above 0 that tells of a fallback or of a subflow that failed.
  returned: success
  type: dict
interfaces:
  description: Bytes received and sent, operational state and carrier of each NIC.
  returned: success
  type: dict
"""

import json
from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux import sock_diag
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import counters as _mptcp_counters
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import rails as _mptcp_rails
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import saved


def ip(module: AnsibleModule, *arguments: str) -> Any:
    """Output of an ip command as data; ip prints nothing at all for an empty list."""
    # Reason for a command: there is no MPTCP path manager interface but generic netlink, which iproute2 speaks.
    _rc, out, _err = module.run_command([module.get_bin_path("ip", required=True), "-j", *arguments], check_rc=True)
    return json.loads(out) if out.strip() else []


def addresses(module: AnsibleModule) -> dict[str, str]:
    """Address to the name of the NIC that has it."""
    links = ip(module, "address", "show")
    return {info["local"]: link["ifname"] for link in links for info in link.get("addr_info", []) if "local" in info}


def shown(connection: sock_diag.Connection, rails: dict[str, str], owner: dict[str, str]) -> dict[str, Any]:
    """A connection as it is returned. rails: the planned ones with their addresses. owner: NIC by address."""
    named = {address: rail for rail, address in rails.items()}
    out = asdict(connection)
    for flow, told in zip(connection.subflows, out["subflows"]):
        told.update(interface=owner.get(flow.local, ""), rail=named.get(flow.local, ""), state=flow.state)
        del told["token"]
    there = {flow.local for flow in connection.subflows if flow.established}
    missing = [rail for rail, address in rails.items() if address not in there]
    return {**out, "planned": list(rails), "missing": missing}


def main() -> None:
    module = AnsibleModule(argument_spec={"port": {"type": "int"}}, supports_check_mode=True)
    port = module.params["port"]
    owner = addresses(module)
    try:
        description = saved.load() or {"endpoints": [], "routes": []}
        found = sock_diag.connections()
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))
    services = _mptcp_rails.planned(description)
    ours = {endpoint["address"] for endpoint in description["endpoints"]}
    endpoints = ip(module, "mptcp", "endpoint", "show")
    counters = _mptcp_counters.counters()
    module.exit_json(
        changed=False,
        connections=[
            shown(one, services.get(one.remote, {}), owner)
            for one in found
            if port in (None, one.local_port, one.remote_port)
        ],
        endpoints=endpoints,
        foreign_endpoints=[one["address"] for one in endpoints if one["address"] not in ours],
        counters=counters,
        warnings_seen={name: text for name, text in _mptcp_counters.MEANINGS.items() if counters.get(name)},
        interfaces=_mptcp_counters.interfaces(),
    )


if __name__ == "__main__":
    main()
