# Copyright (c) 2026 the nvmeof.mptcp authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is PRIVATE to the collection.

"""The cache of images and snapshots is the one that modules use, too."""

from __future__ import annotations

from ansible_collections.nvmeof.mptcp.plugins.module_utils._cache import content_hash, ensure, locked_folder

__all__ = ["content_hash", "ensure", "locked_folder"]
