# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing the kernel from the archive's index."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._transport.release import SERIES
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import archive as _lab_archive
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.archive import Kernel, newest_kernels, resolve_kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import LabError, Progress


def paragraph(package: str, version: str) -> str:
    return f"Package: {package}\nSource: linux-signed\nVersion: {version}\nDepends: linux-base\n"


OF_7_2 = "\n".join(
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
OF_7_3 = paragraph("linux-image-7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1")


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | OSError]:
    """What the archive has, to be changed by a test."""
    has: dict[str, str | OSError] = {"index": f"{OF_7_2}\n{OF_7_3}"}

    def index(_mirror: str, _suite: str) -> str:
        if isinstance(has["index"], OSError):
            raise has["index"]
        return has["index"]

    monkeypatch.setattr(_lab_archive, "packages_index", index)
    return has


def chosen(cache: Path, series: str, told: list[str] | None = None) -> str:
    said: list[str] = [] if told is None else told
    return resolve_kernel("mirror", cache, series, Progress(lambda text, **_: said.append(text))).release


def test_the_newest_cloud_kernel_of_each_series_is_chosen_by_number() -> None:
    assert newest_kernels(OF_7_2) == {
        "7.2": Kernel("linux-image-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1", "7.2.12+deb13-cloud-amd64")
    }
    assert list(newest_kernels(f"{OF_7_2}\n{OF_7_3}")) == ["7.3", "7.2"]
    assert newest_kernels("") == {}


def test_series_are_known_once_and_newest_first() -> None:
    assert sorted(SERIES, key=lambda series: [int(part) for part in series.split(".")], reverse=True) == list(SERIES)


@pytest.mark.parametrize(
    ("series", "release"), [("newest", "7.3.4"), ("oldest", "7.2.12"), ("7.2", "7.2.12"), ("7.3", "7.3.4")]
)
@pytest.mark.usefixtures("archive")
def test_a_series_is_asked_for(tmp_path: Path, series: str, release: str) -> None:
    assert chosen(tmp_path, series) == f"{release}+deb13-cloud-amd64"


def test_an_archive_with_one_series_serves_and_says_so(tmp_path: Path, archive: dict[str, str | OSError]) -> None:
    archive["index"] = OF_7_3
    told: list[str] = []
    assert chosen(tmp_path, "oldest", told) == chosen(tmp_path, "newest") == "7.3.4+deb13-cloud-amd64"
    assert "the archive has 7.3 alone" in "".join(told)
    with pytest.raises(LabError, match=r"no cloud kernel of series 7.2 .*has 7.3 alone"):
        chosen(tmp_path, "7.2")
    archive["index"] = ""
    with pytest.raises(LabError, match=r"series 7.3 or 7.2 .*has none of them"):
        chosen(tmp_path, "newest")


def test_an_archive_out_of_reach_gives_what_it_gave_last_for_that_series(
    tmp_path: Path, archive: dict[str, str | OSError]
) -> None:
    assert chosen(tmp_path, "oldest") == "7.2.12+deb13-cloud-amd64"
    archive["index"] = OSError("mirror: no answer")
    assert chosen(tmp_path, "oldest") == "7.2.12+deb13-cloud-amd64"
    with pytest.raises(LabError, match=r"mirror: no answer; write a mirror"):
        chosen(tmp_path, "newest")


@pytest.mark.usefixtures("archive")
def test_a_series_that_nobody_knows_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"lab_kernel_series is '7.1': write one of newest, oldest, 7.3, 7.2"):
        chosen(tmp_path, "7.1")
