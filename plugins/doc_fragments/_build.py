# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module that builds or downloads for others; their specs are in module_utils/_build/mmdebstrap.py."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cache_dir:
    description:
      - Folder on the build host that keeps chroots, sources and packages. It and the folders above it have to belong to
        root, or to the account that builds, and nobody else may write them; otherwise nothing in it is believed.
    type: path
    default: ~/.cache/nvmeof-mptcp
  mirror:
    description: URI of a Debian mirror. If empty, the one that the build host's apt uses.
    type: str
    default: ""
"""
