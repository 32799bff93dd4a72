# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pathlib
from typing import Callable

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build import config as _kernel_config
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.chroot import BuildError
from ansible_collections.nvmeof.mptcp.plugins.module_utils._build.config import Text
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.grammar import Refused


@pytest.fixture
def make(tmp_path: pathlib.Path) -> Callable[[str], str]:
    """A make that knows tinyconfig, takes the last line for a symbol, and drops CONFIG_NOWHERE."""

    def run(target: str) -> str:
        config = tmp_path / ".config"
        if target == "tinyconfig":
            config.write_text("CONFIG_TINY=y\n# CONFIG_NET is not set\n")
        else:
            assert target == "olddefconfig"
            values = _kernel_config.parse(config.read_text())
            values.pop("CONFIG_NOWHERE", None)
            lines = [f"# {name} is not set" if value == "n" else f"{name}={value}" for name, value in values.items()]
            config.write_text("\n".join(lines))
        return ""

    return run


def test_symbols_are_read_with_their_values() -> None:
    text = '#\n# Networking\nCONFIG_NET=y\nCONFIG_NAME="a b"\n# CONFIG_WIFI is not set\nCONFIG_OFF=n\n'
    wanted = {"CONFIG_NET": "y", "CONFIG_NAME": '"a b"', "CONFIG_WIFI": "n", "CONFIG_OFF": "n"}
    assert _kernel_config.parse(text) == wanted


def test_later_fragments_override_earlier_ones_and_the_base(tmp_path: pathlib.Path, make: Callable[[str], str]) -> None:
    fragments = [Text("one", "CONFIG_NET=y\nCONFIG_MPTCP=y\nCONFIG_TINY=n"), Text("two", "CONFIG_MPTCP=n\n")]
    _kernel_config.configure(tmp_path, "tinyconfig", fragments, make)
    wanted = {"CONFIG_TINY": "n", "CONFIG_NET": "y", "CONFIG_MPTCP": "n"}
    assert _kernel_config.parse((tmp_path / ".config").read_text()) == wanted


def test_a_text_is_a_base_too(tmp_path: pathlib.Path, make: Callable[[str], str]) -> None:
    _kernel_config.configure(tmp_path, "CONFIG_A=y\n", [Text("one", "CONFIG_B=m")], make)
    assert _kernel_config.parse((tmp_path / ".config").read_text()) == {"CONFIG_A": "y", "CONFIG_B": "m"}


def test_a_symbol_that_did_not_stick_is_named(tmp_path: pathlib.Path, make: Callable[[str], str]) -> None:
    fragments = [Text("site.config", "CONFIG_NET=y\nCONFIG_NOWHERE=m\n# CONFIG_GONE is not set")]
    with pytest.raises(BuildError, match=r"did not take CONFIG_NOWHERE: site.config wants m, got n\. "):
        _kernel_config.configure(tmp_path, "tinyconfig", fragments, make)


def test_a_line_that_is_no_symbol_is_named_before_anything_runs() -> None:
    with pytest.raises(
        Refused, match=r"site.config line 2 is 'MPTCP=y', which is no configuration line \(CONFIG_NAME=y"
    ):
        _kernel_config.check([Text("site.config", "# comment\nMPTCP=y\n")])


@pytest.mark.parametrize(
    "line",
    [
        'CONFIG_INITRAMFS_SOURCE="$(shell id)"',
        'CONFIG_INITRAMFS_SOURCE="x;id"',
        'CONFIG_INITRAMFS_SOURCE="x `id`"',
        'CONFIG_INITRAMFS_SOURCE="a\\" | id #"',
        "CONFIG_NR_CPUS=$(id)",
        "CONFIG_NR_CPUS=8 # $(id)",
        "include /etc/shadow",
        # Kconfig's line ends at a newline alone.
        'CONFIG_A=y\x0cCONFIG_INITRAMFS_SOURCE="x"',
        "# a comment\0",
        "# a comment\x85CONFIG_A=y",
    ],
)
def test_a_line_that_make_or_a_shell_would_run_is_refused(line: str) -> None:
    with pytest.raises(Refused, match="base line 2"):
        _kernel_config.check([Text("base", f"CONFIG_NET=y\n{line}\n")])


def test_a_distribution_s_lines_are_taken() -> None:
    lines = [
        'CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"',
        'CONFIG_DEFAULT_HOSTNAME="(none)"',
        'CONFIG_LSM="landlock,lockdown,yama"',
        'CONFIG_CMDLINE="console=ttyS0,115200n8 root=/dev/vda1 panic=10"',
        'CONFIG_INITRAMFS_SOURCE=""',
        "CONFIG_PHYSICAL_START=0x1000000",
        "CONFIG_PANIC_TIMEOUT=-1",
        "# CONFIG_WIFI is not set",
        "# Networking: \u2014",
        "  CONFIG_NET=y  \r",
    ]
    _kernel_config.check([Text("base", "\n".join(lines))])


def test_files_of_keys_that_only_the_distribution_has_are_left_out(
    tmp_path: pathlib.Path, make: Callable[[str], str]
) -> None:
    (tmp_path / "site.pem").write_text("")
    base = (
        'CONFIG_MODULE_SIG_KEY="output/signing_key.pem"\nCONFIG_SYSTEM_TRUSTED_KEYS="site.pem"\n'
        'CONFIG_SYSTEM_REVOCATION_KEYS=""\n'
    )
    _kernel_config.configure(tmp_path, base, [], make)
    found = _kernel_config.parse((tmp_path / ".config").read_text())
    assert found == {"CONFIG_SYSTEM_TRUSTED_KEYS": '"site.pem"', "CONFIG_SYSTEM_REVOCATION_KEYS": '""'}
