# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Converging on an emulated kernel: what is promised of any two descriptions, and what a refusal leaves."""

from __future__ import annotations

import copy
import errno
import itertools
import json
import os
from pathlib import Path

import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state as _state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.operation import Operation, Refused
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet import configfs, converge
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.boot import Late, boot
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.configfs import gather
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.description import Invalid, parse
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.plan import plan
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._nvmet.tree import describe, is_builtin, render
from emulated_configfs import ROOT, EmulatedKernel
from hypothesis import HealthCheck, given, settings
from nvmet_descriptions import KEYS, SUBSYSTEMS, UUIDS, descriptions

VOL, HOST = "nqn.2026-11.org.example:vol0", "nqn.2026-11.org.example:host0"
PROPERTY = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=200
)


class AnyDevices:
    """Devices of which every path exists and is free, but for those named absent; a name without its folder moves."""

    def __init__(self, absent=()) -> None:
        self.absent = set(absent)
        # Path → another path of the same device, and path → bytes.
        self.same: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        # Controller → paths of its namespaces.
        self.behind: dict[str, list[str]] = {}

    def look(self) -> None:
        pass

    def exists(self, path: str) -> bool:
        return path not in self.absent

    def identity(self, path: str) -> tuple[int, str]:
        return (0, self.same.get(path, path))

    def controller_problem(self, path: str, known: bool = False) -> str | None:
        return self.problem(path)

    def controller_devices(self, path: str) -> set[tuple[int, str]]:
        return {self.identity(name) for name in self.behind.get(path, [])}

    def size(self, path: str) -> int | None:
        return None if path in self.absent else self.sizes.get(path, 2**30)

    def moves(self, path: str) -> str | None:
        return "can move; write another" if path.startswith("/dev/sd") else None

    def problem(self, path: str, known: bool = False) -> str | None:
        return "does not exist; correct it" if path in self.absent else self.moves(path)


def machine(folder: Path, kernel: EmulatedKernel | None = None, absent=()) -> converge.Machine:
    folder.mkdir(exist_ok=True)
    kernel, devices = kernel or EmulatedKernel(absent=absent), AnyDevices(absent)
    kernel.sizes = devices.sizes
    return converge.Machine(
        kernel=kernel,
        root=ROOT,
        devices=devices,
        config_dir=str(folder / "etc"),
        owned_dir=str(folder / "var"),
        locks=str(folder / "locks"),
    )


def simple(**port) -> dict:
    return {
        "subsystems": [
            {
                "nqn": VOL,
                "serial": "A1",
                "allowed_hosts": [HOST],
                "namespaces": [{"nsid": 1, "device_path": "/dev/disk/by-id/virtio-vol0"}],
            }
        ],
        "ports": [
            {
                "portid": 1,
                "trtype": "mptcp",
                "adrfam": "ipv4",
                "traddr": "10.10.255.1",
                "trsvcid": "4420",
                "subsystems": [VOL],
                **port,
            }
        ],
    }


def is_trial(operation: Operation) -> bool:
    """Whether it asks for a transport on a spare port; the descriptions use low numbers."""
    return operation.path.startswith(f"{ROOT}/ports/65535")


def touched(operations: list[Operation]) -> set[str]:
    """Objects and links that operations make, write, link or remove."""
    out = set()
    for operation in operations:
        path = operation.path[len(ROOT) + 1 :]
        out.add(path.rpartition("/")[0] if operation.verb in ("write", "chmod") else path)
    return out


def equal_in(first: dict, second: dict) -> set[str]:
    """Objects and links that must not be touched: equal in both, and for a link its port too."""
    one, two = parse(first), parse(second)
    same = {path for path in one.objects if path in two.objects and one.objects[path] == two.objects[path]}
    links = {link for link in one.links if link in two.links}
    return same | {link for link in links if not link.startswith("ports/") or "/".join(link.split("/")[:2]) in same}


