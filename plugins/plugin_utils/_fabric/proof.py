# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
# Note that this plugin util is PRIVATE to the collection.
"""The proof of a deployment: what each connection and each rail did during a run, against what was planned.

Everything is judged from what the kernels counted between two readings; configuration proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.names import is_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import normalise_address
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.counters import FALLBACKS, JOIN_FAILURES, MEANINGS

MIB = 2**20


def proof(
    host: str,
    rails: Sequence[Mapping[str, Any]],
    planned: Sequence[Mapping[str, Any]],
    controllers: Sequence[Mapping[str, Any]],
    machines: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Judge one host.

    rails: the host's rails as machine_rails gives them. planned: the controllers that the description asks for.
    controllers: those that the host has. machines: for this host and each target {before, after, rails, service}, where
    before is nvme_info, after is mptcp_info and service is the address that connections are made to.
    Returns table (lines to print), problems (one sentence each, empty when the proof holds) and shares (rail to 0..1).
    """
    problems: list[str] = []
    mptcp = [one for one in planned if one["transport"] == "mptcp"]
    portals = sorted({(address, str(one["trsvcid"])) for one in mptcp for address in _addresses(one, controllers)})
    lines = [f"{'controller':12}{'transport':11}{'state':8}{'queues':8}address"]
    for one in controllers:
        address = f"{one['traddr']}:{one['trsvcid']} {one['subsysnqn']}"
        lines.append(f"{one['name']:12}{one['transport']:11}{one['state']:8}{one['queue_count']:<8}{address}")
    lines += ["", f"{'portal':24}{'connections':13}{'subflows of each'}"]
    for portal in portals:
        found = _of_portal(machines[host], portal)
        queues = sum(one["queue_count"] for one in controllers if (one["traddr"], str(one["trsvcid"])) == portal)
        counts = sorted({len(_established(connection)) for connection in found})
        lines.append(f"{portal[0] + ':' + portal[1]:24}{len(found):<13}{' or '.join(map(str, counts)) or '0'}")
        problems += _connections(host, portal, queues, found)
        problems += _missing(host, _rails_to(portal, rails, machines), found, machines)
    # Rails that no connection can use carry nothing, and nothing is planned for them.
    used = {rail["name"] for portal in portals for rail in _rails_to(portal, rails, machines)}
    rails = [rail for rail in rails if rail["name"] in used or not portals]
    carried = {rail["name"]: _carried(machines[host], rail["interface"]) for rail in rails}
    shares = _shares(rails, carried)
    lines += ["", f"{'rail':12}{'NIC':12}{'received':>12}{'sent':>12}{'share':>8}{'planned':>9}"]
    for rail in rails:
        received, sent = carried[rail["name"]]
        share = f"{shares[rail['name']]:.0%}"
        amounts = f"{received / MIB:>8.1f} MiB{sent / MIB:>8.1f} MiB"
        lines.append(f"{rail['name']:12}{rail['interface']:12}{amounts}{share:>8}{_planned(rail, rails):>9.0%}")
    problems += _idle_rails(host, rails, shares, machines) if portals else []
    fallbacks, joins = _counted(machines, FALLBACKS), _counted(machines, JOIN_FAILURES)
    lines += [
        "",
        f"fallbacks to plain TCP during the run: {sum(fallbacks.values())}, failed joins: {sum(joins.values())}",
    ]
    problems += [f"{machine}: {name} rose by {by}: {MEANINGS[name]}" for (machine, name), by in fallbacks.items()]
    return {"table": lines, "problems": list(dict.fromkeys(problems)), "shares": shares}


def ready(
    host: str, planned: Sequence[Mapping[str, Any]], machines: Mapping[str, Mapping[str, Any]], program: str
) -> list[str]:
    """Why a run on this host would prove nothing, or hang on a path that is away; empty when it can start.

    machines: nvme_info of this host and of each target. program: sha256 of the node program of this collection.
    """
    return [*_installed(machines, program), *_controllers(host, planned, machines[host]["controllers"])]


def _installed(machines: Mapping[str, Mapping[str, Any]], program: str) -> list[str]:
    problems = []
    for name, machine in machines.items():
        transport = machine["transport"]
        if not transport["present"]:
            problems.append(
                f"{name} does not offer the transport mptcp (kernel {transport['kernel_release']}): the modules or the "
                "kernel that bring it are not there; run site.yml, whose role nvme_kernel installs them"
            )
        if machine["node_program"] != program:
            has = "another program than this collection's" if machine["node_program"] else "no program"
            problems.append(f"{name} has {has} to boot with: run site.yml")
    return problems


