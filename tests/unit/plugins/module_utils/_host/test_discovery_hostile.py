# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Discovery controllers that mean no good, on an emulated host: what they can reach, and what it costs."""

from __future__ import annotations

import errno
import itertools
import tracemalloc

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery_budget, discovery_options
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import LIMITS
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import Entry, pack, read
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.patience import Patience
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from emulated_fabrics import CONNECTION, SECRET, Kernel, discovering, entry, referral, run

PREFIX = "nqn.2026-11.org.example"
OTHER = f"{PREFIX}:vol1"


def asked(kernel: Kernel, nqn: str = "") -> list[str]:
    """The addresses that were asked for, for a subsystem alone if one is given."""
    words = [dict(word.partition("=")[::2] for word in line.split(",")) for line in kernel.asked]
    return [one["traddr"] for one in words if one["nqn"].startswith(nqn)]


def there() -> set[tuple[str, str]]:
    return {(one.traddr, one.subsysnqn) for one in converging.look().controllers}


def flood(count: int) -> list[Entry]:
    return [entry(f"{PREFIX}:flood{number}") for number in range(count)]


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> int:
    """Few connections, as the emulated kernel reads them all again and again."""
    monkeypatch.setattr(discovery_budget, "LIMITS", {**LIMITS, "connections": 16, "referrals": 8})
    return 16