@PROPERTY
@given(first=descriptions(), second=descriptions())
def test_any_description_follows_any_other(first: dict, second: dict, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    converge.converge(first, machine=on)
    before, inodes = len(on.kernel.performed), dict(on.kernel.inodes)
    forecast = converge.converge(second, check=True, machine=on)
    assert len(on.kernel.performed) == before, "check mode changes nothing"
    result = converge.converge(second, machine=on)
    done = [operation for operation in on.kernel.performed[before:] if not is_trial(operation)]
    assert forecast.plan == result.plan == done
    assert not touched(done) & equal_in(first, second)
    for path in equal_in(first, second) - {""}:
        assert on.kernel.inodes.get(path) == inodes.get(path)
    actual = gather(on.kernel, ROOT)
    assert set(result.after.links) == set(actual.links)
    assert set(result.after.objects) <= set(actual.objects)
    assert all(is_builtin(actual, path) for path in set(actual.objects) - set(result.after.objects))
    wanted = parse(second)
    assert set(wanted.links) == set(actual.links)
    assert set(wanted.objects) == set(actual.objects)
    for path, found in wanted.objects.items():
        assert found.attributes.items() <= actual.objects[path].attributes.items()
    again = converge.converge(second, machine=on)
    assert (again.changed, again.plan) == (False, [])
    # What is read back can be described: no two namespaces have one identity.
    parse(describe(actual))


@PROPERTY
@given(first=descriptions())
def test_what_is_read_is_what_can_be_asked_for(first: dict, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    converge.converge(first, machine=on)
    read = describe(gather(on.kernel, ROOT))
    assert KEYS[0] not in json.dumps(read)
    before = len(on.kernel.performed)
    converge.converge(read, machine=on)
    assert on.kernel.performed[before:] == []
    assert describe(parse(describe(parse(first)))) == describe(parse(first))


class Killed(BaseException):
    """The process ends here."""


def dying_after(count: int, perform):
    """The kernel's perform, for a process that is killed before its count-th operation, counted from 0."""
    left = itertools.count(count, -1)

    def dying(operation: Operation) -> None:
        if next(left) <= 0:
            raise Killed
        perform(operation)

    return dying


@PROPERTY
@given(first=descriptions(), second=descriptions())
def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(first: dict, second: dict, tmp_path_factory) -> None:
    on = machine(tmp_path_factory.mktemp("m"))
    converge.converge(first, machine=on)
    perform = on.kernel.perform
    on.kernel.perform = dying_after(len(converge.converge(second, check=True, machine=on).plan) // 2, perform)
    try:
        converge.converge(second, machine=on)
    except Killed:
        assert _state.load(COMPONENT, on.config_dir)["target"] == describe(parse(first))
    on.kernel.perform = perform
    converge.converge(second, machine=on)
    assert set(gather(on.kernel, ROOT).objects) == set(parse(second).objects)


@pytest.mark.parametrize("count", range(4))
def test_a_run_that_is_killed_while_it_asks_for_the_transport_leaves_nothing_behind(tmp_path: Path, count: int) -> None:
    on = machine(tmp_path)
    perform = on.kernel.perform
    on.kernel.perform = dying_after(count, perform)
    with pytest.raises(Killed):
        converge.converge(simple(), machine=on)
    on.kernel.perform = perform
    converge.converge(simple(), machine=on)
    assert set(gather(on.kernel, ROOT).objects) == set(parse(simple()).objects)


def test_a_virgin_machine_in_check_mode(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(loaded=False))
    result = converge.converge(simple(), check=True, machine=on)
    assert result.changed
    assert result.plan[0].argv[0] == "modprobe"
    assert render(result.before) == ""
    assert "trtype: mptcp" in render(result.after)
    assert list(tmp_path.iterdir()) == []
    converge.converge(simple(), machine=on)
    assert not converge.converge(simple(), machine=on).changed


def test_what_others_made_stays(tmp_path: Path) -> None:
    on = machine(tmp_path)
    theirs = "nqn.2026-11.org.example:theirs"
    for verb, path in (("mkdir", f"subsystems/{theirs}"), ("mkdir", f"subsystems/{theirs}/namespaces/7")):
        on.kernel.perform(Operation(verb, f"{ROOT}/{path}"))
    converge.converge(simple(), machine=on)
    on.kernel.perform(Operation("symlink", f"{ROOT}/ports/1/subsystems/{theirs}", f"{ROOT}/subsystems/{theirs}"))
    on.kernel.perform(Operation("mkdir", f"{ROOT}/subsystems/{VOL}/namespaces/9"))
    result = converge.converge({}, machine=on)
    found = gather(on.kernel, ROOT)
    assert result.kept == ["ports/1", f"subsystems/{VOL}"]
    assert f"subsystems/{theirs}/namespaces/7" in found.objects
    assert f"subsystems/{VOL}/namespaces/1" not in found.objects
    assert f"hosts/{HOST}" not in found.objects
    converge.converge({}, prune="none", machine=on)
    assert "ports/1" in gather(on.kernel, ROOT).objects
    converge.converge({}, prune="all", machine=on)
    assert set(gather(on.kernel, ROOT).objects) == {""}


def test_a_kernel_without_the_transport_is_left_as_it_was(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(transports=("tcp",)))
    with pytest.raises(Refused, match="nvme_kernel brings it") as caught:
        converge.converge(simple(), machine=on)
    assert "EINVAL" in str(caught.value)
    assert "port 1" in str(caught.value)
    assert caught.value.applied == []
    assert set(gather(on.kernel, ROOT).objects) == {""}
    assert _state.load(COMPONENT, on.config_dir) is None, "a refused description is not applied at the next boot"
    on.kernel.transports = ("tcp", "mptcp")
    converge.converge(simple(), machine=on)
    assert not converge.converge(simple(), machine=on).changed


def test_a_refused_operation_says_what_why_and_what_was_done(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(transports=("mptcp",)))
    with pytest.raises(Refused, match="does not load") as caught:
        converge.converge(simple(trtype="tcp"), machine=on)
    assert caught.value.applied == [operation for operation in on.kernel.performed if not is_trial(operation)] != []
    assert _state.load(COMPONENT, on.config_dir) is None, "a refused description is not applied at the next boot"
    on.kernel.transports = ("tcp", "mptcp")
    converge.converge(simple(trtype="tcp"), machine=on)
    assert not converge.converge(simple(trtype="tcp"), machine=on).changed


THEIRS = "nqn.2026-11.org.example:theirs"


def shared_port(folder: Path) -> converge.Machine:
    """Port 1 is ours and serves a subsystem of somebody else, too."""
    on = machine(folder)
    converge.converge(simple(), machine=on)
    on.kernel.perform(Operation("mkdir", f"{ROOT}/subsystems/{THEIRS}"))
    on.kernel.perform(Operation("symlink", f"{ROOT}/ports/1/subsystems/{THEIRS}", f"{ROOT}/subsystems/{THEIRS}"))
    return on


def owned(on: converge.Machine) -> set[str]:
    return set(_state.owned(COMPONENT, on.owned_dir))


def test_what_was_refused_before_it_was_made_is_not_ours(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(transports=("tcp",)))
    with pytest.raises(Refused):
        converge.converge(simple(), machine=on)
    assert owned(on) == set()
    on.kernel.transports = ("mptcp",)
    with pytest.raises(Refused, match="does not load"):
        converge.converge(simple(trtype="tcp"), machine=on)
    made = {path for path in on.kernel.objects if "passthru" not in path and "ana_groups" not in path}
    assert owned(on) | {""} == made | {link for link in on.kernel.links if "allowed_hosts" in link}
    converge.converge({}, machine=on)
    assert set(on.kernel.objects) == {""}


@pytest.mark.parametrize("following", [simple(trsvcid="4421"), simple(), simple(portid=2, traddr="10.0.0.2"), {}])
@pytest.mark.parametrize("count", range(4))
def test_a_link_of_others_comes_back_after_a_killed_run(tmp_path: Path, count: int, following: dict) -> None:
    on = shared_port(tmp_path)
    perform = on.kernel.perform
    on.kernel.perform = dying_after(count, perform)
    with pytest.raises(Killed):
        converge.converge(simple(trsvcid="4421"), machine=on)
    on.kernel.perform = perform
    before = len(on.kernel.performed)
    check = converge.converge(following, check=True, machine=on)
    assert len(on.kernel.performed) == before
    result = converge.converge(following, machine=on)
    assert check.plan == result.plan == on.kernel.performed[before:]
    assert on.kernel.links[f"ports/1/subsystems/{THEIRS}"] == f"subsystems/{THEIRS}"
    assert set(result.after.links) == set(on.kernel.links)
    assert not converge.converge(following, machine=on).changed
    assert f"ports/1/subsystems/{THEIRS}" not in owned(on)
    on.kernel.perform(Operation("unlink", f"{ROOT}/ports/1/subsystems/{THEIRS}"))
    converge.converge(following, machine=on)
    assert f"ports/1/subsystems/{THEIRS}" not in on.kernel.links, "what others remove later stays away"


def test_a_described_link_of_others_stays_theirs_after_a_killed_run(tmp_path: Path) -> None:
    on = shared_port(tmp_path)
    both = simple(trsvcid="4421", subsystems=[VOL, THEIRS])
    both["subsystems"].append({"nqn": THEIRS})
    perform = on.kernel.perform
    on.kernel.perform = dying_after(3, perform)
    with pytest.raises(Killed):
        converge.converge(both, machine=on)
    on.kernel.perform = perform
    converge.converge(both, machine=on)
    converge.converge(simple(), machine=on)
    assert f"ports/1/subsystems/{THEIRS}" in on.kernel.links


@pytest.mark.parametrize("address", ["10.9.9.9", "2001:db8::9"])
def test_a_new_address_that_this_machine_lacks_closes_nothing(tmp_path: Path, address: str) -> None:
    on = shared_port(tmp_path)
    on.kernel.elsewhere = {address}
    before, links, ours = len(on.kernel.performed), dict(on.kernel.links), owned(on)
    family = "ipv6" if ":" in address else "ipv4"
    with pytest.raises(Refused, match="EADDRNOTAVAIL: no interface of this machine has the address") as refused:
        converge.converge(simple(traddr=address, adrfam=family), machine=on)
    assert refused.value.applied == on.kernel.performed[before:] == []
    assert (on.kernel.links, owned(on)) == (links, ours)
    assert not converge.converge(simple(), machine=on).changed


def test_an_address_is_asked_of_the_kernel() -> None:
    configfs.Live().bind("127.0.0.1")
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        configfs.Live().bind("192.0.2.1")


def test_a_new_address_that_is_refused_while_the_port_is_closed_loses_no_link(tmp_path: Path) -> None:
    on = shared_port(tmp_path)
    opened = on.kernel.open_port

    def taken(port: str) -> None:
        if on.kernel.objects[port]["addr_trsvcid"] == "4421":
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        opened(port)

    on.kernel.open_port = taken
    with pytest.raises(Refused, match=f"EADDRINUSE.*this is gone: port 1 subsystems .*{THEIRS}"):
        converge.converge(simple(trsvcid="4421"), machine=on)
    with pytest.raises(Refused, match="EADDRINUSE"):
        converge.converge(simple(trsvcid="4421"), machine=on)
    converge.converge(simple(traddr="10.10.255.2"), machine=on)
    assert {f"ports/1/subsystems/{nqn}" for nqn in (VOL, THEIRS)} <= set(on.kernel.links)
    assert f"ports/1/subsystems/{THEIRS}" not in owned(on)


def exchanged() -> tuple[dict, dict]:
    """Two namespaces, and the two with each other's device and UUID."""
    first = with_second_namespace()
    one, two = first["subsystems"][0]["namespaces"]
    one["uuid"], two["uuid"] = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"
    second = copy.deepcopy(first)
    second["subsystems"][0]["namespaces"] = [{**two, "nsid": 1}, {**one, "nsid": 2}]
    return first, second


@pytest.mark.parametrize("count", range(1, 9))
def test_namespaces_of_others_stay_theirs_when_a_run_that_makes_them_anew_is_killed(tmp_path: Path, count: int) -> None:
    on = machine(tmp_path)
    first, second = exchanged()
    converge.converge(first, machine=on)
    (tmp_path / "var/target.owned.json").unlink()
    perform = on.kernel.perform
    on.kernel.perform = dying_after(count, perform)
    with pytest.raises(Killed):
        converge.converge(second, machine=on)
    on.kernel.perform = perform
    converge.converge(second, machine=on)
    converge.converge({}, machine=on)
    assert {f"subsystems/{VOL}/namespaces/{nsid}" for nsid in (1, 2)} <= set(on.kernel.objects)


def test_a_namespace_of_others_comes_back_also_when_nobody_describes_it_any_more(tmp_path: Path) -> None:
    on = machine(tmp_path)
    first, second = exchanged()
    converge.converge(first, machine=on)
    (tmp_path / "var/target.owned.json").unlink()
    perform = on.kernel.perform
    on.kernel.perform = dying_after(2, perform)
    with pytest.raises(Killed):
        converge.converge(second, machine=on)
    on.kernel.perform = perform
    paths = [f"subsystems/{VOL}/namespaces/{nsid}" for nsid in (1, 2)]
    assert not set(paths) & set(on.kernel.objects)
    third = copy.deepcopy(first)
    one, two = third["subsystems"][0].pop("namespaces")
    clash = copy.deepcopy(third)
    clash["subsystems"][0]["namespaces"] = [{**one, "nsid": 3}]
    before = len(on.kernel.performed)
    with pytest.raises(ValueError, match=r"namespace 3 now has its device_path .*; describe both"):
        converge.converge(clash, machine=on)
    assert len(on.kernel.performed) == before
    result = converge.converge(third, machine=on)
    assert result.after.objects[paths[0]].attributes["uuid"] == one["uuid"]
    for path, was in zip(paths, (one, two)):
        has = on.kernel.objects[path]
        assert (has["device_uuid"], has["device_path"], has["enable"]) == (was["uuid"], was["device_path"], "1")
    assert not converge.converge(third, machine=on).changed


def test_a_port_in_the_way_is_named_as_the_reason(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    second = machine(tmp_path / "elsewhere", on.kernel)
    with pytest.raises(Refused, match="EADDRINUSE"):
        converge.converge(simple(portid=2), machine=second)


def test_a_port_takes_over_the_address_of_one_that_goes(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    converge.converge(simple(portid=2), machine=on)
    assert [path for path in gather(on.kernel, ROOT).objects if path.startswith("ports/")] == [
        "ports/2", "ports/2/ana_groups/1"
    ]  # fmt: skip


def test_a_changed_port_is_closed_for_as_few_operations_as_possible(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    verbs = [operation.verb for operation in converge.converge(simple(trsvcid="4421"), machine=on).plan]
    assert verbs == ["unlink", "write", "symlink"]


@pytest.mark.parametrize(
    ("first", "second", "treq"),
    [
        ({"trtype": "tcp", "tsas": "tls1.3"}, {"trtype": "tcp"}, "not specified"),
        ({"trtype": "tcp", "tsas": "tls1.3"}, {"trtype": "mptcp"}, "not specified"),
        ({"trtype": "mptcp"}, {"trtype": "tcp", "tsas": "tls1.3"}, "required"),
        ({"trtype": "tcp"}, {"trtype": "tcp", "tsas": "tls1.3", "treq": "not required"}, "not required"),
    ],
)
def test_tls_comes_and_goes_in_one_run_with_one_closing_of_the_port(
    tmp_path: Path, first: dict, second: dict, treq: str
) -> None:
    on = machine(tmp_path)
    converge.converge(simple(**first), machine=on)
    verbs = [operation.verb for operation in converge.converge(simple(**second), machine=on).plan]
    assert (verbs[0], verbs[-1], set(verbs[1:-1])) == ("unlink", "symlink", {"write"})
    assert on.kernel.objects["ports/1"]["addr_treq"] == treq
    assert not converge.converge(simple(**second), machine=on).changed


def test_a_taken_over_identity_is_never_there_twice(tmp_path: Path) -> None:
    on = machine(tmp_path)
    first = simple()
    first["subsystems"][0]["namespaces"][0]["uuid"] = "00000000-0000-0000-0000-000000000001"
    second = copy.deepcopy(first)
    second["subsystems"][0]["namespaces"][0]["nsid"] = 2
    converge.converge(first, machine=on)
    verbs = [operation.verb for operation in converge.converge(second, machine=on).plan]
    assert verbs == ["rmdir", "mkdir", "write", "write", "write"]


def test_namespaces_that_exchange_their_identities_and_devices_never_share_one(tmp_path: Path) -> None:
    on = machine(tmp_path)
    first = simple()
    [subsystem] = first["subsystems"]
    [one] = subsystem["namespaces"]
    one.update(uuid="00000000-0000-0000-0000-000000000001")
    two = {"nsid": 2, "device_path": "/dev/disk/by-id/virtio-vol1", "uuid": "00000000-0000-0000-0000-000000000002"}
    subsystem["namespaces"].append(two)
    converge.converge(first, machine=on)
    second = copy.deepcopy(first)
    one, two = second["subsystems"][0]["namespaces"]
    one["uuid"], two["uuid"] = two["uuid"], one["uuid"]
    one["device_path"], two["device_path"] = two["device_path"], one["device_path"]
    verbs = [operation.verb for operation in converge.converge(second, machine=on).plan]
    assert verbs[:3] == ["rmdir", "rmdir", "mkdir"]
    found = gather(on.kernel, ROOT).objects[f"subsystems/{VOL}/namespaces/1"].attributes
    assert (found["uuid"], found["device_path"]) == (one["uuid"], one["device_path"])


#: What each of three subsystems passes through.
PASSING = list(itertools.permutations(["/dev/nvme0", "/dev/nvme1", "/dev/nvme2", None], 3))


def passing(controllers: tuple[str | None, ...]) -> dict:
    folders = [{"passthru": {"device_path": path}} if path else {} for path in controllers]
    return {"subsystems": [{"nqn": nqn, **found} for nqn, found in zip(SUBSYSTEMS, folders)]}


@pytest.mark.parametrize("after", PASSING)
def test_controllers_that_are_passed_through_move_and_change_places(
    tmp_path: Path, after: tuple[str | None, ...]
) -> None:
    for index, before in enumerate(PASSING):
        on = machine(tmp_path / str(index))
        converge.converge(passing(before), machine=on)
        result = converge.converge(passing(after), machine=on)
        folders = [f"subsystems/{nqn}/passthru" for nqn in SUBSYSTEMS]
        has = [on.kernel.objects[folder] for folder in folders]
        assert tuple(one["device_path"] if one["enable"] == "1" else None for one in has) == after
        stays = {folder for folder, old, new in zip(folders, before, after) if old == new}
        assert not touched(result.plan) & stays
        assert not converge.converge(passing(after), machine=on).changed


def test_a_namespace_that_is_made_anew_keeps_what_nobody_described() -> None:
    path = f"subsystems/{VOL}/namespaces"
    first, second = simple(), simple()
    for description, nsid in ((first, 1), (second, 2)):
        [one] = description["subsystems"][0]["namespaces"]
        description["subsystems"][0]["namespaces"] = [
            {**one, "nsid": nsid, "uuid": "00000000-0000-0000-0000-000000000001"},
            {"nsid": 3 - nsid, "device_path": "/dev/disk/by-id/virtio-vol1"},
        ]
    actual = parse(first)
    actual.objects[f"{path}/1"].attributes["p2pmem"] = "0000:01:00.0"
    lines = [one.line() for one in plan(parse(second), actual, [], "owned", ROOT).operations]
    assert f"printf %s 0000:01:00.0 > {ROOT}/{path}/1/p2pmem" in lines


def test_an_identity_that_nobody_gave_away_in_writing_is_taken_all_the_same(tmp_path: Path) -> None:
    on = machine(tmp_path)
    first = simple()
    [one] = first["subsystems"][0]["namespaces"]
    one["uuid"] = "00000000-0000-0000-0000-000000000001"
    converge.converge(first, machine=on)
    second = copy.deepcopy(first)
    second["subsystems"][0]["namespaces"][0].pop("uuid")
    second["subsystems"][0]["namespaces"].append(
        {"nsid": 2, "device_path": "/dev/disk/by-id/virtio-vol1", "uuid": one["uuid"]}
    )
    converge.converge(second, machine=on)
    parse(describe(gather(on.kernel, ROOT)))


def test_boot_serves_everything_but_what_is_late(tmp_path: Path) -> None:
    description = simple()
    late = "/dev/disk/by-id/virtio-late"
    description["subsystems"][0]["namespaces"].append({"nsid": 2, "device_path": late})
    converge.converge(description, machine=machine(tmp_path))
    rebooted = machine(tmp_path, absent=[late])
    saved = _state.load(COMPONENT, rebooted.config_dir)
    with pytest.raises(Late, match="virtio-late"):
        boot(saved, wait=0, machine=rebooted)
    files = rebooted.kernel.objects
    assert files[f"subsystems/{VOL}/namespaces/1"]["enable"] == "1"
    assert files[f"subsystems/{VOL}/namespaces/2"]["enable"] == "0"
    assert f"ports/1/subsystems/{VOL}" in rebooted.kernel.links
    rebooted.devices.absent.clear()
    rebooted.kernel.absent.clear()
    assert len(boot(saved, wait=0, machine=rebooted)) == 1
    assert files[f"subsystems/{VOL}/namespaces/2"]["enable"] == "1"
    assert _state.load(COMPONENT, rebooted.config_dir) == saved
    assert boot(saved, wait=0, machine=rebooted) == []


@pytest.mark.parametrize("prune", ["none", "owned"])
def test_boot_removes_what_the_saved_run_would_but_never_from_hosts(tmp_path: Path, prune: str) -> None:
    on, late = machine(tmp_path), "/dev/disk/by-id/virtio-late"
    converge.converge(with_second_namespace(), machine=on)
    description = simple()
    description["subsystems"][0]["namespaces"].append({"nsid": 3, "device_path": late})
    converge.converge(description, prune="none", machine=on)
    saved = {**_state.load(COMPONENT, on.config_dir), "prune": prune}
    files, second = on.kernel.objects, f"subsystems/{VOL}/namespaces/2"
    files[f"subsystems/{VOL}/namespaces/3"]["enable"] = "0"
    on.kernel.tables = [CONNECTED]
    assert len(boot(saved, wait=0, machine=on)) == 1
    assert files[f"subsystems/{VOL}/namespaces/3"]["enable"] == "1"
    assert files[second]["enable"] == "1"
    on.kernel.tables = []
    boot(saved, wait=0, machine=on)
    assert (second in files) == (prune == "none")


def test_a_target_that_was_set_up_by_names_that_move_is_taken_over_without_a_break(tmp_path: Path) -> None:
    on, stays = machine(tmp_path), "/dev/disk/by-id/virtio-vol0"
    on.devices.same = {"/dev/sdb": stays}
    theirs = simple()
    theirs["subsystems"][0]["namespaces"][0]["device_path"] = "/dev/sdb"
    on.devices.moves = lambda path: None
    converge.converge(theirs, persist=False, machine=on)
    del on.devices.moves
    with pytest.raises(Invalid, match="'/dev/sdb' can move; write another"):
        converge.converge(theirs, machine=on)
    result = converge.converge(simple(), machine=on)
    assert result.plan == []
    assert _state.load(COMPONENT, on.config_dir)["target"]["subsystems"][0]["namespaces"][0]["device_path"] == stays
    assert not converge.converge(simple(), machine=on).changed
    on.devices.same = {}
    assert [step.verb for step in converge.converge(simple(), machine=on).plan] == ["write"] * 3, "another device"


def test_a_missing_device_is_refused_before_anything_changes(tmp_path: Path) -> None:
    on = machine(tmp_path, absent=["/dev/disk/by-id/virtio-vol0"])
    with pytest.raises(Invalid, match="virtio-vol0"):
        converge.converge(simple(), machine=on)
    assert on.kernel.performed == []


def test_one_device_is_not_served_twice(tmp_path: Path) -> None:
    description = simple()
    description["subsystems"].append(
        {"nqn": SUBSYSTEMS[1], "namespaces": [{"nsid": 3, "device_path": "/dev/disk/by-id/virtio-vol0"}]}
    )
    with pytest.raises(Invalid, match="is also the device of subsystem"):
        converge.converge(description, machine=machine(tmp_path))


def elsewhere(**namespace) -> dict:
    """simple()'s namespace under another subsystem."""
    description = simple()
    [subsystem] = description["subsystems"]
    subsystem.update(nqn=SUBSYSTEMS[1])
    subsystem["namespaces"][0].update(namespace)
    description["ports"] = []
    return description


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        ({}, "device_path '/dev/disk/by-id/virtio-vol0'"),
        ({"device_path": "/dev/disk/by-id/alias"}, "device_path '/dev/disk/by-id/alias'"),
        ({"device_path": "/dev/disk/by-id/other", "uuid": UUIDS[0]}, f"uuid '{UUIDS[0]}'"),
        ({"device_path": "/dev/disk/by-id/other", "nguid": UUIDS[1]}, f"nguid '{UUIDS[1]}'"),
    ],
)
def test_what_stays_enabled_without_being_described_shares_nothing(tmp_path: Path, namespace: dict, words: str) -> None:
    on, first = machine(tmp_path), simple()
    first["subsystems"][0]["namespaces"][0].update(uuid=UUIDS[0], nguid=UUIDS[1])
    converge.converge(first, machine=on)
    on.devices.same = {"/dev/disk/by-id/alias": "/dev/disk/by-id/virtio-vol0"}
    before = len(on.kernel.performed)
    other = (
        f"is also that of subsystem {VOL} namespace 1, which is not described and stays; remove that, or describe it"
    )
    for check in (True, False):
        with pytest.raises(Invalid, match=f"subsystem {SUBSYSTEMS[1]} namespace 1: {words} {other}"):
            converge.converge(elsewhere(**namespace), prune="none", check=check, machine=on)
    assert len(on.kernel.performed) == before
    # What is disabled opens nothing.
    on.kernel.objects[f"subsystems/{VOL}/namespaces/1"]["enable"] = "0"
    converge.converge(elsewhere(**namespace), prune="none", machine=on)


def test_a_controller_is_not_passed_through_while_what_stays_serves_its_namespace(tmp_path: Path) -> None:
    on = machine(tmp_path)
    on.devices.behind = {"/dev/nvme0": ["/dev/disk/by-id/virtio-vol0"]}
    through = {"subsystems": [{"nqn": SUBSYSTEMS[1], "passthru": {"device_path": "/dev/nvme0"}}]}
    converge.converge(simple(), machine=on)
    with pytest.raises(Invalid, match=f"passthru: device_path '/dev/nvme0' is also that of subsystem {VOL}"):
        converge.converge(through, prune="none", machine=on)
    converge.converge(through, machine=on)
    with pytest.raises(Invalid, match=rf"is also that of subsystem {SUBSYSTEMS[1]} passthru, which is not described"):
        converge.converge(simple(), prune="none", machine=on)


def test_a_device_by_another_name_is_closed_where_it_goes_before_it_is_opened_anew(tmp_path: Path) -> None:
    on = machine(tmp_path)
    on.devices.same = {"/dev/disk/by-id/alias": "/dev/disk/by-id/virtio-vol0"}
    converge.converge(simple(), machine=on)
    steps = converge.converge(elsewhere(device_path="/dev/disk/by-id/alias"), machine=on).plan
    lines = [step.line().replace(f"{ROOT}/subsystems/", "") for step in steps]
    assert lines.index(f"rmdir {VOL}/namespaces/1") < lines.index(f"mkdir {SUBSYSTEMS[1]}/namespaces/1")


def test_namespaces_that_exchange_devices_by_other_names_are_made_anew(tmp_path: Path) -> None:
    on, first = machine(tmp_path), with_second_namespace()
    on.devices.same = {f"/dev/disk/by-id/alias{number}": f"/dev/disk/by-id/virtio-vol{number}" for number in (0, 1)}
    converge.converge(first, machine=on)
    second = copy.deepcopy(first)
    one, two = second["subsystems"][0]["namespaces"]
    one["device_path"], two["device_path"] = "/dev/disk/by-id/alias1", "/dev/disk/by-id/alias0"
    verbs = [step.verb for step in converge.converge(second, machine=on).plan]
    assert verbs[:3] == ["rmdir", "rmdir", "mkdir"]
    assert not converge.converge(second, machine=on).changed


def test_a_disabled_namespace_takes_nobody_s_device(tmp_path: Path) -> None:
    on, description = machine(tmp_path), with_second_namespace()
    one, two = description["subsystems"][0]["namespaces"]
    two.update(device_path=one["device_path"], enable=False)
    converge.converge(description, machine=on)
    assert not converge.converge(description, machine=on).changed


@pytest.mark.parametrize("order", [1, -1])
def test_a_namespace_of_a_controller_that_is_passed_through_is_not_served_as_well(tmp_path: Path, order: int) -> None:
    on, description = machine(tmp_path), simple()
    on.devices.behind = {"/dev/nvme0": ["/dev/nvme0n1"]}
    on.devices.same = {"/dev/disk/by-id/virtio-vol0": "/dev/nvme0n1"}
    description["subsystems"].append({"nqn": SUBSYSTEMS[1], "passthru": {"device_path": "/dev/nvme0"}})
    description["subsystems"] = description["subsystems"][::order]
    with pytest.raises(Invalid, match=r"is also reached through subsystem .*; name another"):
        converge.converge(description, machine=on)
    assert on.kernel.performed == []


def test_attributes_that_a_kernel_lacks_matter_only_when_written(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(lacks=("resv_enable", "passthru")))
    converge.converge(simple(), machine=on)
    assert not converge.converge(simple(), machine=on).changed
    description = simple()
    description["subsystems"][0]["namespaces"][0]["resv_enable"] = True
    with pytest.raises(Invalid, match="namespace 1: this kernel's nvmet has no attribute resv_enable"):
        converge.converge(description, machine=on)
    with pytest.raises(Refused, match="has no such attribute"):
        converge.converge(description, machine=machine(tmp_path / "new", EmulatedKernel(lacks=("resv_enable",))))


# As /proc/net/tcp has it: 10.10.255.1:4420 ← 10.10.0.101:40000, established, and a listener.
CONNECTED = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 01FF0A0A:1144 00000000:0000 0A 00000000:00000000
   1: 01FF0A0A:1144 65000A0A:9C40 01 00000000:00000000
"""


def with_second_namespace() -> dict:
    description = simple()
    description["subsystems"][0]["namespaces"].append({"nsid": 2, "device_path": "/dev/disk/by-id/virtio-vol1"})
    return description


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({}, f"subsystem {VOL} is in use by 10.10.0.101 and this drops every controller on port 1 and takes away"),
        (simple(), "takes away namespace 2"),
        (simple(trsvcid="4421"), "drops every controller on port 1"),
        ({**simple(), "subsystems": [{**with_second_namespace()["subsystems"][0], "qid_max": 4}]}, "drops every"),
    ],
)
def test_hosts_that_are_connected_are_not_disturbed_unless_allowed(tmp_path: Path, second: dict, words: str) -> None:
    on = machine(tmp_path)
    converge.converge(with_second_namespace(), machine=on)
    on.kernel.tables = [CONNECTED]
    before = len(on.kernel.performed)
    with pytest.raises(converge.Disruptive, match=words):
        converge.converge(second, machine=on)
    assert len(on.kernel.performed) == before
    assert converge.converge(second, check=True, machine=on).disconnects[0].hosts == ["10.10.0.101"]
    assert converge.converge(second, machine=on, allow_disruption=[VOL]).changed


def grouped(grpid: int = 1, **states: str) -> dict:
    """with_second_namespace(), its second namespace in a group, and the groups of its port: g2="optimized"."""
    groups = [{"grpid": int(name[1:]), "ana_state": state} for name, state in states.items()]
    description = {**with_second_namespace(), "ports": simple(ana_groups=groups)["ports"]}
    description["subsystems"][0]["namespaces"][1]["ana_grpid"] = grpid
    return description


BOTH = grouped(2, g1="optimized", g2="non-optimized")


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        (BOTH, grouped(2, g1="inaccessible", g2="optimized"), ["1"]),
        (BOTH, grouped(2, g1="persistent-loss", g2="optimized"), ["1"]),
        (BOTH, grouped(2, g1="change", g2="optimized"), ["1"]),
        (BOTH, grouped(2, g1="inaccessible", g2="inaccessible"), ["1", "2"]),
        (BOTH, grouped(3, g2="optimized", g3="inaccessible"), ["2"]),
        # A group that goes takes its state along.
        (grouped(2, g2="optimized"), grouped(1, g1="inaccessible"), ["1", "2"]),
        (BOTH, grouped(2, g1="non-optimized", g2="optimized"), []),
        (BOTH, grouped(1), []),
        (BOTH, grouped(3, g3="optimized"), []),
        (grouped(2, g2="inaccessible"), grouped(2, g2="persistent-loss"), []),
        (grouped(2, g2="inaccessible"), BOTH, []),
    ],
)
def test_a_namespace_in_use_keeps_an_accessible_state_unless_allowed(
    tmp_path: Path, first: dict, second: dict, lost: list
) -> None:
    on = machine(tmp_path)
    converge.converge(first, machine=on)
    on.kernel.tables = [CONNECTED]
    before = len(on.kernel.performed)
    if lost:
        words = f"{VOL} is in use by 10.10.0.101 and this makes namespace {', '.join(lost)} inaccessible on port 1"
        with pytest.raises(converge.Disruptive, match=words):
            converge.converge(second, machine=on)
        assert len(on.kernel.performed) == before
    found = converge.converge(second, check=True, machine=on).disconnects
    assert [one.inaccessible for one in found] == ([{"1": lost}] if lost else [])
    assert converge.converge(second, machine=on, allow_disruption=[VOL] if lost else []).changed


def test_a_group_of_a_port_that_nobody_uses_may_become_inaccessible(tmp_path: Path) -> None:
    on = machine(tmp_path)
    second_port = {**simple()["ports"][0], "portid": 2, "traddr": "10.10.255.2", "trtype": "tcp"}
    first = {**simple(), "ports": [*simple(trtype="tcp")["ports"], second_port]}
    converge.converge(first, machine=on)
    on.kernel.tables = [CONNECTED]
    away = {**second_port, "ana_groups": [{"grpid": 1, "ana_state": "inaccessible"}]}
    assert converge.converge({**first, "ports": [first["ports"][0], away]}, machine=on).disconnects == []


def test_a_subflow_that_joined_on_another_address_uses_an_mptcp_port(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(with_second_namespace(), machine=on)
    on.kernel.tables = [CONNECTED.replace("01FF0A0A", "02FF0A0A")]
    with pytest.raises(converge.Disruptive, match=r"in use by 10\.10\.0\.101 and this takes away namespace 2"):
        converge.converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED.replace("01FF0A0A:1144", "02FF0A0A:1145")]
    assert converge.converge(simple(trtype="tcp"), machine=on).disconnects == []
    on.kernel.tables = [CONNECTED.replace("01FF0A0A", "02FF0A0A")]
    assert converge.converge({}, machine=on).disconnects == [], "a connection of tcp has one address"


def test_an_mptcp_connection_uses_the_port_that_it_began_on(tmp_path: Path) -> None:
    """Whatever became of its first subflow, and wherever others joined."""
    on = machine(tmp_path)
    second_port = {**simple()["ports"][0], "portid": 2, "traddr": "10.10.255.2"}
    both = {**simple(), "ports": [*simple()["ports"], second_port]}
    converge.converge(both, machine=on)
    on.kernel.tables, on.kernel.begun = [CONNECTED], [("10.10.255.2", 4420, "10.10.0.102")]
    with pytest.raises(
        converge.Disruptive, match=r"in use by 10\.10\.0\.102 and this drops every controller on port 2"
    ):
        converge.converge(simple(), machine=on)
    on.kernel.tables, on.kernel.begun = (
        [CONNECTED.replace("01FF0A0A", "02FF0A0A")],
        [("10.10.255.1", 4420, "10.10.0.102")],
    )
    with pytest.raises(
        converge.Disruptive, match=r"in use by 10\.10\.0\.102 and this drops every controller on port 1"
    ):
        converge.converge({**both, "ports": [second_port]}, machine=on)


def test_what_disturbs_nobody_needs_no_leave(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(simple(), machine=on)
    on.kernel.tables = [CONNECTED]
    assert converge.converge(with_second_namespace(), machine=on).disconnects == []
    on.kernel.tables = []
    assert converge.converge({}, machine=on).disconnects == []


def test_a_transport_that_does_not_tell_counts_as_in_use(tmp_path: Path) -> None:
    on = machine(tmp_path, EmulatedKernel(transports=("rdma", "loop")))
    converge.converge(simple(trtype="rdma"), machine=on)
    with pytest.raises(converge.Disruptive, match="in use by unknown"):
        converge.converge({}, machine=on)
    converge.converge(simple(trtype="loop"), machine=on, allow_disruption=[VOL])
    on.kernel.looped = {VOL}
    with pytest.raises(converge.Disruptive, match="in use by this machine"):
        converge.converge({}, machine=on)
    on.kernel.looped = set()
    converge.converge({}, machine=on)


def test_a_kernel_that_tells_its_controllers_is_asked_for_them(tmp_path: Path) -> None:
    on = machine(tmp_path)
    converge.converge(with_second_namespace(), machine=on)
    # Somebody is connected to the port, but not to this subsystem.
    on.kernel.tables, on.kernel.told = [CONNECTED], [("nqn.2014-08.org.nvmexpress.discovery", "1", HOST)]
    assert converge.converge(simple(), machine=on).disconnects == []
    converge.converge(with_second_namespace(), machine=on)
    on.kernel.told.append((VOL, "1", HOST))
    with pytest.raises(converge.Disruptive, match=f"in use by {HOST} and this takes away namespace 2"):
        converge.converge(simple(), machine=on)


def test_controllers_are_read_from_debugfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configfs, "DEBUGFS", str(tmp_path / "nvmet"))
    assert configfs.Live().controllers() is None
    folder = tmp_path / "nvmet" / VOL / "ctrl3"
    folder.mkdir(parents=True)
    (folder.parent / "ctrl4").mkdir()
    (folder / "port").write_text("1\n")
    (folder / "hostnqn").write_text(f"{HOST}\n")
    assert configfs.Live().controllers() == [(VOL, "1", HOST)]


def test_a_write_that_the_kernel_takes_without_effect_is_an_error(tmp_path: Path) -> None:
    on = machine(tmp_path)
    perform = on.kernel.perform

    def deaf(operation: Operation) -> None:
        if not operation.path.endswith("/namespaces/1/enable"):
            perform(operation)

    on.kernel.perform = deaf
    with pytest.raises(converge.NotConverged, match=r"1 operation.s. had no effect, .* namespace 1: `printf %s 1 > "):
        converge.converge(simple(), machine=on)
    assert _state.load(COMPONENT, on.config_dir) is None
    on.kernel.perform = perform
    assert [one.line()[:11] for one in converge.converge(simple(), machine=on).plan] == ["printf %s 1"]
