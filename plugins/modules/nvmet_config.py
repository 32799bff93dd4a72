#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvmet_config
short_description: Make the kernel's NVMe target serve what is described
description:
  - Takes the whole of an NVMe target (subsystems, namespaces, allowed hosts, ports) as one tree and brings nvmet's
    configfs to it in place. What is equal already is neither written nor opened for writing.
  - Things are made first and removed last; nothing is torn down to be rebuilt.
  - An attribute that is not described goes back to the kernel's default where it has a fixed one, and stays as it
    is where it has none (like O(subsystems[].serial)).
  - Everything is checked before anything is changed, the devices included. A block device that this machine uses
    itself (mounted, swap, part of md, LVM or a pool) is refused, because nvmet would export it without a word.
  - Where the device of a served namespace has another size than nvmet saw, nvmet is told to look again, and hosts
    follow.
  - After a successful run the description is saved for the next boot, see O(persist).
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  prune:
    description:
      - What to remove of that which is not described.
      - V(owned) removes only what an earlier description of this module made, V(none) nothing, and V(all) whatever
        else nvmet has.
      - Nothing is removed that something which stays lies in or links to.
    type: str
    choices: [owned, none, all]
    default: owned
  allow_disruption:
    description:
      - NQNs of subsystems whose connected hosts this run may disturb.
      - A run that would drop a controller, take away a namespace, change its identity or leave it without an accessible
        ANA state (V(optimized) or V(non-optimized)) on a port, while a host is connected there, is refused as a whole,
        unless its subsystem is named here.
      - A subsystem that the description renames or drops is named by the NQN that it has now, as in RV(disconnects).
      - Check mode refuses nothing for this. It tells the cost in RV(disconnects) and warns of what a run would refuse.
    type: list
    elements: str
    default: []
  persist:
    description:
      - Whether the description is saved in C(/etc/nvmeof-mptcp/target.json), from where the role's unit applies it
        at boot.
      - The file is replaced only after everything was applied. With V(false) it stays as it is, keys included, so that
        the next boot brings back what was saved last.
      - It refers to DH-HMAC-CHAP keys, which are in one file for each host under C(/etc/nvmeof-mptcp/keys/target), with
        mode 0600. The file goes with its host. At boot a host whose file is missing or readable by others is not let
        in.
    type: bool
    default: true
  discovery_nqn:
    description:
      - NQN that the discovery service answers to, 1 to 222 bytes; the well-known one by default.
    type: str
  hosts:
    description:
      - Hosts with settings of their own; a host that is only allowed needs no entry.
    type: list
    elements: dict
    suboptions:
      nqn:
        description:
          - Host NQN.
        type: str
        required: true
      dhchap_hash:
        description:
          - Hash of the authentication, V(hmac(sha256\)), V(hmac(sha384\)) or V(hmac(sha512\)).
        type: str
      dhchap_dhgroup:
        description:
          - Diffie-Hellman group, V(null), V(ffdhe2048), V(ffdhe3072), V(ffdhe4096), V(ffdhe6144) or V(ffdhe8192).
        type: str
      dhchap_key:
        description:
          - DH-HMAC-CHAP key of the host, as C(nvme gen-dhchap-key) prints it. A host authenticates by it from its
            next connection on.
          - A host that has a key and is described without one keeps it, now and at boot, for nvmet forgets a key only
            with its host. To take it away, leave the host out of O(hosts) and of every
            O(subsystems[].allowed_hosts) in one run, with O(prune) not V(none), and describe it without a key in the
            next.
          - It is shown nowhere, and nvmet's own file of it, which everyone could read, is made readable for root alone.
        type: str
        aliases: [dhchap_secret]
      dhchap_ctrl_key:
        description:
          - DH-HMAC-CHAP key by which the target authenticates itself to the host. Left out, it stays like
            O(hosts[].dhchap_key).
        type: str
        aliases: [dhchap_ctrl_secret]
  subsystems:
    description:
      - Subsystems and what they hold.
    type: list
    elements: dict
    suboptions:
      nqn:
        description:
          - NQN of the subsystem.
        type: str
        required: true
      allow_any_host:
        description:
          - Whether any host may connect. Never inferred, and in contradiction to O(subsystems[].allowed_hosts).
        type: bool
      version:
        description:
          - NVMe version that is reported, like V('2.1'); nvmet refuses a change once a host has discovered the
            subsystem.
        type: str
      serial:
        description: >-
          Serial number, 1 to 20 ASCII characters. Random by default: write it, or it changes whenever the subsystem
          is made anew.
        type: str
      model:
        description:
          - Model number, 1 to 40 ASCII characters; V(Linux) by default.
        type: str
      firmware:
        description:
          - Firmware revision, 1 to 8 ASCII characters; the kernel's release by default.
        type: str
      ieee_oui:
        description:
          - IEEE OUI, V(0) to V(0xffffff).
        type: str
      cntlid_min:
        description:
          - Lowest controller ID, V(1) to V(65535); targets that serve one NQN need disjoint ranges.
        type: int
      cntlid_max:
        description:
          - Highest controller ID, V(1) to V(65535).
        type: int
      vendor_id:
        description:
          - PCI vendor ID, V(0) to V(0xffff).
        type: str
      subsys_vendor_id:
        description:
          - PCI subsystem vendor ID, V(0) to V(0xffff).
        type: str
      qid_max:
        description:
          - Highest queue ID, V(1) to V(128). A change makes every connected host reconnect.
        type: int
      pi_enable:
        description:
          - Whether protection information is offered, on a kernel built with it.
        type: bool
      namespaces:
        description:
          - Namespaces of the subsystem, at most 1024.
        type: list
        elements: dict
        suboptions:
          nsid:
            description:
              - Namespace ID, V(1) to V(4294967294).
            type: int
            required: true
          device_path:
            description:
              - Block device, by a name that stays (C(/dev/disk/by-id/…), C(/dev/mapper/…)), or a regular file.
                Refused when this machine uses it itself.
              - A name that the kernel gives in order of discovery (C(/dev/sdb), C(/dev/nvme1n1)) is refused, and the
                error tells the device's names that stay. Where nvmet serves the device by such a name already,
                writing another name of it closes nothing.
            type: str
          uuid:
            description: >-
              UUID by which hosts know the namespace. Random by default: write it, or it changes whenever the
              namespace is made anew.
            type: str
          nguid:
            description:
              - NGUID of the namespace, 32 hexadecimal digits.
            type: str
          buffered_io:
            description:
              - Whether a file is served through the page cache.
            type: bool
          resv_enable:
            description:
              - Whether reservations are offered.
            type: bool
          p2pmem:
            description:
              - Peer-to-peer memory to use, on a kernel built with it.
            type: str
          ana_grpid:
            description:
              - ANA group, V(1) to V(127); V(1) by default.
            type: int
          enable:
            description:
              - Whether the namespace is served; V(true) unless written otherwise.
            type: bool
      allowed_hosts:
        description:
          - NQNs of the hosts that may connect.
        type: list
        elements: str
      passthru:
        description:
          - An NVMe controller of this machine to pass through instead of namespaces.
        type: dict
        suboptions:
          device_path:
            description:
              - The character device of the controller, like V(/dev/nvme0). None of its namespaces may be in use by this
                machine, or be served by itself.
              - The kernel numbers controllers in order of discovery and udev has no other names for them. On a machine
                with several, make sure that the order stays.
            type: str
          admin_timeout:
            description:
              - Timeout of admin commands in seconds; V(0) is the driver's own.
            type: int
          io_timeout:
            description:
              - Timeout of I/O commands in seconds; V(0) is the driver's own.
            type: int
          clear_ids:
            description:
              - Whether identifiers of the passed-through namespaces are hidden.
            type: bool
          enable:
            description:
              - Whether the controller is passed through; V(true) unless written otherwise.
            type: bool
  ports:
    description:
      - Ports that hosts connect to.
    type: list
    elements: dict
    suboptions:
      portid:
        description:
          - Port ID, V(0) to V(65535).
        type: int
        required: true
      trtype:
        description:
          - Transport, V(mptcp), V(tcp), V(rdma), V(fc), V(loop) or V(pci), as the kernel offers it.
        type: str
      adrfam:
        description:
          - Address family, V(ipv4), V(ipv6), V(ib), V(fc), V(loop) or V(pci).
        type: str
      traddr:
        description:
          - Transport address, like an IP address of this machine.
        type: str
      trsvcid:
        description:
          - Transport service ID, for IP transports the port number.
        type: str
      tsas:
        description:
          - Transport specific address subtype, V(none), V(tls1.3) or V(connected).
        type: str
      treq:
        description:
          - Whether a secure channel is needed, V(not specified), V(required) or V(not required).
        type: str
      allow_unauthenticated_tls:
        description:
          - Accept that hosts can pass for one another, or come in without their DH-HMAC-CHAP keys, where
            O(ports[].tsas) is V(tls1.3).
          - The kernel's TLS encrypts and authenticates nobody. On such a port nvmet asks no host for its key, and
            compares the PSK with nothing that the host says of itself. Unless this is V(true) such a port is refused
            where a host that is allowed has a key, where more than one is, and with O(subsystems[].allow_any_host).
        type: bool
      inline_data_size:
        description:
          - Bytes of data that a command may carry; the transport's own by default.
        type: int
      max_queue_size:
        description:
          - Entries of a queue, V(16) to V(1024); the transport's own by default.
        type: int
      mdts:
        description:
          - Maximum data transfer size as a power of two of pages, V(0) to V(255); V(0) is no limit.
        type: int
      pi_enable:
        description:
          - Whether protection information is offered, on a kernel built with it.
        type: bool
      ana_groups:
        description:
          - ANA groups of the port with their states.
        type: list
        elements: dict
        suboptions:
          grpid:
            description:
              - ANA group ID, V(1) to V(127).
            type: int
            required: true
          ana_state:
            description:
              - State of the group on this port, V(optimized), V(non-optimized), V(inaccessible), V(persistent-loss)
                or V(change).
            type: str
      referrals:
        description:
          - Other discovery services that this port's discovery log names.
        type: list
        elements: dict
        suboptions:
          name:
            description:
              - Name of the referral.
            type: str
            required: true
          trtype:
            description:
              - Transport, as in O(ports[].trtype).
            type: str
          adrfam:
            description:
              - Address family, as in O(ports[].adrfam).
            type: str
          traddr:
            description:
              - Transport address of the other discovery service.
            type: str
          trsvcid:
            description:
              - Transport service ID of the other discovery service.
            type: str
          portid:
            description:
              - Port ID in the log entry.
            type: int
          treq:
            description:
              - As in O(ports[].treq).
            type: str
          enable:
            description:
              - Whether the log names it; V(true) unless written otherwise.
            type: bool
      subsystems:
        description:
          - NQNs of the subsystems that the port serves; the first one opens it.
        type: list
        elements: str
