#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_machines
short_description: Start and end the lab's machines
author:
  - The nvmeof.mptcp authors (@nvmeof)
description:
  - Has QEMU machines running in a folder of the controller, with a NIC in each network, reached over ssh with the
    C(ssh_config) it writes.
  - Machines that run are kept. When none does, all start from a snapshot of booted machines on which no role has
    run; the snapshot is made when the cache has none for this image and these machines.
  - With KVM where a guest really boots with it, otherwise emulated.
  - QEMU runs as the user C(nvmeof-mptcp-lab), which the role P(nvmeof.mptcp.lab#role) makes, without capabilities, in
    a sandbox, and writes in its machines' folders alone. Images, snapshots and the key for ssh stay root's.
  - Runs on the controller as an action plugin, and shows its progress.
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
attributes:
  check_mode:
    support: partial
    details:
      - In check mode only the description of the machines is checked.
  diff_mode:
    support: none
options:
  state:
    description: V(absent) ends the machines and removes O(lab_dir).
    type: str
    choices: [present, absent]
    default: present
  lab_dir:
    description: The folder of the lab. Another one is another lab, which can run at the same time.
    type: path
    required: true
  cache_dir:
    description: The folder of the images and snapshots. Needed to start machines.
    type: path
  images:
    description: >-
      The folder of an image for each way to boot of the machines, as M(nvmeof.mptcp.lab_image) returns them. Needed
      to start machines.
    type: dict
  machines:
    description: The machines, in the order of their start. Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: The host name.
        type: str
        required: true
      number:
        description: Its address in each network, counted from the network's own, and part of its MAC addresses.
        type: int
        required: true
      memory:
        description: MiB.
        type: int
        default: 1280
      cpus:
        description: Virtual processors.
        type: int
        default: 2
      boot:
        description: >-
          How it comes to its kernel: V(direct) is given it by QEMU; V(grub) boots through GRUB from a BIOS and
          V(systemd-boot) through systemd-boot from UEFI, both from its own disk, so kernels can be installed and
          tried; these have a watchdog (i6300esb).
        type: str
        choices: [direct, grub, systemd-boot]
        default: direct
      networks:
        description: The names of its networks. Without it all of O(networks).
        type: list
        elements: str
      disks:
        description: Empty disks besides the root disk.
        type: list
        elements: dict
        default: []
        suboptions:
          serial:
            description: Up to 20 characters; the disk is C(/dev/disk/by-id/virtio-SERIAL).
            type: str
            required: true
          size:
            description: Number and unit, for example V(512M) or V(1G).
            type: str
            required: true
  networks:
    description: The networks that join the machines. Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      name:
        description: Up to 15 characters; the name of the NICs in it.
        type: str
        required: true
      cidr:
        description: The network, IPv4 or IPv6.
        type: str
        required: true
      rate:
        description: What each NIC in it sends at most, in bit/s, for example V(40M); as fast as it can without it.
        type: str
      mtu:
        description: MTU of the NICs in it, in bytes; the driver's own (1500) without it.
        type: int
"""

EXAMPLES = r"""
- name: Start a machine with one disk
  nvmeof.mptcp.lab_machines:
    lab_dir: /srv/lab
    cache_dir: ~/.cache/nvmeof-mptcp
    images: "{{ lab_image.paths }}"
    machines:
      - name: target1
        number: 1
        disks: [{serial: vol0, size: 1G}]
    networks:
      - {name: rail0, cidr: 10.10.0.0/24}

- name: End it
  nvmeof.mptcp.lab_machines:
    state: absent
    lab_dir: /srv/lab
"""

RETURN = r"""
ssh_config:
  description: An ssh configuration file for O(lab_dir)'s machines.
  type: str
  returned: when O(state=present)
  sample: /srv/lab/ssh_config
boot:
  description: The ways in which the machines boot.
  type: list
  elements: str
  returned: in check mode, when O(state=present)
  sample: [direct]
"""
