# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing the kernel from the archive's index."""

from __future__ import annotations

from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab_archive import Kernel, newest_kernel


def paragraph(package: str, version: str) -> str:
    return f"Package: {package}\nSource: linux-signed\nVersion: {version}\nDepends: linux-base\n"


INDEX = "\n".join(
    [
        paragraph("linux-image-7.2.9+deb13-cloud-amd64", "7.2.9-1~bpo13+1"),
        paragraph("linux-image-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
        paragraph("linux-image-7.2.13+deb13-cloud-amd64-dbg", "7.2.13-1~bpo13+1"),
        paragraph("linux-image-7.2.14+deb13-amd64", "7.2.14-1~bpo13+1"),
        paragraph("linux-headers-7.2.15+deb13-cloud-amd64", "7.2.15-1~bpo13+1"),
        paragraph("linux-image-7.20.1+deb13-cloud-amd64", "7.20.1-1~bpo13+1"),
        paragraph("linux-image-7.1.13+deb13-cloud-amd64", "7.1.13-1~bpo13+1"),
        paragraph("linux-image-cloud-amd64", "7.1.13-1~bpo13+1"),
    ]
)


def test_the_newest_cloud_kernel_of_the_series_is_chosen_by_number() -> None:
    assert newest_kernel(INDEX, ["7.2"]) == Kernel(
        "linux-image-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1", "7.2.12+deb13-cloud-amd64"
    )


def test_the_newest_of_several_series_is_chosen() -> None:
    kernel = newest_kernel(INDEX, ["7.1", "7.2"])
    assert kernel is not None
    assert kernel.release == "7.2.12+deb13-cloud-amd64"


def test_a_series_the_archive_has_not_gives_none() -> None:
    assert newest_kernel(INDEX, ["7.3"]) is None
    assert newest_kernel("", ["7.2"]) is None
