#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab_controller
short_description: Check that the lab can run on this controller
author:
  - The nvmeof.mptcp authors (@nvmeof)
description:
  - Checks the operating system, the rights and the free space, and names the packages that are missing.
  - Runs on the controller as an action plugin.
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
  - nvmeof.mptcp._attributes.info
options:
  lab_dir:
    description: The folder of the lab.
    type: path
    required: true
  cache_dir:
    description: The folder of the images and snapshots.
    type: path
    required: true
  boot:
    description: The ways in which the machines boot, see M(nvmeof.mptcp.lab_machines).
    type: list
    elements: str
    choices: [direct, grub, systemd-boot]
    default: [direct]
"""

EXAMPLES = r"""
- name: Check the controller
  nvmeof.mptcp.lab_controller:
    lab_dir: /srv/lab
    cache_dir: ~/.cache/nvmeof-mptcp
  register: controller
"""

RETURN = r"""
missing_packages:
  description: The Debian packages to install.
  type: list
  elements: str
  returned: success
  sample: [mmdebstrap, qemu-system-x86]
"""