def test_16384_entries_are_as_many_connects_as_are_allowed_and_one_line(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = pack(1, flood(16384))
    outcome = run(kernel, discovering("192.0.2.1", discovery_limits={"entries": 65536, "commands": 65536}))
    assert len(asked(kernel, f"{PREFIX}:flood")) == 256
    (note,) = outcome.notes
    assert note == (
        "not connected, of what discovery logs name: 16128 because the limit of 256 connections is reached "
        "(discovery_limits)"
    )
    # A round that comes again finds no more to do.
    assert (
        run(kernel, discovering("192.0.2.1", discovery_limits={"entries": 65536, "commands": 65536})).operations == []
    )


def test_a_log_that_is_too_long_is_not_read(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = pack(1, flood(16384))
    kernel.logs["192.0.2.2"] = [entry(OTHER, "192.0.2.2")]
    outcome = run(kernel, discovering("192.0.2.1", "192.0.2.2"))
    assert asked(kernel, PREFIX) == ["192.0.2.2"]
    assert outcome.notes == [
        f"mptcp 192.0.2.1:4420 {DISCOVERY_NQN}: its discovery log is not known: the limit of 8192 entries is reached "
        "(discovery_limits)"
    ]


def test_a_fan_out_of_referrals_ends(kernel: Kernel, scarce: int) -> None:
    numbers = itertools.count(2)
    for address in [f"192.0.2.{number}" for number in range(1, 60)]:
        kernel.logs[address] = [referral(f"192.0.2.{next(numbers)}") for _ in range(4)]
    outcome = run(kernel, discovering("192.0.2.1"))
    assert len(asked(kernel, DISCOVERY_NQN)) == 1 + 8
    assert sorted(kernel.read) == sorted(set(asked(kernel, DISCOVERY_NQN)))
    (note,) = outcome.notes
    assert "because the limit of 8 referrals is reached" in note


def test_one_log_does_not_keep_others_from_being_followed(kernel: Kernel, scarce: int) -> None:
    kernel.logs["192.0.2.1"] = flood(1000)
    kernel.logs["192.0.2.2"] = [entry(OTHER, "192.0.2.2")]
    run(kernel, discovering("192.0.2.1", "192.0.2.2"))
    assert ("192.0.2.2", OTHER) in there()
    assert len(asked(kernel, PREFIX)) == scarce


def test_what_is_connected_keeps_its_place(kernel: Kernel, scarce: int) -> None:
    kernel.logs["192.0.2.1"] = [entry(OTHER)]
    run(kernel, discovering("192.0.2.1"))
    kernel.logs["192.0.2.1"] = [*flood(1000), entry(OTHER)]
    run(kernel, discovering("192.0.2.1", gone="disconnect"))
    # A round that comes again finds no more to do.
    assert run(kernel, discovering("192.0.2.1", gone="disconnect")).operations == []
    assert ("192.0.2.1", OTHER) in there()
    assert len(asked(kernel, PREFIX)) == scarce


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    make = discovery_budget.Budget
    monkeypatch.setattr(discovery_options, "Budget", lambda limits: make(limits, found))
    return found


def test_dead_addresses_end_with_the_last_second(kernel: Kernel, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [f"10.{number >> 8}.{number & 255}.1" for number in range(16384)]
    kernel.refuse = dict.fromkeys(dead, errno.ETIMEDOUT)
    kernel.logs["192.0.2.1"] = [entry(address=address) for address in dead]
    kernel.logs["192.0.2.2"] = [entry(OTHER, "192.0.2.2")]
    connect = kernel.connect

    def slowly(options: str) -> str:
        clock.now += 3.0
        return connect(options)

    monkeypatch.setattr(kernel, "connect", slowly)
    described = discovering("192.0.2.1", "192.0.2.2", gone="disconnect")
    described["discovery_networks"] = ["10.0.0.0/8", "192.0.2.0/24"]
    described["discovery_limits"] = {"connections": 16384}
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, described, patience=Patience())
    assert clock.now <= 63
    assert len(asked(kernel)) == 20
    assert ("192.0.2.2", OTHER) in there()
    assert any("because the seconds of this round were over" in note for note in caught.value.notes)
    # The next round goes on where this one ended.
    first = set(asked(kernel))
    kernel.asked.clear()
    with pytest.raises(converging.NotConverged):
        run(kernel, described, last=caught.value.failed, patience=Patience())
    assert len(asked(kernel)) == 20
    assert not first & set(asked(kernel))


def test_a_bad_name_in_a_log_keeps_no_playbook_from_its_end(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(OTHER)]
    declared = {**CONNECTION, "traddr": "192.0.2.3"}
    run(kernel, {**discovering("192.0.2.1"), "connections": [declared]})
    assert ("192.0.2.3", CONNECTION["subsysnqn"]) in there()
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    kernel.logs["192.0.2.1"] = [entry(OTHER), entry(OTHER, "192.0.2.2")]
    outcome = run(kernel, discovering("192.0.2.1"))
    (line,) = outcome.unmade
    assert line.startswith(f"mptcp 192.0.2.2:4420 {OTHER}: ETIMEDOUT")
    # What the description has no more went all the same, and boot has the new one.
    assert ("192.0.2.3", CONNECTION["subsysnqn"]) not in there()
    assert ("192.0.2.1", OTHER) in there()
    assert state.load(COMPONENT)["connections"] == []
    # The service takes it for a reason to come again.
    with pytest.raises(converging.NotConverged, match="ETIMEDOUT"):
        run(kernel, discovering("192.0.2.1"), patience=Patience())


def test_what_a_peer_refuses_is_not_a_line_each(kernel: Kernel) -> None:
    kernel.refuse["192.0.2.2"] = errno.EIO
    kernel.logs["192.0.2.1"] = [entry(f"{PREFIX}:flood{number}", "192.0.2.2") for number in range(30)]
    declared = {**CONNECTION, "traddr": "192.0.2.2", "subsysnqn": OTHER}
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, {**discovering("192.0.2.1"), "connections": [declared]})
    first, *rest = caught.value.errors
    assert first.startswith(f"mptcp 192.0.2.2:4420 {OTHER}: EIO")
    assert rest == ["30 connections that discovery logs name could not be made (EIO)"]
    assert len(caught.value.failed) == 31


def test_what_is_put_off_is_no_failure_and_is_looked_after_soon(kernel: Kernel, clock: Clock) -> None:
    kernel.logs["192.0.2.1"] = flood(3)
    described = discovering("192.0.2.1", discovery_limits={"seconds": 1})
    connect = kernel.connect

    def slowly(options: str) -> str:
        clock.now += 0.6
        return connect(options)

    kernel.connect = slowly
    for made in (1, 3):
        outcome = run(kernel, described)
        assert len(asked(kernel, PREFIX)) == made
    assert outcome.awaited == []
    assert outcome.notes == []


BAD_PLACES = {
    "loopback": entry(address="127.0.0.1", trsvcid="22"),
    "link-local": entry(address="169.254.0.9"),
    "management": entry(address="10.99.0.5"),
    "copy": entry(nvme_tree.NQN, address="198.51.100.7"),
    "mapped": entry(address="::ffff:127.0.0.1", adrfam=2),
    "referral": referral("198.51.100.7"),
    "well-known": entry(DISCOVERY_NQN, "198.51.100.7"),
}


@pytest.mark.parametrize("bad", BAD_PLACES.values(), ids=list(BAD_PLACES))
def test_no_secret_goes_to_a_place_outside(kernel: Kernel, bad: Entry) -> None:
    kernel.logs["192.0.2.1"] = [bad, entry(OTHER)]
    described = discovering("192.0.2.1", discovered={"dhchap_secret": SECRET})
    described["discovery"][0]["dhchap_secret"] = SECRET
    outcome = run(kernel, described)
    assert set(asked(kernel)) == {"192.0.2.1"}
    (note,) = outcome.notes
    assert "outside discovery_networks" in note
    assert SECRET not in note


def test_a_subsystem_that_nobody_allows_is_not_connected(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry("nqn.2030-01.com.attacker:vol"), entry(OTHER)]
    outcome = run(kernel, discovering("192.0.2.1", discovery_nqns=[f"{PREFIX}:*"]))
    assert there() == {("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", OTHER)}
    assert len(outcome.notes) == 1


def test_what_is_declared_is_connected_wherever_it_is(kernel: Kernel) -> None:
    kernel.logs["127.0.0.1"] = [entry(OTHER, "127.0.0.1")]
    described = {**discovering("127.0.0.1"), "discovery_networks": [], "discovery_nqns": ["nqn.2026-11.*"]}
    described["connections"] = [{**CONNECTION, "traddr": "198.51.100.7", "subsysnqn": "nqn.2030-01.com.other:vol"}]
    run(kernel, described)
    assert {address for address, _nqn in there()} == {"127.0.0.1", "198.51.100.7"}


@pytest.mark.parametrize("policy", ["keep", "disconnect"])
def test_an_upgrade_keeps_what_is_connected_and_gives_it_no_secret_again(kernel: Kernel, policy: str) -> None:
    """An older release saved no lists: what it connected stays, and what is new is judged."""
    log = [entry(address="192.0.2.2"), referral("192.0.2.3")]
    kernel.logs["192.0.2.1"] = log
    described = discovering("192.0.2.1", gone=policy, discovered={"dhchap_secret": SECRET})
    run(kernel, described)
    older = {key: value for key, value in described.items() if not key.startswith("discovery_")}
    kernel.logs["192.0.2.1"] = [*log, entry(OTHER, "192.0.2.4"), entry(OTHER, "192.0.2.2")]
    before = there()
    assert len(run(kernel, older).notes) == 1
    assert there() == {*before, ("192.0.2.2", OTHER)}
    assert "discovery_networks" not in state.load(COMPONENT)
    # The next playbook writes lists that do not have it.
    kernel.asked.clear()
    now = {**described, "discovery_networks": ["192.0.2.3"]}
    outcome = run(kernel, now)
    assert f"mptcp 192.0.2.2:4420 {OTHER}: no log may name it; it stays" in "\n".join(outcome.notes)
    assert there() == {*before, ("192.0.2.2", OTHER)}
    assert kernel.asked == []
    for one in converging.look().controllers:
        if one.traddr == "192.0.2.2":
            kernel.write(Operation("write", f"{one.path}/delete_controller", "1"))
    run(kernel, now)
    assert kernel.asked == []


FORGED = f"{PREFIX}:a\nhost: 3 connection(s) as described"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (entry(FORGED), "its NQN is none"),
        (entry(f"{PREFIX}:a\x1b[2K\r"), "its NQN is none"),
        (entry(f"{PREFIX}:a\udcff"), "its NQN is none"),
        (entry(f"{PREFIX}:a\n"), "its NQN is none"),
        (entry("a,b"), "its NQN is none"),
        (entry(address="host.example.org"), "its address is none"),
        (entry(address="192.0.2.1\n"), "its address is none"),
        (entry(address="1.2.3"), "its address is none"),
        (entry(address="2001:db8::1"), "its address family is 1 and its address is IPv6"),
        (entry(adrfam=7), "its address family is 7"),
        (entry(address="0.0.0.0"), "its address cannot be used: it must be the address of one machine"),
        (entry(trsvcid="x"), "its service is none"),
        (entry(trsvcid="0"), "its service is no port from 1 to 65535"),
        (entry(trsvcid="65536"), "its service is no port"),
        (entry(trsvcid="04420"), "its service is no port"),
        (entry(trsvcid="\u0664"), "its service is none"),
        (entry(subtype=9), "its subsystem type is 9"),
    ],
)
def test_an_entry_that_is_none_is_one_line_in_words(kernel: Kernel, bad: Entry, why: str) -> None:
    kernel.logs["192.0.2.1"] = [bad, bad, entry(OTHER)]
    outcome = run(kernel, discovering("192.0.2.1"))
    assert there() == {("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", OTHER)}
    (note,) = outcome.notes
    assert note.startswith(f"not connected, of what discovery logs name: 2 because {why}")
    assert note.isprintable()


