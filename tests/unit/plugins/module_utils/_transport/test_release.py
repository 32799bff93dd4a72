# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import (
    SERIES,
    obstacles,
    parse_release,
    takes_signed_only,
)

CLOUD = "7.2.12+deb13-cloud-amd64"
VERSION = "7.2.12-1~bpo13+1"
UNLOCKED = "[none] integrity confidentiality"


@pytest.mark.parametrize(
    ("name", "series", "flavour", "source"),
    [
        (CLOUD, "7.2", "cloud", "linux-source-7.2"),
        ("7.3.4+deb13-amd64", "7.3", "", "linux-source-7.3"),
        ("7.2.13+deb14-rt-amd64", "7.2", "rt", "linux-source-7.2"),
        ("6.12.48+deb13-amd64", "6.12", "", "linux-source-6.12"),
        ("7.3.4+deb13+1-amd64", "7.3", "", "linux-source-7.3"),
        ("6.12.74+deb13+1-cloud-amd64", "6.12", "cloud", "linux-source-6.12"),
    ],
)
def test_a_release_names_its_packages(name: str, series: str, flavour: str, source: str) -> None:
    release = parse_release(name)
    assert release is not None
    assert (release.series, release.flavour, release.source) == (series, flavour, source)
    assert release.headers == f"linux-headers-{name}"
    assert release.image == f"linux-image-{name}"


@pytest.mark.parametrize(
    "name", ["6.12.0", "7.2.12-custom", "6.8.0-45-generic", "5.14.0-503.el9.x86_64", "7.3.4+deb13+-amd64", ""]
)
def test_a_kernel_that_is_not_debians_has_no_parts(name: str) -> None:
    assert parse_release(name) is None


def test_a_supported_kernel_has_no_obstacle() -> None:
    for series in SERIES:
        assert obstacles(f"{series}.4+deb13-amd64", f"{series}.4-1~bpo13+1", False) == []
        assert obstacles(f"{series}.4+deb13+1-amd64", f"{series}.4-2~bpo13+1", False) == []


@pytest.mark.parametrize(
    ("name", "version", "signed_only", "wanted"),
    [
        (
            "6.12.48+deb13-amd64",
            "6.12.48-1",
            False,
            ["6.12.48+deb13-amd64", "series 6.12", "nvme_kernel_package"],
        ),
        ("7.2.12+deb13-arm64", VERSION, False, ["arm64", "amd64 only"]),
        (CLOUD, VERSION, True, [CLOUD, "Secure Boot", "sign"]),
        (CLOUD, "", False, [CLOUD, "Debian's packages"]),
        ("7.2.12-custom", VERSION, False, ["7.2.12-custom", "Debian's packages"]),
    ],
)
def test_an_obstacle_names_the_kernel_and_the_remedy(
    name: str, version: str, signed_only: bool, wanted: list[str]
) -> None:
    found = obstacles(name, version, signed_only)
    assert len(found) == 1
    assert all(word in found[0] for word in wanted)


@pytest.mark.parametrize(
    ("lockdown", "enforced", "expected"),
    [
        (UNLOCKED, False, False),
        ("", False, False),
        ("none [integrity] confidentiality", False, True),
        ("none integrity [confidentiality]", False, True),
        (UNLOCKED, True, True),
    ],
)
def test_a_locked_kernel_takes_signed_modules_only(lockdown: str, enforced: bool, expected: bool) -> None:
    assert takes_signed_only(lockdown, enforced) == expected
