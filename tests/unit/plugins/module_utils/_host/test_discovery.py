# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What discovery logs add to a description, on an emulated host: converged, checked, refused and forgotten."""

from __future__ import annotations

import errno
import shutil

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import discovery
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import saved as _connections_saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_budget import Budget
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.discovery_log import Entry
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN, name_of
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.round import NAMED
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import Controller
from emulated_fabrics import CONNECTION, SECRET, Kernel, description, discovering, entry, referral, run, state
from hypothesis import given
from hypothesis import strategies as st

OTHER = "nqn.2026-11.org.example:vol1"
NAME = f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"


def there() -> list[tuple[str, str]]:
    return sorted((one.traddr, one.subsysnqn) for one in converging.look().controllers)


def test_one_run_connects_what_the_log_says_and_a_second_changes_nothing(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(DISCOVERY_NQN, subtype=3), entry(), entry(OTHER)]
    described = discovering("192.0.2.1", discovered={"ctrl_loss_tmo": -1}, iopolicy="queue-depth")
    run(kernel, described)
    assert [nqn for _address, nqn in there()] == [DISCOVERY_NQN, nvme_tree.NQN, OTHER]
    assert "nqn=nqn.2014-08.org.nvmexpress.discovery,keep_alive_tmo=30,ctrl_loss_tmo=-1," in kernel.asked[0]
    assert all("ctrl_loss_tmo=-1" in asked for asked in kernel.asked)
    again = run(kernel, described)
    assert (again.changed, again.operations, again.notes) == (False, [], [])
    saved = _state.load(COMPONENT)
    assert (saved["connections"], saved["discovered"]) == ([], [{"ctrl_loss_tmo": -1}])
    assert [one["traddr"] for one in saved["discovery"]] == ["192.0.2.1"]
    assert run(kernel, saved).operations == []


def test_check_mode_says_what_a_live_discovery_controller_knows(kernel: Kernel, tmp_path) -> None:
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1"))
    kernel.logs["192.0.2.1"] = [entry()]
    before = state(tmp_path)
    told = run(kernel, discovering("192.0.2.1"), check=True)
    assert [one.about for one in told.operations] == [NAME]
    assert NAME in told.after["connections"]
    assert state(tmp_path) == before


