#!/usr/bin/python
# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_program
short_description: Install the program that converges a node at boot and on events
description:
  - configfs, MPTCP endpoints and controllers are gone after a reboot. The boot units of this collection run one small
    program that converges the node to the descriptions saved under C(/etc/nvmeof-mptcp).
  - The program is a zipapp made of the same files that run in the collection's modules, so that boot takes the code
    path of the playbook. It needs the Python standard library only, and is compiled for the node's Python when it is
    installed, since a boot and a shutdown wait for its start.
  - The systemd unit that runs it at boot is installed and enabled by the same call, as every call costs a node time.
  - An action plugin of the same name makes the program on the controller and hands it over.
author:
  - The nvmeof.mptcp authors (@nvmeof)
extends_documentation_fragment:
  - nvmeof.mptcp._attributes
options:
  unit:
    description: Name of the unit file that runs the program at boot.
    type: str
    required: true
  unit_content:
    description: Text of the unit file.
    type: str
    required: true
  files:
    description: Settings that the unit needs beside it, absolute path to text; written before the unit, with mode 0644.
    type: dict
    default: {}
  running:
    description: Whether the unit has to run now as well; it is restarted when it or the program changed.
    type: bool
    default: false
  only_active:
    description:
      - Whether a unit that does not run is left as it is, and with it the program.
      - Used before what a unit keeps is changed, it ends a program of another release, which would save what it knows.
    type: bool
    default: false
  program:
    description: The program, compressed with zlib and in base64. The action plugin sets it; a task does not.
    type: str
"""

EXAMPLES = r"""
- name: Install the node program, and run it at boot
  nvmeof.mptcp.node_program:
    unit: nvmeof-mptcp-target.service
    unit_content: "{{ lookup('ansible.builtin.file', 'nvmeof-mptcp-target.service', rstrip=false) }}"
"""

RETURN = r"""
path:
  description: Where the program is.
  returned: success
  type: str
  sample: /usr/local/lib/nvmeof-mptcp/nvmeof-mptcp.pyz
changed_files:
  description: Paths of O(files) that changed, or would.
  returned: success
  type: list
  elements: str
sha256:
  description: Hash of the sources of the program that this version of the collection installs.
  returned: success
  type: str
"""

import base64
import zlib

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import unit as _unit
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused, checked
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.state import replace_file


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "unit_content": {"type": "str", "required": True},
            "files": {"type": "dict", "default": {}},
            "running": {"type": "bool", "default": False},
            "only_active": {"type": "bool", "default": False},
            "program": {"type": "str"},
        },
        supports_check_mode=True,
    )
    unit, text, running, files = (module.params[name] for name in ("unit", "unit_content", "running", "files"))
    try:
        checked("file name", unit, "unit")
    except Refused as error:
        module.fail_json(msg=str(error))
    program = zlib.decompress(base64.b64decode(module.params["program"]))
    path, wanted, found = _unit.PROGRAM, _unit.digest_of(program), _unit.digest()
    if module.params["only_active"] and not _unit.active(unit):
        module.exit_json(changed=False, path=path, sha256=wanted, changed_files=[], diff=[])
    # Another program is another unit: what runs the old one is started anew, whichever call brought the new one.
    text = f"{text.rstrip()}\n# sha256 of the program: {wanted}\n"
    # A unit that is not there cannot be asked whether boot starts it.
    here = _unit.current(unit)
    before = {
        path: f"sha256 {found}" if found else "",
        **{name: _unit.text_of(name) for name in files},
        unit: here + f"# enabled: {_unit.enabled(unit)}" if here else "",
    }
    after = {path: f"sha256 {wanted}", **files, unit: text + "# enabled: True"}
    if running:
        before[unit] += f", active: {_unit.active(unit)}" if here else ""
        after[unit] += ", active: True"
    changed = [name for name in after if before[name] != after[name]]
    if changed and not module.check_mode:
        try:
            if path in changed:
                # Renamed into place: a unit that starts now sees the old one or the new one, never half of it.
                replace_file(path, _unit.compiled(program), 0o755)
            for name in [name for name in files if name in changed]:
                replace_file(name, files[name], 0o644)
            _unit.install(unit, text, restart=running)
        except OSError as error:
            module.fail_json(msg=f"the node program could not be installed: {error}")
    diff = [
        {"before_header": name, "after_header": name, "before": before[name] + "\n", "after": after[name] + "\n"}
        for name in changed
    ]
    changed_files = [name for name in files if name in changed]
    module.exit_json(changed=bool(changed), path=path, sha256=wanted, changed_files=changed_files, diff=diff)


if __name__ == "__main__":
    main()
