# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this module util is PRIVATE to the collection.
"""Ports where TLS would stand in for authentication, which it does not do: refused unless the description accepts it.

On a TLS port nvmet asks no host for its DH-HMAC-CHAP key, and compares the identity of the PSK that was used with
nothing that the host says of itself: whoever has one PSK of the target can be any host that is allowed there.
"""

from __future__ import annotations

from typing import Iterator

from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.attributes import UNAUTHENTICATED_TLS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import Tree, join, key, label

_REMEDY = f"drop tsas, use a port with one allowed host and no keys for it, or accept it by {UNAUTHENTICATED_TLS}: true"


def unaccepted(tree: Tree) -> list[str]:
    """One sentence for each TLS port that lets hosts pass for one another, or in without their keys."""
    return [
        f"{label(path)}: tsas tls1.3 {why}; {_REMEDY}"
        for path, found in tree.objects.items()
        if found.kind == "port" and found.attributes.get("tsas") == "tls1.3"
        if join(path, UNAUTHENTICATED_TLS) not in tree.words
        for why in _weaknesses(tree, path)
    ]


def _weaknesses(tree: Tree, port: str) -> Iterator[str]:
    served = [target for link, target in tree.links.items() if link.startswith(f"{port}/subsystems/")]
    hosts = sorted({host for one in served for host in _allowed(tree, one)})
    keyed = [host for host in hosts if tree.objects[host].attributes.get("dhchap_key")]
    for path in served:
        if tree.objects[path].attributes.get("allow_any_host") == "1":
            yield f"is no authentication, and {label(path)} has allow_any_host: whoever has a PSK is let in as any host"
    if keyed:
        yield f"makes nvmet ask no host for its key, and {key(keyed[0])} has a dhchap_key: it would be let in without"
    if len(hosts) > 1:
        yield (
            f"is no authentication, and {len(hosts)} hosts are allowed there: who has the PSK of {key(hosts[0])} can "
            f"be {key(hosts[1])}"
        )


def _allowed(tree: Tree, subsystem: str) -> Iterator[str]:
    prefix = f"{subsystem}/allowed_hosts/"
    return (target for link, target in tree.links.items() if link.startswith(prefix))