notes:
  - Needs root and a kernel with nvmet, which is loaded when it is not.
  - Transport V(mptcp) needs the modules that role P(nvmeof.mptcp.nvme_kernel#role) brings.
seealso:
  - module: nvmeof.mptcp.nvmet_info
"""

EXAMPLES = r"""
- name: Serve a disk over NVMe over MPTCP
  nvmeof.mptcp.nvmet_config:
    subsystems:
      - nqn: nqn.2026-11.org.example:vol0
        serial: 8a6a1b2c3d0b2c1e9e3a
        allowed_hosts: ["nqn.2026-11.org.example:host1"]
        namespaces:
          - nsid: 1
            device_path: /dev/disk/by-id/virtio-vol0
            uuid: 0b2c1e9e-3a2f-4a5c-9f4e-0d8a6a1b2c3d
    ports:
      - portid: 1
        trtype: mptcp
        adrfam: ipv4
        traddr: 10.10.255.1
        trsvcid: "4420"
        subsystems: ["nqn.2026-11.org.example:vol0"]
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, in order, as lines that a person could type.
  returned: success
  type: list
  elements: str
  sample: ["mkdir /sys/kernel/config/nvmet/ports/1"]
kept:
  description:
    - What an earlier description made and this one does not name, kept because something that is not ours lies in it
      or links to it.
  returned: success
  type: list
  elements: str
  sample: ["hosts/nqn.2026-11.org.example:host1"]
disconnects:
  description:
    - What the plan costs the hosts that are connected now, one entry for each subsystem that is disturbed.
    - Where the kernel has nvmet's debugfs, it tells which subsystem a host uses; elsewhere a host counts with every
      subsystem of its port, and for transport V(mptcp) with every port of that service ID.
  returned: success
  type: list
  elements: dict
  contains:
    subsystem:
      description: NQN of the subsystem.
      type: str
    ports:
      description: IDs of the ports on which every controller of the subsystem is dropped.
      type: list
      elements: str
    namespaces:
      description: IDs of the namespaces that are taken away, for a moment or for good.
      type: list
      elements: str
    inaccessible:
      description:
        - For the ID of each port, the IDs of the namespaces that hosts can use there now and, by their ANA states, no
          longer afterwards.
      type: dict
    hosts:
      description:
        - NQNs of the connected hosts where the kernel has nvmet's debugfs, else their addresses, V(this machine) for
          transport V(loop) and V(unknown) for a transport that does not tell.
      type: list
      elements: str
applied:
  description:
    - What had been done before the kernel refused an operation or a file could not be written.
    - It stays; a further run continues from there.
  returned: when the kernel refuses an operation or a file cannot be written
  type: list
  elements: str
problems:
  description: One sentence for each mistake in the description.
  returned: when the description is refused
  type: list
  elements: str
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.lock import Busy
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import Unsaved, mending
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.arguments import arguments, description
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.converge import Disruptive, NotConverged, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.prune import CHOICES
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import label, render


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments(),
            "prune": {"type": "str", "choices": list(CHOICES), "default": "owned"},
            "allow_disruption": {"type": "list", "elements": "str", "default": []},
            "persist": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        with mending(module.warn):
            result = converge(
                description(params),
                check=module.check_mode,
                prune=params["prune"],
                persist=params["persist"],
                allow_disruption=params["allow_disruption"],
            )
    except Invalid as error:
        module.fail_json(msg="; ".join(error.problems), problems=error.problems)
    except (Refused, Unsaved) as error:
        module.fail_json(msg=str(error), applied=[operation.line() for operation in error.applied])
    except (Disruptive, NotConverged, Busy, ValueError, OSError) as error:
        module.fail_json(msg=str(error))
    for path in result.kept:
        module.warn(f"{label(path)} is not described any more and stays, for something that is not ours uses it")
    for one in result.disconnects:
        refused = module.check_mode and one.subsystem not in params["allow_disruption"]
        remedy = f". A run refuses that: stop the use, or list {one.subsystem} in allow_disruption" if refused else ""
        module.warn(one.words() + remedy)
    diff = {"before_header": "nvmet", "after_header": "nvmet"}
    module.exit_json(
        changed=result.changed,
        plan=[operation.line() for operation in result.plan],
        kept=result.kept,
        disconnects=[dataclasses.asdict(one) for one in result.disconnects],
        diff={**diff, "before": render(result.before), "after": render(result.after)},
    )


if __name__ == "__main__":
    main()
