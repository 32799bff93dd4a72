# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of all unit tests."""

from __future__ import annotations

from hypothesis import settings

# No test asserts on time: the machine may be busy emulating others.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
