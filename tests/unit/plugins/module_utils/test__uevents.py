# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._uevents import removed


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (b"remove@/devices/virtual/nvme-fabrics/ctl/nvme3\0ACTION=remove\0SUBSYSTEM=nvme\0SEQNUM=7\0", "nvme3"),
        (b"add@/devices/virtual/nvme-fabrics/ctl/nvme3\0ACTION=add\0SUBSYSTEM=nvme\0", ""),
        (b"remove@/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1\0ACTION=remove\0SUBSYSTEM=block\0", ""),
        (b"remove@/devices/virtual/nvme-generic/nvme0\0ACTION=remove\0SUBSYSTEM=nvme-generic\0", ""),
        (b"libudev\0\xfe\xed\xca\xfe", ""),
    ],
)
def test_only_the_removal_of_a_controller_counts(event: bytes, name: str) -> None:
    assert removed(event) == name