def test_referrals_are_followed_in_circles_no_further_than_once(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [referral("192.0.2.2"), referral("192.0.2.1")]
    kernel.logs["192.0.2.2"] = [referral("192.0.2.1"), referral("192.0.2.3"), entry(address="192.0.2.2")]
    kernel.logs["192.0.2.3"] = [entry(OTHER, "192.0.2.3")]
    outcome = run(kernel, discovering("192.0.2.1"))
    assert there() == [
        ("192.0.2.1", DISCOVERY_NQN),
        ("192.0.2.2", DISCOVERY_NQN),
        ("192.0.2.2", nvme_tree.NQN),
        ("192.0.2.3", DISCOVERY_NQN),
        ("192.0.2.3", OTHER),
    ]
    assert outcome.notes == []


def test_referrals_have_an_end(kernel: Kernel) -> None:
    for number in range(1, 20):
        kernel.logs[f"192.0.2.{number}"] = [referral(f"192.0.2.{number + 1}")]
    run(kernel, discovering("192.0.2.1"))
    assert len(there()) == discovery.DEPTH + 1


def test_only_the_transport_of_the_discovery_controller_is_used(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(trtype=3), entry(OTHER), entry(trtype=77)]
    outcome = run(kernel, discovering("192.0.2.1"))
    assert there() == [("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", OTHER)]
    (note,) = outcome.notes
    assert note == (
        "not connected, of what discovery logs name: 2 because it is in a log that was read over mptcp; list a "
        f"discovery controller of its transport, such as tcp 192.0.2.1:4420 {nvme_tree.NQN}"
    )


@pytest.mark.parametrize("bad", [entry("a,b"), entry(address="host.example.org"), entry(trsvcid="x")])
def test_an_entry_that_cannot_be_is_told_and_the_others_are_connected(kernel: Kernel, bad: Entry) -> None:
    kernel.logs["192.0.2.1"] = [bad, entry(OTHER)]
    outcome = run(kernel, discovering("192.0.2.1"))
    assert there() == [("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", OTHER)]
    assert len(outcome.notes) == 1


def test_a_dead_discovery_address_keeps_back_nothing_else(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    with pytest.raises(converging.NotConverged) as caught:
        run(kernel, discovering("192.0.2.2", "192.0.2.1"))
    (error,) = caught.value.errors
    assert error.startswith(f"mptcp 192.0.2.2:4420 {DISCOVERY_NQN}: ETIMEDOUT")
    assert caught.value.failed == {f"mptcp 192.0.2.2:4420 {DISCOVERY_NQN}"}
    assert there() == [("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", nvme_tree.NQN)]
    assert _state.load(COMPONENT) is None


@pytest.mark.parametrize(
    ("policy", "used", "stays", "said"),
    [
        ("keep", [], True, "kept"),
        ("disconnect", [], False, "disconnected"),
        ("disconnect", ["mounted on /data"], True, "kept as long as it is used: /dev/nvme1n1 is mounted on /data"),
    ],
)
def test_what_has_gone_is_told_and_handled(kernel: Kernel, policy: str, used: list, stays: bool, said: str) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1", gone=policy))
    kernel.logs["192.0.2.1"] = []
    kernel.used["nvme1n1"] = used
    outcome = run(kernel, discovering("192.0.2.1", gone=policy))
    assert outcome.notes == [f"{NAME} is in no discovery log any more: {said}"]
    assert (("192.0.2.1", nvme_tree.NQN) in there()) is stays
    # Still known as one that a log gave, and its return is nothing new.
    kernel.logs["192.0.2.1"] = [entry()]
    back = run(kernel, discovering("192.0.2.1", gone=policy))
    assert back.notes == []
    assert bool(back.operations) is not stays


def test_nothing_counts_as_gone_while_a_log_is_unknown(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    kernel.logs["192.0.2.2"] = []
    run(kernel, discovering("192.0.2.1", "192.0.2.2", gone="disconnect"))
    kernel.logs["192.0.2.1"] = OSError(errno.EIO, "status 0x4002")
    outcome = run(kernel, discovering("192.0.2.1", "192.0.2.2", gone="disconnect"))
    assert outcome.operations == []
    assert outcome.awaited == [f"mptcp 192.0.2.1:4420 {DISCOVERY_NQN}: its discovery log"]
    assert outcome.notes == [f"mptcp 192.0.2.1:4420 {DISCOVERY_NQN}: its discovery log is not known: status 0x4002"]
    assert ("192.0.2.1", nvme_tree.NQN) in there()


def test_a_referral_that_has_gone_is_disconnected(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [referral("192.0.2.2")]
    run(kernel, discovering("192.0.2.1"))
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1"))
    assert there() == [("192.0.2.1", DISCOVERY_NQN)]


def test_without_discovery_what_the_logs_gave_is_no_longer_declared(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(), referral("192.0.2.2")]
    run(kernel, discovering("192.0.2.1"))
    run(kernel, {**description(), "connections": []})
    assert there() == []
    assert (_state.owned(COMPONENT), _state.owned(NAMED)) == ([], [])


def test_a_declared_connection_that_a_log_names_too_has_its_own_options(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    described = {**discovering("192.0.2.1", discovered={"nr_io_queues": 2}), "connections": [CONNECTION]}
    run(kernel, described)
    assert not any("nr_io_queues" in asked for asked in kernel.asked)
    run(kernel, {**described, "connections": []})
    assert ("192.0.2.1", nvme_tree.NQN) in there()


def test_other_options_of_what_logs_name_make_new_connections(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1"))
    kernel.asked.clear()
    outcome = run(kernel, discovering("192.0.2.1", discovered={"hdr_digest": True}))
    assert outcome.disconnects == [NAME]
    assert "hdr_digest" in kernel.asked[0]
    assert run(kernel, discovering("192.0.2.1", discovered={"hdr_digest": True})).operations == []


def test_a_discovery_service_with_a_name_of_its_own_is_the_one_that_was_asked_for(kernel: Kernel) -> None:
    run(kernel, discovering("192.0.2.1"))
    (kernel.root / "sys/class/nvme/nvme0/subsysnqn").write_text("nqn.2026-11.org.example:discovery\n")
    assert run(kernel, discovering("192.0.2.1")).operations == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"discovery": [{"transport": "mptcp", "trsvcid": "4420"}]}, r"^discovery\[0\].*traddr is missing"),
        ({"discovered": {"tls": True}}, "^discovered: tls is True"),
        ({"discovery_networks": ["target1"]}, "^discovery_networks has 'target1'"),
        ({"discovery_nqns": ["a,b"]}, "^discovery_nqns has 'a,b'"),
        ({"discovery_limits": {"seconds": 0}}, "^discovery_limits: seconds must be"),
    ],
)
def test_bad_input_is_told_and_nothing_is_lost(kernel: Kernel, changed: dict, what: str) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1"))
    before = state(kernel.root)
    with pytest.raises(converging.NotConverged, match=what):
        run(kernel, {**discovering("192.0.2.1"), **changed}, check=True)
    assert state(kernel.root) == before
    with pytest.raises(converging.NotConverged, match=what) as caught:
        run(kernel, {**discovering("192.0.2.1"), **changed})
    assert len(caught.value.errors) == 1
    assert there() == [("192.0.2.1", DISCOVERY_NQN), ("192.0.2.1", nvme_tree.NQN)]


def test_secrets_of_what_logs_name_are_kept_apart(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    described = discovering("192.0.2.1", discovered={"dhchap_secret": SECRET})
    run(kernel, described)
    assert SECRET in kernel.asked[1]
    assert SECRET not in (kernel.root / "etc/host.json").read_text()
    saved = _connections_saved.load(str(kernel.root / "etc"))
    assert run(kernel, saved).changed is False
    assert run(kernel, described).changed is False


def controller(name: str, nqn: str, address: str) -> Controller:
    text = dict.fromkeys(
        ["host_traddr", "host_iface", "src_addr", "hostnqn", "hostid", "path", "cntrltype", "sysfs_transport"], ""
    )
    return Controller(
        name=name, transport="mptcp", traddr=address, trsvcid="4420", subsysnqn=nqn, state="live", cntlid=1,
        queue_count=1, options={}, paths=(), **text,
    )  # fmt: skip


@given(
    st.dictionaries(
        st.integers(1, 5),
        st.lists(st.one_of(st.integers(1, 5).map(lambda n: referral(f"192.0.2.{n}")), st.just(entry())), max_size=4),
    ),
    st.sampled_from(["keep", "disconnect"]),
)
def test_any_graph_of_referrals_comes_to_an_end_and_reads_each_log_once(graph: dict, policy: str) -> None:
    described = discovering("192.0.2.1", gone=policy)
    addresses = [f"192.0.2.{number}" for number in range(1, 6)]
    found = {
        name_of({**CONNECTION, "traddr": address, "subsysnqn": DISCOVERY_NQN}): controller(
            f"nvme{number}", DISCOVERY_NQN, address
        )
        for number, address in enumerate(addresses)
    }
    read: list[str] = []

    def log(one: Controller) -> list[Entry]:
        read.append(one.traddr)
        return graph.get(int(one.traddr[-1]), [])

    declared = {name_of({**CONNECTION, "subsysnqn": DISCOVERY_NQN}): {**CONNECTION, "subsysnqn": DISCOVERY_NQN}}
    followed = discovery.follow(described, declared, found, [], log, lambda device: [], Budget(), {})
    assert sorted(read) == sorted(set(read))
    assert followed.unread == {}
    assert {one["traddr"] for one in followed.connections.values() if one["subsysnqn"] == DISCOVERY_NQN} | {
        "192.0.2.1"
    } == set(read)


@pytest.mark.parametrize("interval", [-1, 2147484, 10**400, "soon", True])
def test_an_interval_that_is_none_is_refused(kernel: Kernel, interval: object) -> None:
    with pytest.raises(converging.NotConverged, match=r"discovery_interval is .*; it must be from 0 to 2147483"):
        run(kernel, discovering("192.0.2.1", discovery_interval=interval))
    assert _state.load(COMPONENT) is None


def test_what_is_declared_from_a_local_address_is_not_connected_a_second_time(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry(), entry(OTHER)]
    declared = {**CONNECTION, "host_iface": "rail0"}
    run(kernel, {**discovering("192.0.2.1"), "connections": [declared]})
    assert [nqn for _address, nqn in there()] == [DISCOVERY_NQN, nvme_tree.NQN, OTHER]
    # Another host of this machine is another connection.
    kernel.logs["192.0.2.1"] = [entry()]
    other = {**CONNECTION, "hostnqn": "nqn.2026-11.org.example:guest"}
    run(kernel, {**discovering("192.0.2.1"), "connections": [other]})
    assert there().count(("192.0.2.1", nvme_tree.NQN)) == 2


def test_what_a_log_gave_is_replaced_by_what_is_declared_in_its_place(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1"))
    declared = {**CONNECTION, "host_iface": "rail0"}
    kernel.used["nvme1n1"] = ["mounted on /data"]
    outcome = run(kernel, {**discovering("192.0.2.1"), "connections": [declared]})
    assert (outcome.disconnects, outcome.notes) == ([NAME], [])
    assert [one.host_iface for one in converging.look().controllers if one.subsysnqn == nvme_tree.NQN] == ["rail0"]


def test_a_referral_is_followed_while_the_address_that_gave_it_is_away(kernel: Kernel) -> None:
    kernel.logs["192.0.2.1"] = [referral("192.0.2.2")]
    kernel.logs["192.0.2.2"] = [entry(address="192.0.2.2")]
    run(kernel, discovering("192.0.2.1"))
    asked = len(kernel.asked)
    # The kernel gave up a controller of the other target meanwhile, and a subsystem is new there.
    lost = next(one for one in converging.look().controllers if one.subsysnqn == nvme_tree.NQN)
    shutil.rmtree(kernel.root / lost.path.lstrip("/"))
    kernel.logs["192.0.2.2"] = [entry(address="192.0.2.2"), entry(OTHER, "192.0.2.2"), referral("192.0.2.3")]
    kernel.logs["192.0.2.3"] = [entry(OTHER, "192.0.2.3")]
    (first,) = (one for one in converging.look().controllers if one.traddr == "192.0.2.1")
    (kernel.root / first.path.lstrip("/") / "state").write_text("connecting\n")
    outcome = run(kernel, discovering("192.0.2.1"))
    assert sorted(there()) == [
        ("192.0.2.1", DISCOVERY_NQN),
        ("192.0.2.2", DISCOVERY_NQN),
        ("192.0.2.2", nvme_tree.NQN),
        ("192.0.2.2", OTHER),
        ("192.0.2.3", DISCOVERY_NQN),
        ("192.0.2.3", OTHER),
    ]
    assert [note for note in outcome.notes if "192.0.2.1" not in note] == []
    assert [one for one in kernel.asked[asked:] if "192.0.2.3" in one and "keep_alive_tmo=30" in one]
    assert run(kernel, discovering("192.0.2.1")).operations == []
