# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands between a network and its description, run against a small model of the kernel."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp import plan as _mptcp_plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._mptcp.locate import locate
from hypothesis import given
from hypothesis import strategies as st

RAILS = 3
SERVICE = "10.10.255.1/32"
WORST = 4294967295


def description(server: bool = True) -> dict[str, Any]:
    """A machine that serves, if told so, and connects."""
    hops = [{"via": f"10.10.{rail}.1", "rail": f"rail{rail}"} for rail in range(RAILS)]
    return {
        "rails": [
            {
                "name": f"rail{rail}",
                "cidr": f"10.10.{rail}.0/24",
                "interface": f"eth{rail}",
                "address": f"10.10.{rail}.5",
            }
            for rail in range(RAILS)
        ],
        "endpoints": [
            {"address": f"10.10.{rail}.5", "rail": f"rail{rail}", "id": rail + 1, "flags": ["subflow"]}
            for rail in range(RAILS)
        ],
        "limits": {"subflows": 6, "add_addr_accepted": 0},
        "addresses": [{"address": "10.10.255.5/32", "dev": "lo"}] if server else [],
        "routes": [
            {"type": "blackhole", "dst": "10.10.0.0/24", "metric": WORST, "nexthops": []},
            {"type": "unicast", "dst": SERVICE, "metric": 900, "nexthops": hops},
            *(
                {"type": "unicast", "dst": SERVICE, "metric": 901 + rail, "nexthops": [hops[rail]]}
                for rail in range(RAILS)
            ),
        ],
        "rules": [
            {"priority": 7700, "from": "10.10.255.5/32", "to": "10.10.0.0/24", "action": "main"},
            {"priority": 7799, "from": "10.10.255.5/32", "to": "", "action": "prohibit"},
        ],
        "sysctls": {"net.mptcp.enabled": "1"},
        "interface_sysctls": {"net.ipv4.conf.{interface}.rp_filter": "2"},
    }


def bare() -> dict[str, Any]:
    """A machine whose NICs are up with their addresses, on which nothing was done."""
    nics = {
        f"eth{rail}": {"index": rail + 2, "up": True, "carrier": True, "addresses": [f"10.10.{rail}.5/24"]}
        for rail in range(RAILS)
    }
    lo = {"index": 1, "up": True, "carrier": True, "addresses": ["127.0.0.1/8"]}
    return {
        "interfaces": {"lo": lo, **nics},
        "endpoints": [],
        "limits": {"subflows": 2, "add_addr_accepted": 0},
        "routes": [],
        "rules": [],
    }


