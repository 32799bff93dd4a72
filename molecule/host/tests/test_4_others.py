# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""nvme-cli's autoconnect and nvme-stas, installed and enabled: neither disconnects nor duplicates anything."""

from __future__ import annotations

import time
from typing import Iterator

import pytest
from conftest import VOLUMES, Extra, appears, controllers, everything_is_there, load, until
from testinfra.host import Host

# Everything that these two can be told to do to connections of the name tcp.
STAFD = "[Controllers]\ncontroller=transport=tcp;traddr=10.10.255.1;trsvcid=4420\n"
STACD = """\
[I/O controller connection management]
disconnect-scope=all-connections-matching-disconnect-trtypes
disconnect-trtypes=tcp
connect-attempts-on-ncc=2
"""


def ours(initiator: Host) -> list[tuple[str, str, str]]:
    """The I/O controllers."""
    return [one for one in controllers(initiator) if one[2] == "io"]


@pytest.fixture(scope="module", autouse=True)
def others(initiator: Host) -> Iterator[None]:
    until(lambda: everything_is_there(initiator), 90)
    initiator.check_output(
        f"printf '{STAFD}' > /etc/stas/stafd.conf && printf '{STACD}' > /etc/stas/stacd.conf && "
        "printf -- '--transport=tcp --traddr=10.10.255.1 --trsvcid=4420\\n' > /etc/nvme/discovery.conf && "
        "systemctl unmask stafd stacd && systemctl enable nvmf-autoconnect".replace("\n", "\\n")
    )
    yield
    initiator.check_output(
        "systemctl disable -q --now stafd stacd nvmf-autoconnect && systemctl mask -q stafd stacd && "
        "rm /etc/nvme/discovery.conf"
    )


@pytest.mark.parametrize("units", ["nvmf-autoconnect", "stafd stacd"])
def test_they_neither_disconnect_nor_duplicate(units: str, extra: Extra, initiator: Host) -> None:
    before = ours(initiator)
    assert len(before) == len(set(before)) == len(VOLUMES)
    with load(initiator, VOLUMES["target1"]):
        initiator.check_output(f"systemctl enable {units} && systemctl restart {units}")
        # An event, which all of them follow at once on an emulated machine; and time for what they do after it.
        appears(extra, initiator, 20)
        time.sleep(15)
        if "stafd" in units:
            assert initiator.check_output(f"systemctl is-active {units}").split() == ["active", "active"]
        assert ours(initiator) == sorted([*before, (extra.address, extra.nqn, "io")])
        initiator.check_output(f"systemctl stop {units}")
        time.sleep(5)
        assert ours(initiator) == sorted([*before, (extra.address, extra.nqn, "io")])
    assert "mptcp" in initiator.check_output("cat /sys/class/nvme/nvme*/transport")
