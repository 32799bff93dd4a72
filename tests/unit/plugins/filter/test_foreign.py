# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.nvmeof.mptcp.plugins.filter.foreign import file_name


def test_a_path_ends_in_the_name_of_its_file() -> None:
    assert (
        file_name("/var/cache/kernels/linux-image-7.3.4_1%3a7.3.4-1_amd64.deb")
        == "linux-image-7.3.4_1%3a7.3.4-1_amd64.deb"
    )


@pytest.mark.parametrize(
    "path", ["/var/cache/", "/var/cache/..", "..", "", "/var/cache/-x.deb", "/var/x\n.deb", "/var/.x"]
)
def test_a_path_without_the_name_of_a_file_is_refused(path: str) -> None:
    with pytest.raises(AnsibleFilterError, match="the last part of a path is "):
        file_name(path)