class Kernel:
    """What the kernel makes of the commands, with its refusals."""

    def __init__(self, actual: dict[str, Any]) -> None:
        self.actual = actual
        self.sysctls: dict[str, str] = {}

    def do(self, operation: Operation) -> None:
        if operation.verb == "write":
            self.sysctls[operation.path] = operation.value
            return
        words = list(operation.argv)
        assert words.pop(0) == "ip"
        # Objects of IPv6 have to be named as such, as the real ip does.
        assert (words[0] == "-6") == (words[0] not in ("mptcp", "address") and any(":" in word for word in words))
        words = words[1:] if words[0] == "-6" else words
        kind = "mptcp " + words[1] if words[0] == "mptcp" else words[0]
        rest = words[2:] if words[0] == "mptcp" else words[1:]
        getattr(self, kind.replace("mptcp ", ""))(rest[0], rest[1:])

    def address(self, action: str, words: list[str]) -> None:
        addresses = self.actual["interfaces"][words[2]]["addresses"]
        addresses.append(words[0]) if action == "add" else addresses.remove(words[0])

    def limits(self, action: str, words: list[str]) -> None:
        assert action == "set"
        self.actual["limits"] = {"subflows": int(words[1]), "add_addr_accepted": int(words[3])}

    def endpoint(self, action: str, words: list[str]) -> None:
        endpoints = self.actual["endpoints"]
        if action == "add":
            number = int(words[4])
            assert 1 <= number <= 255
            assert number not in {one["id"] for one in endpoints}, "EBUSY"
            assert words[0] not in {one["address"] for one in endpoints}, "EEXIST"
            assert words[2] in self.actual["interfaces"]
            endpoints.append({"address": words[0], "dev": words[2], "id": number, "flags": words[5:], "port": 0})
            return
        index = next(at for at, one in enumerate(endpoints) if one["id"] == int(words[1]))
        if action == "delete":
            del endpoints[index]
            return
        assert action == "change"
        flags = set(endpoints[index]["flags"])
        for word in words[2:]:
            flag = word[2:] if word.startswith("no") else word
            assert flag in ("backup", "fullmesh"), "EINVAL"
            flags.symmetric_difference_update({flag})
        endpoints[index]["flags"] = sorted(flags)

    def route(self, action: str, words: list[str]) -> None:
        kind = words.pop(0) if words[0] == "blackhole" else "unicast"
        destination, metric = words[0], int(words[2])
        table = words[4] if words[3] == "table" else "main"
        rest = words[5:] if words[3] == "table" else words[3:]
        assert rest[:2] == ["proto", "77"]
        devices = [at for at, word in enumerate(rest) if word == "dev"]
        hops = [{"via": rest[at - 1] if rest[at - 2] == "via" else "", "dev": rest[at + 1]} for at in devices]
        for hop in hops:
            assert action == "del" or self.actual["interfaces"][hop["dev"]]["up"], "ENETUNREACH"
        routes = self.actual["routes"]
        same = [
            one
            for one in routes
            if (one["dst"], one["metric"], one.get("table", "main")) == (destination, metric, table)
        ]
        assert bool(same) == (action in ("replace", "del")), "EEXIST or ESRCH"
        for one in same:
            routes.remove(one)
        if action != "del":
            routes.append({"type": kind, "dst": destination, "table": table, "metric": metric, "nexthops": hops})

    def rule(self, action: str, words: list[str]) -> None:
        at = words.index("priority")
        given = {
            "priority": int(words[at + 1]),
            "from": words[1],
            "to": words[3] if words[2] == "to" else "",
            "action": "prohibit" if "prohibit" in words else words[words.index("lookup") + 1],
        }
        assert words[at + 2 :] == ["protocol", "77"]
        rules = self.actual["rules"]
        assert (given in rules) == (action == "del"), "EEXIST or ENOENT"
        rules.append(given) if action == "add" else rules.remove(given)


def make(wanted: dict[str, Any], kernel: Kernel, owned: list[str]) -> _mptcp_plan.Plan:
    return _mptcp_plan.make(wanted, kernel.actual, kernel.sysctls, owned)


def lines(plan: _mptcp_plan.Plan) -> list[str]:
    return [operation.line() for operation in plan.operations]


def converge(wanted: dict[str, Any], kernel: Kernel, owned: list[str] | None = None) -> list[str]:
    """Apply the plan; nothing may be left of it."""
    plan = make(wanted, kernel, owned or [])
    for operation in plan.operations:
        kernel.do(operation)
    again = make(wanted, kernel, _mptcp_plan.names(wanted))
    assert lines(again) == []
    assert again.before == again.after == plan.after
    return lines(plan)


def converged(server: bool = True) -> Kernel:
    kernel = Kernel(bare())
    converge(description(server), kernel)
    return kernel


