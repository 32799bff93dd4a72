# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image is built again when what makes it changes, and not when something else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import files, image, qemu
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab import loaders as _lab_loaders
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.archive import Kernel
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.image import ensure_images, image_key
from ansible_collections.nvmeof.mptcp.plugins.plugin_utils._lab.report import Progress

KERNEL = Kernel("linux-image-7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1", "7.2.12+deb13-cloud-amd64")


def keys() -> tuple[str, str]:
    return image_key(KERNEL, ["udev"], loaders=False), image_key(KERNEL, ["udev"], loaders=True)


def test_what_concerns_loaders_alone_leaves_the_direct_image_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    direct, loaders = keys()
    changed = tmp_path / "changed.py"
    changed.write_text("changed")
    with monkeypatch.context() as patch:
        patch.setattr(_lab_loaders, "__file__", str(changed))
        assert keys()[0] == direct
        assert keys()[1] != loaders
    with monkeypatch.context() as patch:
        patch.setattr(qemu, "KERNEL_COMMAND_LINE", "changed")
        assert keys()[0] == direct
        assert keys()[1] != loaders
    with monkeypatch.context() as patch:
        patch.setattr(files, "__file__", str(changed))
        assert keys()[0] != direct
        assert keys()[1] != loaders
    assert keys() == (direct, loaders)


def test_both_loaders_share_an_image_and_only_what_is_asked_for_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[bool] = []

    def root(path: Path, *_: object) -> None:
        (path / "boot").mkdir(parents=True)
        (path / f"boot/vmlinuz-{KERNEL.release}").touch()
        built.append(True)

    monkeypatch.setattr(image._lab_root, "make_root", root)
    monkeypatch.setattr(image.disk, "make_disk", lambda *_: None)
    progress = Progress(lambda _: None)
    folders, changed = ensure_images(tmp_path, "", KERNEL, ["udev"], ["grub", "systemd-boot"], progress)
    assert (changed, built) == (True, [True])
    assert folders == {boot: tmp_path / "images" / keys()[1] for boot in ("grub", "systemd-boot")}
    assert ensure_images(tmp_path, "", KERNEL, ["udev"], ["grub"], progress)[1] is False
