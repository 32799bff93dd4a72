#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_transport_info
short_description: Ask the kernel whether it offers the mptcp transport, and where its nvme modules come from
description:
  - Loads C(nvme-tcp) and C(nvmet-tcp), writes V(mptcp) to C(addr_trtype) of a scratch port, and asks
    C(/dev/nvme-fabrics) for a connection over an interface that cannot exist. Nothing is connected, and nothing stays.
  - In check mode nothing is loaded or written. The result then says C(probed=false) and judges by the modules on disk
    and by the builds that are loaded.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes.info
attributes:
  check_mode:
    support: partial
    details:
      - In check mode the kernel is not asked, see RV(probed).
options:
  drain_timeout:
    description: How many seconds to wait until nothing uses the loaded modules any more, see RV(holders).
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Ask the kernel
  nvmeof.mptcp.nvme_transport_info:
  register: transport

- name: Both sides have it
  ansible.builtin.assert:
    that: transport.present
"""

RETURN = r"""
architecture:
  description: Architecture of the machine, as C(uname -m) prints it.
  returned: success
  type: str
  sample: x86_64
kernel_release:
  description: Release of the running kernel.
  returned: success
  type: str
  sample: 7.2.12+deb13-cloud-amd64
kernel_version:
  description: Version of the package that owns it; empty when none does.
  returned: success
  type: str
  sample: 7.2.12-1~bpo13+1
probed:
  description: Whether the kernel was asked.
  returned: success
  type: bool
offered:
  description: The kernel's answer for each side; null when it was not asked.
  returned: success
  type: dict
  contains:
    host:
      description: Whether C(/dev/nvme-fabrics) knows the transport.
      type: bool
    target:
      description: Whether a port of nvmet takes it.
      type: bool
present:
  description: Whether both sides have the transport, by the kernel's answer or, when not probed, by provenance.
  returned: success
  type: bool
modules:
  description: The modules that have to do with the transport.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the module.
      type: str
    file:
      description: The file that modprobe would load.
      type: str
    loaded:
      description: Build id of the loaded module; empty when it is not loaded.
      type: str
    on_disk:
      description: Build id of the file.
      type: str
    aliases:
      description: Aliases of the file.
      type: list
      elements: str
    provenance:
      description: What the collection's package recorded in the file; empty for the distribution's own.
      type: str
missing:
  description: What modprobe said of modules that could not be loaded.
  returned: success
  type: list
  elements: str
stale:
  description: Modules of which another build is loaded than the one on disk.
  returned: success
  type: list
  elements: str
holders:
  description: What uses each loaded module and would keep it from being replaced.
  returned: success
  type: dict
obstacles:
  description: Why rebuilt modules cannot bring the transport to this machine; empty when they can.
  returned: success
  type: list
  elements: str
signed_only:
  description: Whether the machine loads signed modules only, as it does where Secure Boot is on; rebuilt ones are not.
  returned: success
  type: bool
deployed:
  description: What a playbook has deployed on the machine, of V(mptcp), V(target) and V(host).
  returned: success
  type: list
  elements: str
trial:
  description: A kernel whose trial has not come to its end yet, see M(nvmeof.mptcp.nvme_kernel_trial); null for none.
  returned: success
  type: dict
  contains:
    release:
      description: Release of that kernel.
      type: str
    verdict:
      description:
        - V(armed) when it boots next, V(running) when it runs, V(failed) when the machine came back with another one.
          V(kept) when it runs and stays, and the run that keeps it did not get to its end.
      type: str
    seen:
      description: What the machine has of that boot, when it failed; from the guard, pstore and the journal.
      type: list
      elements: str
damaged:
  description: What is wrong with the record of trials, which then counts as not there; empty when nothing is.
  returned: success
  type: str
loader:
  description: The boot loader, V(GRUB) or V(systemd-boot); empty for one that cannot boot a kernel just once.
  returned: success
  type: str
next:
  description:
    - The kernel that the boot loader starts by default, the running one where that cannot be told; null when it brings
      nothing else than what runs now.
  returned: success
  type: dict
  contains:
    release:
      description: Release of that kernel.
      type: str
    version:
      description: Version of the package that owns it; empty when none does.
      type: str
    offers:
      description: Whether its modules on disk have the transport.
      type: bool
    obstacles:
      description: Why rebuilt modules cannot bring the transport to it; empty when they can.
      type: list
      elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport import state as _transport_state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.probe import ProbeError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import loader as _loader
from ansible_collections.nvmeof.mptcp.plugins.module_utils._trial import state as _trial_state


def main() -> None:
    module = AnsibleModule(argument_spec={"drain_timeout": {"type": "int", "default": 0}}, supports_check_mode=True)
    deadline = time.monotonic() + module.params["drain_timeout"]
    damaged: list[str] = []
    try:
        with _state.mending(damaged.append):
            trial = _trial_state.trial()
    except OSError as error:
        module.fail_json(msg=str(error))
    try:
        state = _transport_state.read(probe=not module.check_mode)
        while any(state["holders"].values()) and time.monotonic() < deadline:
            time.sleep(2)
            state = _transport_state.read(probe=not module.check_mode)
    except (ProbeError, OSError) as error:
        module.fail_json(msg=f"the mptcp transport cannot be probed: {error}")
    loader = _loader.find()
    following = _trial_state.next_kernel(loader, stale=bool(state["stale"]))
    if trial is None and following and not following["offers"] and following["obstacles"]:
        module.warn(
            f"kernel {following['release']} boots next and has no mptcp transport, nor can rebuilt modules bring it: "
            f"{'; '.join(following['obstacles'])}"
        )
    found = {
        "trial": trial,
        "damaged": "".join(damaged),
        "loader": loader.name if loader else "",
        "next": following,
        "deployed": _state.saved(),
    }
    module.exit_json(changed=False, **found, **state)


if __name__ == "__main__":
    main()