def test_bare_machine() -> None:
    assert converge(description(), Kernel(bare())) == [
        "printf %s 1 > /proc/sys/net/mptcp/enabled",
        "printf %s 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter",
        "printf %s 2 > /proc/sys/net/ipv4/conf/eth1/rp_filter",
        "printf %s 2 > /proc/sys/net/ipv4/conf/eth2/rp_filter",
        "ip address add 10.10.255.5/32 dev lo",
        "ip route add blackhole 10.10.0.0/24 metric 4294967295 proto 77",
        "ip route add 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 nexthop via 10.10.1.1 dev eth1 "
        "nexthop via 10.10.2.1 dev eth2",
        "ip route add 10.10.255.1/32 metric 901 proto 77 via 10.10.0.1 dev eth0",
        "ip route add 10.10.255.1/32 metric 902 proto 77 via 10.10.1.1 dev eth1",
        "ip route add 10.10.255.1/32 metric 903 proto 77 via 10.10.2.1 dev eth2",
        "ip rule add from 10.10.255.5/32 to 10.10.0.0/24 lookup main priority 7700 protocol 77",
        "ip rule add from 10.10.255.5/32 prohibit priority 7799 protocol 77",
        "ip mptcp limits set subflows 6 add_addr_accepted 0",
        "ip mptcp endpoint add 10.10.0.5 dev eth0 id 1 subflow",
        "ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow",
        "ip mptcp endpoint add 10.10.2.5 dev eth2 id 3 subflow",
    ]


def in_ipv6() -> dict[str, Any]:
    """A host and target with one IPv6 rail, and an answer to a NIC in its own network."""
    service, hop = "2001:db8:ff::1/128", {"via": "2001:db8::1", "rail": "rail0"}
    table: dict[str, Any] = {"dst": service, "table": "7600"}
    return {
        **description(),
        "rails": [{"name": "rail0", "cidr": "2001:db8::/64", "interface": "eth0", "address": "2001:db8::5"}],
        "endpoints": [{"address": "2001:db8::5", "rail": "rail0", "id": 1, "flags": ["subflow", "backup"]}],
        "addresses": [{"address": "2001:db8:ff::5/128", "dev": "lo"}],
        "routes": [
            {"type": "blackhole", "dst": "2001:db8::/64", "metric": WORST, "nexthops": []},
            {"type": "unicast", "dst": "2001:db8::9/128", "metric": 900, "nexthops": [{"via": "", "rail": "rail0"}]},
            {"type": "unicast", "metric": 900, "nexthops": [hop], **table},
            {"type": "blackhole", "metric": WORST, "nexthops": [], **table},
        ],
        "rules": [{"priority": 7600, "from": "2001:db8::5/128", "to": "", "action": "7600"}],
    }


def test_ipv6_machine() -> None:
    actual = bare()
    actual["interfaces"]["eth0"]["addresses"] = ["fe80::5/64", "2001:db8::5/64"]
    kernel = Kernel(actual)
    assert converge(in_ipv6(), kernel)[2:] == [
        "ip address add 2001:db8:ff::5/128 dev lo nodad",
        "ip -6 route add blackhole 2001:db8::/64 metric 4294967295 proto 77",
        "ip -6 route add 2001:db8::9/128 metric 900 proto 77 dev eth0",
        "ip -6 route add 2001:db8:ff::1/128 metric 900 table 7600 proto 77 via 2001:db8::1 dev eth0",
        "ip -6 route add blackhole 2001:db8:ff::1/128 metric 4294967295 table 7600 proto 77",
        "ip -6 rule add from 2001:db8::5/128 lookup 7600 priority 7600 protocol 77",
        "ip mptcp limits set subflows 6 add_addr_accepted 0",
        "ip mptcp endpoint add 2001:db8::5 dev eth0 id 1 subflow backup",
    ]
    nothing = {**in_ipv6(), "endpoints": [], "addresses": [], "routes": [], "rules": []}
    assert converge(nothing, kernel, _mptcp_plan.names(in_ipv6())) == [
        "ip mptcp endpoint delete id 1",
        "ip -6 rule del from 2001:db8::5/128 lookup 7600 priority 7600 protocol 77",
        "ip -6 route del blackhole 2001:db8::/64 metric 4294967295 proto 77",
        "ip -6 route del 2001:db8::9/128 metric 900 proto 77 dev eth0",
        "ip -6 route del 2001:db8:ff::1/128 metric 900 table 7600 proto 77 via 2001:db8::1 dev eth0",
        "ip -6 route del blackhole 2001:db8:ff::1/128 metric 4294967295 table 7600 proto 77",
        "ip address del 2001:db8:ff::5/128 dev lo",
    ]


