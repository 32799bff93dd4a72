# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The sysctls of a machine, the reason for each beside it; what was measured for them is in mptcp_network.py."""

from __future__ import annotations

from collections.abc import Iterable


def sysctls(versions: Iterable[int], host: bool) -> dict[str, str]:
    """Those of the machine, by name. versions: of its rails, 4 or 6. host: whether it connects."""
    of_host = {name: value for version in sorted(set(versions)) for name, value in _HOST[version].items()}
    return {**_MACHINE, **(of_host if host else {})}


def interface_sysctls(versions: Iterable[int], host: bool, in_one_network: bool) -> dict[str, str]:
    """Those of each rail's NIC; C({interface}) stands for it. in_one_network: whether rails share a network."""
    wanted: dict[str, str] = {}
    for version in sorted(set(versions)):
        wanted.update(_NIC[version])
        if host:
            wanted.update(_HOST_NIC[version])
            wanted.update((f"net.ipv{version}.neigh.{name}", value) for name, value in _NEIGHBOUR.items())
        elif in_one_network:
            wanted.update(_HOST_NIC[version])
    return wanted


_MACHINE = {
    "net.mptcp.enabled": "1",
    # Only the in-kernel path manager acts on endpoints.
    "net.mptcp.path_manager": "kernel",
    # One dropped SYN must not turn MPTCP off for an hour, for every connection of the machine.
    "net.mptcp.blackhole_timeout": "0",
    # Every subflow joins the address that was connected to first; 0 forbids just that.
    "net.mptcp.allow_join_initial_addr_port": "1",
    # The scheduler of every kernel: it takes the subflow that will be done first, so unequal rails are no matter.
    "net.mptcp.scheduler": "default",
    # A silent subflow is passed over after 3 intervals in vain rather than the default of 4: what it carries waits that
    # long. Not 2: others are then taken for alive with a count of 0 alone, while the kernel leaves 1 on subflows that
    # are merely idle. One connection repeated what it had piece by piece, for 8 s.
    "net.mptcp.stale_loss_cnt": "3",
    # NICs compute TCP's checksum and NVMe has digests; this one would be a third, by the CPU.
    "net.mptcp.checksum_enabled": "0",
    # TCP tries a silent subflow again every second rather than at twice the interval each time, which is up to 50 s
    # after 45 s of silence: a rail that comes back is used within a second, and so is a join to it. What is given to a
    # subflow that has just come back waits no longer, either. 1 s is the least; for sockets made from then on.
    "net.ipv4.tcp_rto_max_ms": "1000",
    # The most: so many tries last for 4 min (RFC 1122 asks for 100 s); the default of 15 would last for 14 s. The unit
    # opens again what was given up.
    "net.ipv4.tcp_retries2": "255",
    # A connection grows the receive buffers of the subflows that it has; one that joins later, after an outage, keeps
    # the default, the second number. As its window is that of its subflows, a connection all of whose rails had been
    # away once was left with 0.1 MB of 3.5, and I/O stalled for 15 to 30 s in the next outage. These are upper bounds:
    # what a subflow buffers is what has come and was not read.
    "net.ipv4.tcp_rmem": "4096 16777216 33554432",
}
_NIC = {
    4: {
        # A NIC without carrier must not attract packets; the blackhole route takes them.
        "net.ipv4.conf.{interface}.ignore_routes_with_linkdown": "1",
        # The service address is reached through a rail's own address and is never answered or asked for on the wire,
        # also when two rails share a switch.
        "net.ipv4.conf.{interface}.arp_ignore": "1",
        "net.ipv4.conf.{interface}.arp_announce": "2",
    },
    # IPv6 answers for the addresses of the NIC that was asked, always.
    6: {"net.ipv6.conf.{interface}.ignore_routes_with_linkdown": "1"},
}
_HOST = {
    4: {
        # Leave out a rail whose far end does not answer ARP although the link is up.
        "net.ipv4.fib_multipath_use_neigh": "1",
        # Spread first subflows by port: with the default, all of them to one target take one rail.
        "net.ipv4.fib_multipath_hash_policy": "1",
    },
    # IPv6 leaves out a dead neighbour without being asked.
    6: {"net.ipv6.fib_multipath_hash_policy": "1"},
}
_HOST_NIC = {
    # Answers come in on the subflow's rail, also while the best route is over another: strict checking drops them.
    4: {"net.ipv4.conf.{interface}.rp_filter": "2"},
    # IPv6 has no such check but by a firewall.
    6: {},
}
_NEIGHBOUR = {
    # A dead far end is noticed in about 5 s instead of up to 53 s; a connection that makes progress sends no probe.
    "{interface}.base_reachable_time_ms": "2000",
    "{interface}.delay_first_probe_time": "1",
    "{interface}.retrans_time_ms": "500",
    # Without carrier, IPv4 asks the link for the service address itself, in vain, and TCP does not repeat what waits
    # for that answer: 1.5 s. A join that fails meanwhile is opened again by the unit (see _mptcp/heal.py).
    "{interface}.mcast_solicit": "3",
}