def _controllers(host: str, planned: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> list[str]:
    problems = []
    for want in planned:
        what = f"{host}: controller of {want['subsysnqn']} at {want['traddr']}:{want['trsvcid']}"
        have = [one for one in found if _makes(want, one)]
        if not have:
            problems.append(f"{what} does not exist; is the target up, and may this host connect?")
        for one in have:
            if one["transport"] != want["transport"]:
                problems.append(f"{what} uses {one['transport']}, not {want['transport']}")
            if one["state"] != "live":
                problems.append(f"{what} is {one['state']}, not live")
    return problems


def _addresses(want: Mapping[str, Any], controllers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a planned connection goes; of a name, where its controller went."""
    if is_address(want["traddr"]):
        return [normalise_address(want["traddr"])]
    return [one["traddr"] for one in controllers if _makes(want, one)]


def _makes(want: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    """Whether the controller is of the planned connection; which address a name has is the host's to know."""
    if (want["subsysnqn"], str(want["trsvcid"])) != (one["subsysnqn"], str(one["trsvcid"])):
        return False
    return not is_address(want["traddr"]) or normalise_address(want["traddr"]) == one["traddr"]


def _of_portal(machine: Mapping[str, Any], portal: tuple[str, str]) -> list[Mapping[str, Any]]:
    return [
        connection
        for connection in machine["after"]["connections"]
        if (connection["remote"], str(connection["remote_port"])) == portal
    ]


def _established(connection: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [flow for flow in connection["subflows"] if flow["established"]]


def _connections(host: str, portal: tuple[str, str], queues: int, found: Sequence[Mapping[str, Any]]) -> list[str]:
    problems = []
    at = f"{portal[0]}:{portal[1]}"
    if len(found) != queues:
        problems.append(f"{host}: {len(found)} MPTCP connections to {at} for {queues} queues; the others are plain TCP")
    fallen = sum(1 for connection in found if connection["fallback"])
    if fallen:
        problems.append(f"{host}: {fallen} connections to {at} fell back to plain TCP and use one path")
    return problems


def _family(rail: Mapping[str, Any], rails: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [other for other in rails if (":" in other["address"]) == (":" in rail["address"])]


def _rails_to(
    portal: tuple[str, str], rails: Sequence[Mapping[str, Any]], machines: Mapping[str, Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The rails of the host that lead to a portal: of its family, and with a NIC of the target."""
    common = [{rail["name"] for rail in one["rails"]} for one in machines.values() if one["service"] == portal[0]]
    return [
        rail
        for rail in rails
        if (":" in rail["address"]) == (":" in portal[0]) and all(rail["name"] in names for names in common)
    ]


def _planned(rail: Mapping[str, Any], rails: Sequence[Mapping[str, Any]]) -> float:
    total = sum(other["share"] for other in _family(rail, rails))
    # A host whose rails are all backups uses them alike.
    return float(rail["share"] / total) if total else 1 / len(_family(rail, rails))


def _shares(rails: Sequence[Mapping[str, Any]], carried: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """The part of each rail in the bytes of its family; a NIC can be in a rail of either."""
    shares = {}
    for rail in rails:
        total = sum(sum(carried[other["name"]]) for other in _family(rail, rails))
        shares[rail["name"]] = sum(carried[rail["name"]]) / total if total else 0.0
    return shares


def _missing(
    host: str,
    rails: Sequence[Mapping[str, Any]],
    found: Sequence[Mapping[str, Any]],
    machines: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    problems = []
    for rail in rails:
        lacking = sum(
            1 for connection in found if rail["address"] not in {flow["local"] for flow in _established(connection)}
        )
        if lacking:
            problems.append(
                f"{host}: {lacking} of {len(found)} connections have no subflow on {rail['name']}: "
                f"{_cause(host, rail, machines)}"
            )
    return problems


def _idle_rails(
    host: str,
    rails: Sequence[Mapping[str, Any]],
    shares: Mapping[str, float],
    machines: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    return [
        f"{host}: {rail['name']} carried {shares[rail['name']]:.0%} of the bytes, less than half of its planned "
        f"{_planned(rail, rails):.0%}: {_cause(host, rail, machines)}"
        for rail in rails
        if shares[rail["name"]] < _planned(rail, rails) / 2
    ]


def _cause(host: str, rail: Mapping[str, Any], machines: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a rail is not used, from what the machines show."""
    for name, machine in machines.items():
        for other in machine["rails"]:
            nic = machine["after"]["interfaces"].get(other["interface"])
            if other["name"] != rail["name"]:
                continue
            if nic is None:
                return f"NIC {other['interface']} of {name} does not exist"
            if not nic["carrier"] or nic["operstate"] == "down":
                return f"NIC {other['interface']} of {name} is down (operstate {nic['operstate']}, no carrier)"
    if rail["address"] not in {endpoint["address"] for endpoint in machines[host]["after"]["endpoints"]}:
        return f"the MPTCP endpoint {rail['address']} is not set on {host} (ip mptcp endpoint show)"
    failed = [f"{machine}: {MEANINGS[name]}" for machine, name in _counted(machines, JOIN_FAILURES)]
    if failed:
        return "; ".join(dict.fromkeys(failed))
    return (
        f"endpoint and NICs are in place, so {host} and the target cannot reach each other over {rail['cidr']}, or "
        f"the subflow is reset or refused: journalctl -u nvmeof-mptcp-network on {host} has what was tried"
    )


def _carried(machine: Mapping[str, Any], interface: str) -> tuple[int, int]:
    """Bytes that a NIC received and sent between the readings."""
    before, after = (machine[when]["interfaces"].get(interface, {}) for when in ("before", "after"))
    received, sent = (after.get(name, 0) - before.get(name, 0) for name in ("rx_bytes", "tx_bytes"))
    # A NIC that was replaced between the readings counts from 0.
    return max(received, 0), max(sent, 0)


def _counted(machines: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[tuple[str, str], int]:
    """(machine, counter) to how much it rose between the readings, where it rose."""
    risen = {}
    for machine, one in machines.items():
        for name in names:
            by = one["after"]["counters"].get(name, 0) - one["before"]["counters"].get(name, 0)
            if by > 0:
                risen[machine, name] = by
    return risen