def test_rail_that_becomes_a_backup_keeps_its_subflows() -> None:
    wanted = description()
    wanted["endpoints"][1]["flags"] = ["subflow", "backup"]
    assert converge(wanted, converged(), _mptcp_plan.names(wanted)) == ["ip mptcp endpoint change id 2 backup"]


def test_name_with_a_dot_is_one_folder_of_sysctls() -> None:
    wanted = {"sysctls": {}, "interface_sysctls": {"net.ipv4.conf.{interface}.rp_filter": 2}}
    assert _mptcp_plan.sysctls(wanted, {"rail0": "eth0.100"}) == {"/proc/sys/net/ipv4/conf/eth0.100/rp_filter": "2"}


BREAKS: dict[str, Any] = {
    "nothing": lambda actual: None,
    "endpoint lost": lambda actual: actual["endpoints"].pop(1),
    "endpoint on another NIC": lambda actual: actual["endpoints"][1].update(dev="if7"),
    "endpoint with another flag": lambda actual: actual["endpoints"][1].update(flags=["signal"]),
    "endpoint backup": lambda actual: actual["endpoints"][1].update(flags=["backup", "subflow"]),
    "multipath route lost": lambda actual: actual["routes"].pop(1),
    "next hop lost": lambda actual: actual["routes"][1]["nexthops"].pop(),
    "next hop of somebody": lambda actual: actual["routes"][1]["nexthops"].append({"via": "10.10.9.1", "dev": "lo"}),
    "rule lost": lambda actual: actual["rules"].pop(1),
    "stale rule": lambda actual: actual["rules"].append(
        {"priority": 7750, "from": "10.10.255.9/32", "to": "", "action": "prohibit"}
    ),
    "stale route": lambda actual: actual["routes"].append(
        {"type": "blackhole", "dst": "10.10.9.0/24", "metric": WORST, "nexthops": []}
    ),
    "limits": lambda actual: actual["limits"].update(subflows=2),
}


@pytest.mark.parametrize(
    ("what", "expected", "resets"),
    [
        ("nothing", [], []),
        ("endpoint lost", ["ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow"], []),
        (
            "endpoint on another NIC",
            ["ip mptcp endpoint delete id 2", "ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow"],
            ["10.10.1.5"],
        ),
        (
            "endpoint with another flag",
            ["ip mptcp endpoint delete id 2", "ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow"],
            ["10.10.1.5"],
        ),
        ("endpoint backup", ["ip mptcp endpoint change id 2 nobackup"], []),
        (
            "multipath route lost",
            [
                "ip route add 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 "
                "nexthop via 10.10.1.1 dev eth1 nexthop via 10.10.2.1 dev eth2"
            ],
            [],
        ),
        (
            "next hop lost",
            [
                "ip route replace 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 "
                "nexthop via 10.10.1.1 dev eth1 nexthop via 10.10.2.1 dev eth2"
            ],
            [],
        ),
        (
            "next hop of somebody",
            [
                "ip route replace 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 "
                "nexthop via 10.10.1.1 dev eth1 nexthop via 10.10.2.1 dev eth2"
            ],
            [],
        ),
        ("rule lost", ["ip rule add from 10.10.255.5/32 prohibit priority 7799 protocol 77"], []),
        ("stale rule", ["ip rule del from 10.10.255.9/32 prohibit priority 7750 protocol 77"], []),
        ("stale route", ["ip route del blackhole 10.10.9.0/24 metric 4294967295 proto 77"], []),
        ("limits", ["ip mptcp limits set subflows 6 add_addr_accepted 0"], []),
    ],
)
def test_only_what_differs_is_changed(what: str, expected: list[str], resets: list[str]) -> None:
    kernel = converged()
    BREAKS[what](kernel.actual)
    assert make(description(), kernel, []).resets == resets
    assert converge(description(), kernel, _mptcp_plan.names(description())) == expected


