# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import desired as desiring
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import plan as plans
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import normalise
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.reauth import Secret
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.sysfs import (
    Controller,
    Namespace,
    Nvme,
    Path,
    Subsystem,
)
from hypothesis import given
from hypothesis import strategies as st

HOST = "nqn.2026-11.org.example:h"
NQN = "nqn.2026-11.org.example:vol"
DEFAULTS = {"keep_alive_tmo": 5, "reconnect_delay": 10, "ctrl_loss_tmo": 600, "fast_io_fail_tmo": -1}


def connection(target: int = 1, volume: int = 0, **options: object) -> dict:
    base = {"transport": "mptcp", "traddr": f"192.0.2.{target}", "trsvcid": "4420", "subsysnqn": f"{NQN}{volume}"}
    return {**base, **options}


def controller(number: int, made_by: dict, **changed: object) -> Controller:
    volume = made_by["subsysnqn"][len(NQN) :]
    options = {key: made_by.get(key, value) for key, value in DEFAULTS.items()}
    loss, delay = options["ctrl_loss_tmo"], options["reconnect_delay"]
    options["ctrl_loss_tmo"] = -(-loss // delay) * delay if loss > 0 else loss
    return replace(
        Controller(
            name=f"nvme{number}",
            path=f"/sys/class/nvme/nvme{number}",
            transport=made_by["transport"],
            sysfs_transport=made_by["transport"],
            traddr=made_by["traddr"],
            trsvcid=made_by["trsvcid"],
            host_traddr="",
            host_iface="",
            src_addr="",
            subsysnqn=made_by["subsysnqn"],
            hostnqn=HOST,
            hostid="",
            state="live",
            cntrltype="io",
            cntlid=1,
            queue_count=2,
            options=options,
            paths=(Path(f"nvme{volume}n1", 1, "optimized"),),
        ),
        **changed,
    )


def kernel(*controllers: Controller, iopolicy: str = "numa") -> Nvme:
    nqns = sorted({one.subsysnqn for one in controllers})
    subsystems = [
        Subsystem(
            f"s{nqn}", f"/s/{nqn}", nqn, iopolicy, "", "", (Namespace(f"nvme{nqn[len(NQN) :]}n1", 1, "", "", "", 0),)
        )
        for nqn in nqns
    ]
    return Nvme(tuple(controllers), tuple(subsystems), True)


def planned(
    want: list[dict],
    nvme: Nvme,
    owned: list[str] | None = None,
    used: bool = False,
    previous: list[dict] | None = None,
    loaded: bool = True,
    **policies: object,
) -> plans.Plan:
    wanted = desiring.desired(want, HOST, "id", **policies)
    names = owned if owned is not None else list(plans.index(nvme, HOST))
    before = desiring.desired(previous if previous is not None else want, HOST, "id").connections
    return plans.plan(wanted, nvme, names, before, lambda device: ["mounted on /srv"] * used, lambda module: loaded)


def lines(found: plans.Plan) -> list[str]:
    return [operation.line() for operation in found.operations]


def test_connects_what_is_missing_and_loads_the_module_once() -> None:
    found = planned([connection(1), connection(2)], Nvme(), loaded=False)
    rest = f"trsvcid=4420,nqn={NQN}0,hostnqn={HOST},hostid=id > /dev/nvme-fabrics"
    assert lines(found) == [
        "modprobe nvme-tcp",
        f"printf %s transport=mptcp,traddr=192.0.2.1,{rest}",
        f"printf %s transport=mptcp,traddr=192.0.2.2,{rest}",
    ]


def test_nothing_to_do() -> None:
    assert planned([connection()], kernel(controller(0, connection()))) == plans.Plan()


def test_another_spelling_is_the_same_connection() -> None:
    made = connection(traddr="2001:db8::1")
    want = connection(traddr="2001:DB8:0:0:0:0:0:1")
    assert planned([want], kernel(controller(0, made))) == plans.Plan()


def test_a_leaving_controller_does_not_count() -> None:
    for state in ("deleting", "deleting (no IO)", "dead"):
        found = planned([connection()], kernel(controller(0, connection(), state=state)))
        assert [one.path for one in found.operations] == ["/dev/nvme-fabrics"]


def test_a_controller_that_the_kernel_reconnects_is_left_to_it() -> None:
    assert planned([connection()], kernel(controller(0, connection(), state="connecting"))) == plans.Plan()


def test_timeouts_change_in_place_and_the_loss_timeout_follows_the_delay() -> None:
    want = connection(reconnect_delay=2, fast_io_fail_tmo=30)
    found = planned([want], kernel(controller(0, connection())), used=True)
    assert lines(found) == [
        "printf %s 2 > /sys/class/nvme/nvme0/reconnect_delay",
        "printf %s 600 > /sys/class/nvme/nvme0/ctrl_loss_tmo",
        "printf %s 30 > /sys/class/nvme/nvme0/fast_io_fail_tmo",
    ]


def test_a_loss_timeout_between_two_delays_is_not_written_for_ever() -> None:
    want = connection(reconnect_delay=7, ctrl_loss_tmo=30)
    assert planned([want], kernel(controller(0, want))) == plans.Plan()


def test_keep_alive_takes_a_new_connection() -> None:
    found = planned([connection(keep_alive_tmo=10)], kernel(controller(0, connection())))
    assert [one.path for one in found.operations] == ["/sys/class/nvme/nvme0/delete_controller", "/dev/nvme-fabrics"]


def test_what_sysfs_does_not_show_is_compared_with_the_saved_description() -> None:
    nvme = kernel(controller(0, connection()))
    assert planned([connection(tos=8)], nvme, previous=[connection(tos=8)]) == plans.Plan()
    assert planned([connection(tos=8)], nvme, previous=[connection()]).disconnects
    assert planned([connection(tos=8)], nvme, previous=[]) == plans.Plan()


def test_the_last_path_of_a_used_namespace_stays() -> None:
    nvme = kernel(controller(0, connection()))
    for want in ([], [connection(keep_alive_tmo=10)]):
        found = planned(want, nvme, used=True)
        assert found.operations == []
        (refusal,) = found.refusals
        assert "the last live path: /dev/nvme0n1 is mounted on /srv" in refusal
        assert f"list {NQN}0 in allow_disruption" in refusal
        assert planned(want, nvme, used=True, allow_disruption=(f"{NQN}0",)).disconnects


def test_another_live_path_allows_a_disconnect() -> None:
    first, second = controller(0, connection(1)), controller(1, connection(2))
    assert planned([connection(2)], kernel(first, second), used=True).disconnects == [f"mptcp 192.0.2.1:4420 {NQN}0"]
    for bad in (replace(second, state="connecting"), replace(second, paths=(Path("nvme0n1", 1, "inaccessible"),))):
        assert planned([connection(2)], kernel(first, bad), used=True).refusals
    # Both going at once leaves none.
    assert len(planned([], kernel(first, second), used=True).refusals) == 2


def test_prune() -> None:
    nvme = kernel(controller(0, connection(1)), controller(1, connection(2), cntrltype="discovery"))
    mine = [f"mptcp 192.0.2.1:4420 {NQN}0"]
    assert planned([], nvme, owned=mine).disconnects == mine
    assert planned([], nvme, owned=[]).disconnects == []
    assert planned([], nvme, owned=[], prune="all").disconnects == mine
    assert planned([], nvme, owned=mine, prune="none").disconnects == []


def test_another_host_s_controllers_are_not_touched() -> None:
    nvme = kernel(controller(0, connection(1), hostnqn="nqn.2026-11.org.example:other"))
    assert planned([], nvme, owned=[f"mptcp 192.0.2.1:4420 {NQN}0"], prune="all") == plans.Plan()


def test_iopolicy_of_declared_subsystems_alone() -> None:
    nvme = kernel(controller(0, connection(1, 0)), controller(1, connection(1, 1)))
    found = planned([connection(1, 0)], nvme, iopolicy="queue-depth", prune="none")
    assert lines(found) == [f"printf %s queue-depth > /s/{NQN}0/iopolicy"]


def removal(*made: Controller, used: bool = True, want: list[dict] | None = None, **policies: object) -> plans.Plan:
    return planned(want or [], kernel(*made), used=used, **policies)


def test_two_that_are_the_last_paths_together_both_stay() -> None:
    found = removal(controller(0, connection(1)), controller(1, connection(2)))
    assert (found.disconnects, len(found.refusals)) == ([], 2)
    assert all("it is the last live path: /dev/nvme0n1 is mounted on /srv" in one for one in found.refusals)
    assert removal(controller(0, connection(1)), controller(1, connection(2)), used=False).refusals == []
    assert removal(controller(0, connection(1)), allow_disruption=(f"{NQN}0",)).disconnects


@pytest.mark.parametrize("state", ["inaccessible", "persistent-loss", "change"])
def test_a_path_that_takes_no_io_is_none(state: str) -> None:
    away = controller(1, connection(2), paths=(Path("nvme0n1", 1, state),))
    assert removal(controller(0, connection(1)), away, want=[connection(2)]).refusals
    taking = controller(1, connection(2), paths=(Path("nvme0n1", 1, "non-optimized"),))
    assert not removal(controller(0, connection(1)), taking, want=[connection(2)]).refusals


@pytest.mark.parametrize("state", ["connecting", "resetting", "deleting", "dead", "new"])
def test_a_controller_that_is_not_live_is_no_path(state: str) -> None:
    away = controller(1, connection(2), state=state)
    found = planned([connection(2)], kernel(controller(0, connection(1)), away), used=True)
    # One that is on its way out is connected again, and what it is to replace is judged after that.
    assert len(found.refusals) == (state not in ("deleting", "dead"))
    assert not any(one.path.endswith("/delete_controller") for one in found.operations)


def test_a_path_to_another_namespace_of_the_subsystem_is_none() -> None:
    both = (Path("nvme0n1", 1, "optimized"), Path("nvme0n2", 2, "optimized"))
    other = controller(1, connection(2), paths=both[:1])
    assert removal(controller(0, connection(1), paths=both), other, want=[connection(2)]).refusals


def test_without_native_multipath_every_controller_has_a_device_of_its_own() -> None:
    other = controller(1, connection(2), paths=(Path("nvme1n1", 1, ""),))
    first = controller(0, connection(1), paths=(Path("nvme0n1", 1, ""),))
    assert removal(first, other, want=[connection(2)]).refusals


def test_what_takes_new_connections_is_done_one_path_at_a_time() -> None:
    made = [connection(target, keep_alive_tmo=5) for target in (1, 2)]
    want = [connection(target, keep_alive_tmo=9) for target in (1, 2)]
    nvme = kernel(*(controller(number, one) for number, one in enumerate(made)))
    found = planned(want, nvme, used=True)
    assert (len(found.disconnects), len(found.operations), len(found.later), found.refusals) == (1, 2, 2, [])
    alone = planned(want[:1], kernel(controller(0, made[0])), used=True)
    assert (alone.disconnects, alone.later, len(alone.refusals)) == ([], [], 1)
    assert len(planned(want, nvme).disconnects) == 2


def test_nothing_is_pruned_while_a_connection_is_wrong() -> None:
    found = planned(
        [connection(2, tls=True)], kernel(controller(0, connection(1))), owned=[f"mptcp 192.0.2.1:4420 {NQN}0"]
    )
    assert found.operations == []


def test_a_host_of_its_own() -> None:
    own = connection(hostnqn=f"{HOST}2")
    (name,) = desiring.desired([own], HOST, "id").connections
    assert name.endswith(f"hostnqn={HOST}2")
    made = controller(0, connection(), hostnqn=f"{HOST}2")
    assert planned([own], kernel(made)) == plans.Plan()
    # Another host's controllers are pruned when they are ours, and by nothing else.
    assert planned([], kernel(made), owned=[name]).disconnects == [name]
    assert planned([], kernel(made), owned=[], prune="all").disconnects == []
    assert [*desiring.desired([connection(hostnqn=HOST)], HOST, "id").connections] == [f"mptcp 192.0.2.1:4420 {NQN}0"]
    twice = desiring.desired(
        [connection(hostnqn=f"{HOST}2", hostid="6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01")],
        HOST,
        "6e3bb9a4-1b1f-4b34-9a53-1a5b7b2f6c01",
    )
    assert "allows one identifier for a name" in twice.failed[0]


def test_secrets_are_compared_with_sysfs() -> None:
    first, second = nvme_tree.SECRET, generate()
    nvme = kernel(controller(0, connection()))

    def found(shown: str, exposed: bool, **wanted: str) -> plans.Plan:
        want = desiring.desired([connection(**wanted)], HOST, "id")
        has = {"dhchap_secret": Secret(shown, exposed), "dhchap_ctrl_secret": Secret("none", exposed)}
        return plans.plan(
            want, nvme, [], want.connections, lambda device: [], shown=lambda path: has[path.rpartition("/")[2]]
        )

    assert found(first, False, dhchap_secret=first).operations == []
    path = "/sys/class/nvme/nvme0/dhchap_secret"
    assert lines(found(first, True, dhchap_secret=first)) == [f"chmod 0600 {path}"]
    assert lines(found(first, True, dhchap_secret=second)) == [
        f"chmod 0600 {path}",
        f"printf %s '********' > {path}",
    ]
    assert found("none", True, dhchap_secret=first).disconnects
    assert found(first, False, dhchap_secret=first, dhchap_ctrl_secret=second).disconnects
    assert second not in repr(found(first, True, dhchap_secret=second))


def test_bad_input_is_told_all_at_once() -> None:
    found = desiring.desired([connection(tls=True), connection(1), connection(1), connection(traddr="-")], HOST, "id")
    assert len(found.failed) == 3
    assert "connections[0]" in found.failed[0]
    assert "a second time" in found.failed[1]
    assert list(found.connections) == [f"mptcp 192.0.2.1:4420 {NQN}0"]
    with pytest.raises(desiring.Invalid, match="starts with nqn"):
        desiring.desired([], "host1", "id")


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "keep_alive_tmo": st.integers(1, 9),
        "reconnect_delay": st.integers(1, 9),
        "ctrl_loss_tmo": st.one_of(st.just(-1), st.integers(60, 90)),
        "fast_io_fail_tmo": st.integers(-1, 50),
    },
)
CONNECTIONS = st.dictionaries(st.tuples(st.integers(1, 3), st.integers(0, 2)), OPTIONS, max_size=6).map(
    lambda found: [connection(*key, **options) for key, options in found.items()]
)


