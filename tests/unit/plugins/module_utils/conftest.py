# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of more than one file."""

from __future__ import annotations

from emulated_fabrics import kernel

__all__ = ["kernel"]