def test_sysctl_that_somebody_changed() -> None:
    kernel = converged()
    kernel.sysctls["/proc/sys/net/mptcp/enabled"] = "0"
    assert converge(description(), kernel) == ["printf %s 1 > /proc/sys/net/mptcp/enabled"]


def test_what_the_description_no_longer_has_is_removed_last() -> None:
    kernel = converged()
    owned = _mptcp_plan.names(description())
    wanted = description(server=False)
    wanted["endpoints"] = wanted["endpoints"][:2]
    plan = make(wanted, kernel, owned)
    assert lines(plan) == ["ip mptcp endpoint delete id 3", "ip address del 10.10.255.5/32 dev lo"]
    assert plan.resets == ["10.10.2.5"]
    assert "endpoint 10.10.2.5" in plan.before
    assert "endpoint 10.10.2.5" not in plan.after


def test_endpoint_of_somebody_else_is_left_alone_and_reported() -> None:
    kernel = Kernel(bare())
    theirs = {"address": "192.0.2.1", "dev": "eth9", "id": 1, "flags": ["subflow"], "port": 0}
    kernel.actual["endpoints"].append(copy.deepcopy(theirs))
    assert _mptcp_plan.foreign(description(), kernel.actual, []) == ["192.0.2.1 dev eth9 subflow"]
    done = converge(description(), kernel)
    # Its identifier is not taken from it: ours takes the next one that is free.
    assert "ip mptcp endpoint add 10.10.0.5 dev eth0 id 2 subflow" in done
    assert theirs in kernel.actual["endpoints"]


def test_equal_endpoint_made_by_somebody_else_is_kept_with_its_identifier() -> None:
    kernel = Kernel(bare())
    kernel.actual["endpoints"].append(
        {"address": "10.10.0.5", "dev": "eth0", "id": 77, "flags": ["subflow"], "port": 0}
    )
    assert not any("10.10.0.5" in line for line in converge(description(), kernel))


def test_nic_that_is_down_holds_up_no_other_rail() -> None:
    actual = bare()
    actual["interfaces"]["eth1"]["up"] = False
    kernel = Kernel(actual)
    done = converge(description(), kernel)
    assert (
        "ip route add 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 nexthop via 10.10.2.1 dev eth2"
        in done
    )
    assert not any(" via " in line and "eth1" in line for line in done)
    assert locate(description()["rails"], actual["interfaces"])[1] == {
        "rail1": "eth1 (10.10.1.5) is down: `ip link set eth1 up`"
    }
    actual["interfaces"]["eth1"]["up"] = True
    assert converge(description(), kernel) == [
        "ip route replace 10.10.255.1/32 metric 900 proto 77 nexthop via 10.10.0.1 dev eth0 "
        "nexthop via 10.10.1.1 dev eth1 nexthop via 10.10.2.1 dev eth2",
        "ip route add 10.10.255.1/32 metric 902 proto 77 via 10.10.1.1 dev eth1",
    ]


def test_endpoint_of_a_nic_without_carrier_is_added_when_it_has_one() -> None:
    kernel = converged()
    [gone] = [one for one in kernel.actual["endpoints"] if one["dev"] == "eth1"]
    kernel.actual["interfaces"]["eth1"]["carrier"] = False
    owned = _mptcp_plan.names(description())
    assert converge(description(), kernel, owned) == [], "one that is there stays"
    kernel.actual["endpoints"].remove(gone)
    assert converge(description(), kernel, owned) == []
    kernel.actual["interfaces"]["eth1"]["carrier"] = True
    assert converge(description(), kernel, owned) == ["ip mptcp endpoint add 10.10.1.5 dev eth1 id 2 subflow"]