def run(nvme: Nvme, found: plans.Plan, want: plans.Desired) -> Nvme:
    """What the kernel makes of a plan."""
    controllers = {one.path: one for one in nvme.controllers}
    policies = {one.subsysnqn: one.iopolicy for one in nvme.subsystems}
    for operation in found.operations:
        folder, _, attribute = operation.path.rpartition("/")
        if operation.path == "/dev/nvme-fabrics":
            assert operation.about not in plans.index(Nvme(tuple(controllers.values())), HOST), "EALREADY"
            number = 1 + max((int(one.name[4:]) for one in controllers.values()), default=-1)
            made = controller(number, want.connections[operation.about])
            controllers[made.path] = made
            policies.setdefault(made.subsysnqn, "numa")
        elif attribute == "delete_controller":
            del controllers[folder]
        elif attribute == "iopolicy":
            policies[folder[len("/s/") :]] = operation.value
        else:
            options, value = dict(controllers[folder].options), int(operation.value)
            if attribute == "reconnect_delay" and options["ctrl_loss_tmo"] > 0:
                options["ctrl_loss_tmo"] = options["ctrl_loss_tmo"] // options["reconnect_delay"] * value
            if attribute == "ctrl_loss_tmo" and value > 0:
                value = -(-value // options["reconnect_delay"]) * options["reconnect_delay"]
            controllers[folder] = replace(controllers[folder], options={**options, attribute: value})
    after = kernel(*controllers.values())
    return replace(after, subsystems=tuple(replace(one, iopolicy=policies[one.subsysnqn]) for one in after.subsystems))


@given(CONNECTIONS, CONNECTIONS, st.sampled_from(desiring.PRUNE), st.sampled_from(["", "round-robin"]))
def test_a_plan_leads_to_what_was_declared_and_the_next_is_empty(
    before: list[dict], after: list[dict], prune: str, iopolicy: str
) -> None:
    nvme = kernel(*(controller(number, normalise(one)) for number, one in enumerate(before)))
    want = desiring.desired(after, HOST, "id", prune=prune, iopolicy=iopolicy)
    owned = list(plans.index(nvme, HOST))
    for _ in range(2):
        nvme = run(nvme, plans.plan(want, nvme, owned, {}, lambda device: []), want)
    assert plans.plan(want, nvme, owned, {}, lambda device: []) == plans.Plan()
    found = plans.index(nvme, HOST)
    assert set(want.connections) <= set(found)
    if prune != "none":
        assert set(found) == set(want.connections)
    for name, one in want.connections.items():
        options = found[name].options
        assert all(options[key] == one[key] for key in options if key in one and key != "ctrl_loss_tmo")
        loss, delay = one.get("ctrl_loss_tmo", -1), options["reconnect_delay"]
        assert loss < 0 or loss <= options["ctrl_loss_tmo"] < loss + delay


@given(CONNECTIONS, CONNECTIONS, st.sampled_from(desiring.PRUNE), st.sets(st.integers(0, 5)))
def test_no_used_namespace_loses_its_last_path(
    before: list[dict], after: list[dict], prune: str, away: set[int]
) -> None:
    made = [controller(number, normalise(one)) for number, one in enumerate(before)]
    made = [replace(one, state="connecting") if number in away else one for number, one in enumerate(made)]
    nvme = kernel(*made)
    found = planned(after, nvme, used=True, prune=prune)
    gone = {one.path.rpartition("/")[0] for one in found.operations if one.path.endswith("/delete_controller")}
    left = [one for one in nvme.controllers if one.path not in gone]
    for one in nvme.controllers:
        for path in one.paths:
            if one.path in gone:
                assert any(other.reaches(path.namespace) for other in left)