def test_many_reasons_are_one_short_line(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(subtype=number) for number in range(4, 256)]
    (note,) = run(kernel, discovering("192.0.2.1")).notes
    assert note.count(" because ") == 4
    assert note.endswith("; 248 for 248 other reasons")


def test_a_log_that_changes_after_each_reading_is_read_once_a_round(kernel: Kernel) -> None:
    class Churn(bytes):
        generation = itertools.count()

        def __getitem__(self, part: slice) -> bytes:
            return pack(next(self.generation), [])[part]

    kernel.logs["192.0.2.1"] = Churn()
    kernel.logs["192.0.2.2"] = [entry(OTHER, "192.0.2.2")]
    outcome = run(kernel, discovering("192.0.2.1", "192.0.2.2"))
    assert kernel.read == ["192.0.2.1", "192.0.2.2"]
    assert [note.partition("known: ")[2] for note in outcome.notes] == [
        "the discovery log changed during each of 8 readings"
    ]
    assert ("192.0.2.2", OTHER) in there()


def test_the_largest_log_that_is_read_takes_little_memory() -> None:
    count = LIMITS["entries"] // 4
    nqn = f"{PREFIX}:".ljust(223, "x")
    log = pack(1, [entry(nqn)] * count)
    tracemalloc.start()
    try:
        found = read(lambda start, length, _retain: log[start : start + length], discovery_budget.Budget().share())
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == count
    assert peak < 8 << 20