def test_next_hop_that_the_kernel_kept_for_a_nic_that_is_down_stays() -> None:
    kernel = converged()
    kernel.actual["interfaces"]["eth1"]["up"] = False
    assert converge(description(), kernel, _mptcp_plan.names(description())) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nics: nics.pop("eth1"), "no NIC has 10.10.1.5 (10.10.1.0/24); eth1 does not exist"),
        (lambda nics: nics["eth1"].update(addresses=[]), "eth1 has no address"),
        (lambda nics: nics["eth1"].update(addresses=["10.10.1.6/24"]), "eth1 has 10.10.1.6/24"),
    ],
)
def test_missing_nic_is_named(change: Any, says: str) -> None:
    actual = bare()
    change(actual["interfaces"])
    found, problems = locate(description()["rails"], actual["interfaces"])
    assert list(found) == ["rail0", "rail2"]
    assert says in problems["rail1"]
    converge(description(), Kernel(actual))


def test_nic_is_recognised_by_its_address_after_its_name_changed() -> None:
    actual = bare()
    actual["interfaces"]["enp9s0"] = actual["interfaces"].pop("eth1")
    done = converge(description(), Kernel(actual))
    assert "ip mptcp endpoint add 10.10.1.5 dev enp9s0 id 2 subflow" in done
    assert "ip route add 10.10.255.1/32 metric 902 proto 77 via 10.10.1.1 dev enp9s0" in done
    assert "printf %s 2 > /proc/sys/net/ipv4/conf/enp9s0/rp_filter" in done


@st.composite
def machines(draw: st.DrawFn) -> Kernel:
    """A machine in any state that others, failures and earlier descriptions could have left it in."""
    kernel = converged(server=draw(st.booleans())) if draw(st.booleans()) else Kernel(bare())
    actual = kernel.actual
    for key in ("endpoints", "routes", "rules"):
        actual[key] = [one for one in actual[key] if draw(st.booleans())]
    for endpoint in actual["endpoints"]:
        endpoint["flags"] = sorted(draw(st.sets(st.sampled_from(["subflow", "backup", "signal", "fullmesh"]))))
        endpoint["dev"] = draw(st.sampled_from(["eth0", "eth1", "eth2", "if9", ""]))
    for number in draw(st.sets(st.integers(1, 9), max_size=3)):
        if number not in {one["id"] for one in actual["endpoints"]}:
            actual["endpoints"].append(
                {"address": f"192.0.2.{number}", "dev": "", "id": number, "flags": ["signal"], "port": 0}
            )
    for nic in ("eth0", "eth1", "eth2"):
        fate = draw(st.sampled_from(["up", "down", "no address", "gone"]))
        if fate == "gone":
            del actual["interfaces"][nic]
            actual["routes"] = [one for one in actual["routes"] if nic not in str(one)]
        else:
            actual["interfaces"][nic].update({"down": {"up": False}, "no address": {"addresses": []}}.get(fate, {}))
    actual["limits"]["subflows"] = draw(st.integers(0, 8))
    return kernel


@given(machines(), st.booleans())
def test_any_machine_converges_in_one_step_and_nothing_of_others_is_touched(kernel: Kernel, server: bool) -> None:
    theirs = [one for one in kernel.actual["endpoints"] if one["address"].startswith("192.0.2.")]
    before = copy.deepcopy(kernel.actual)
    wanted = description(server)
    right = [
        one
        for one in before["endpoints"]
        if one["flags"] == ["subflow"] and one["dev"] == f"eth{one['address'].split('.')[2]}"
    ]
    done = converge(wanted, kernel, _mptcp_plan.names(description()))
    for one in theirs:
        assert one in kernel.actual["endpoints"]
    for one in right:
        assert one in kernel.actual["endpoints"]
        assert not any(f" {one['address']} " in line for line in done if " endpoint " in line)
    for nic, link in before["interfaces"].items():
        if nic != "lo":
            assert kernel.actual["interfaces"][nic] == link
