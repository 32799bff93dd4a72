# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulation refuses what the kernel refuses; the same table is run on the real kernel."""

from __future__ import annotations

import errno

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.refusals import explain
from emulated_configfs import ROOT, EmulatedKernel
from nvmet_refusal_cases import CASES


def operation(verb: str, path: str, value: str = "") -> Operation:
    value = f"{ROOT}/{value}" if verb == "symlink" else value.format(device="/dev/disk/by-id/x")
    return Operation(verb, f"{ROOT}/{path}", value)


@pytest.mark.parametrize(("before", "refused", "code"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_emulation_refuses_what_the_kernel_refuses(before, refused, code: str) -> None:
    kernel = EmulatedKernel(absent=["/nowhere/at/all"])
    for step in before:
        kernel.perform(operation(*step))
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        kernel.perform(operation(*refused))
    assert errno.errorcode[caught.value.errno] == code
    if code != "EPERM":
        why = explain(operation(*refused), caught.value)
        assert why is not None
        assert why.endswith((".", ")"))
