#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_image
short_description: Build the images of the lab's machines
author:
  - The nvmeof.mptcp authors (@nvmeof)
description:
  - Makes a Debian 13 file system with a kernel that the archive has of a supported series (7.3 or 7.2).
  - For machines that boot directly it is C(root.raw), C(vmlinuz) and C(initrd). Machines that boot through GRUB or
    systemd-boot share a disk with both, C(root.raw), and UEFI's code and variables.
  - The result stays in the cache under a hash of everything that made it, so a second run with the same input
    builds nothing.
  - Runs on the controller as an action plugin, as root, and shows its progress.
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
attributes:
  check_mode:
    support: none
  diff_mode:
    support: none
options:
  cache_dir:
    description: The folder of the images and snapshots.
    type: path
    required: true
  packages:
    description: Debian packages in the image, besides the essential ones and the kernel.
    type: list
    elements: str
    required: true
  mirror:
    description: >-
      The URI of a mirror of Debian's archive. Without it, or empty, the one that the controller's apt
      uses.
    type: str
  kernel_series:
    description: >-
      Which of the series that the archive has, V(newest) or V(oldest), or the series itself, for example
      V(7.2).
    type: str
    default: newest
  boot:
    description: The ways in which the machines boot, see M(nvmeof.mptcp.lab_machines).
    type: list
    elements: str
    choices: [direct, grub, systemd-boot]
    default: [direct]
"""

EXAMPLES = r"""
- name: Build the images
  nvmeof.mptcp.lab_image:
    cache_dir: ~/.cache/nvmeof-mptcp
    packages: [systemd-sysv, udev, openssh-server, python3]
    boot: [direct, grub]
  register: lab_image
"""

RETURN = r"""
paths:
  description: The folder of the image for each of O(boot).
  type: dict
  returned: success
  sample:
    direct: /root/.cache/nvmeof-mptcp/images/0123456789abcdef
    grub: /root/.cache/nvmeof-mptcp/images/fedcba9876543210
kernel:
  description: The kernel in the image.
  type: dict
  returned: success
  contains:
    package:
      description: The name of its package.
      type: str
    version:
      description: The version of its package.
      type: str
    release:
      description: What C(uname -r) says.
      type: str
mirror:
  description: The mirror that was used, or would be if the image had to be built.
  type: str
  returned: success
  sample: https://debian.example.org/debian
"""
