# Copyright (c) 2026 the nvmeof.mptcp authors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service of a host: from boot on, by events, with a back-off, and silent while nothing happens."""

from __future__ import annotations

import collections
import errno
import json
import os
import re
import shutil
import time
import types
from typing import Callable

import nvme_tree
import pytest
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core import state
from ansible_collections.nvmeof.mptcp.plugins.module_utils._core.dhchap import generate
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import boot, debounce, patience, saved
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host import converge as converging
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.options import DISCOVERY_NQN
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.round import NAMED
from ansible_collections.nvmeof.mptcp.plugins.module_utils._host.saved import COMPONENT
from ansible_collections.nvmeof.mptcp.plugins.module_utils._linux.uevents import LOST
from ansible_collections.nvmeof.mptcp.plugins.module_utils._node import main
from emulated_fabrics import (
    CONNECTION,
    CONVERGE,
    Kernel,
    description,
    discovering,
    entry,
    referral,
    run,
)

Step = Callable[[], list]


class Service:
    """Runs the service against the emulated kernel; each wait for an event takes the next step, the last ends it."""

    def __init__(self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kernel, self.steps, self.said, self.waits, self.readies = kernel, [], [], [], 0
        self.stopping, self.quiet = False, 100.0
        service = self

        class Events:
            def wait(self, timeout: float | None) -> list:
                service.waits.append(timeout)
                # Nothing here is a storm of events unless a test says so.
                kernel.now += service.quiet
                if not service.steps:
                    raise KeyboardInterrupt
                return service.steps.pop(0)() or []

        def ready() -> None:
            self.readies += 1

        def converge(described, timeout, **more):
            return CONVERGE(described, False, timeout, kernel.connector, **more)

        monkeypatch.setattr(boot, "Uevents", Events)
        monkeypatch.setattr(boot, "ready", ready)
        monkeypatch.setattr(boot, "Debounce", lambda: debounce.Debounce(lambda: kernel.now))
        monkeypatch.setattr(boot, "Patience", lambda: patience.Patience(lambda: kernel.now))
        monkeypatch.setattr(boot, "time", types.SimpleNamespace(sleep=self.sleep))
        monkeypatch.setattr(boot, "converge", converge)
        monkeypatch.setattr(boot, "is_shutting_down", lambda: self.stopping)

    def sleep(self, seconds: float) -> None:
        self.kernel.now += seconds

    def run(self, *steps: Step) -> list[str]:
        self.steps, self.said = list(steps), []
        with pytest.raises(KeyboardInterrupt):
            collections.deque(map(self.said.append, boot.boot(state.load(COMPONENT))))
        return self.said


@pytest.fixture
def service(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(kernel, monkeypatch)


def nothing() -> list:
    return []


def names() -> list[str]:
    return sorted(one.subsysnqn for one in converging.look().controllers)


def test_boot_goes_on_until_every_connection_is_made(service: Service) -> None:
    kernel = service.kernel
    run(kernel, description(CONNECTION, {**CONNECTION, "traddr": "192.0.2.2"}))
    shutil.rmtree(kernel.root / "sys")
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT

    def comes_back() -> list:
        assert service.readies == 0
        kernel.refuse.clear()
        return []

    def is_removed() -> list:
        assert (service.readies, len(converging.look().controllers)) == (1, 2)
        shutil.rmtree(kernel.root / "sys/class/nvme/nvme1")
        return ["nvme1 was removed"]

    told = service.run(*[nothing] * 5, comes_back, is_removed)
    assert service.waits == [2.0, 3.0, 4.5, 6.75, 10.0, 10.0, None, None]
    assert sum(line.startswith("waiting: mptcp 192.0.2.2:4420") for line in told) == 1
    assert told.count("2 connection(s) as described") == 2
    assert told.count("nvme1 was removed") == 1


def test_a_changed_log_is_followed_at_once_and_an_unchanged_one_is_not_mentioned(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1", discovery_interval=300))

    def changes() -> list:
        kernel.logs["192.0.2.1"] = [entry(), entry("nqn.2026-11.org.example:vol9")]
        return ["nvme0 says that its discovery log has changed"]

    told = service.run(changes, nothing, nothing)
    assert "nqn.2026-11.org.example:vol9" in names()
    assert service.waits == [300, 300, 300, 300]
    assert told[0] == "2 connection(s) as described"
    assert told[1] == "nvme0 says that its discovery log has changed"
    assert told[2].startswith(
        "printf %s transport=mptcp,traddr=192.0.2.1,trsvcid=4420,nqn=nqn.2026-11.org.example:vol9"
    )
    assert told[3:] == ["3 connection(s) as described"]


def test_a_log_that_changes_after_each_reading_is_read_a_few_times_and_holds_up_nothing_else(service: Service) -> None:
    kernel, begins = service.kernel, []
    run(kernel, discovering("192.0.2.1"))
    names_of = kernel.discovery_log
    service.quiet = 0.0

    def reading(controller, budget) -> list:
        begins.append(kernel.now)
        kernel.now += 0.005
        kernel.logs["192.0.2.1"] = [entry(f"nqn.2026-11.org.example:vol{len(begins) % 2}")]
        return names_of(controller, budget)

    def churns() -> list:
        return ["nvme0 says that its discovery log has changed"]

    kernel.discovery_log = reading
    service.run(*[churns] * 60)
    begins = [one - begins[0] for one in begins]
    assert len([one for one in begins if one < 15.0]) <= 8
    # It goes on being followed.
    assert len([one for one in begins if 100.0 <= one < 200.0]) >= 9


def test_what_has_gone_is_told_once(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1"))

    def goes() -> list:
        kernel.logs["192.0.2.1"] = []
        return ["nvme0 says that its discovery log has changed"]

    told = service.run(goes, lambda: [LOST], nothing)
    gone = [line for line in told if "is in no discovery log any more" in line]
    assert gone == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN} is in no discovery log any more: kept"]


def test_what_is_to_go_goes_soon_after_its_last_user(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = [entry()]
    run(kernel, discovering("192.0.2.1", gone="disconnect", discovery_interval=0))
    kernel.used["nvme1n1"] = ["mounted on /data"]

    def goes() -> list:
        kernel.logs["192.0.2.1"] = []
        return ["nvme0 says that its discovery log has changed"]

    told = service.run(goes, nothing, kernel.used.clear)
    assert service.waits == [None, 2.0, 3.0, None]
    assert nvme_tree.NQN not in names()
    assert sum("kept as long as it is used: /dev/nvme1n1 is mounted on /data" in line for line in told) == 1
    assert sum(line.endswith("any more: disconnected") for line in told) == 1


def test_a_log_that_cannot_be_read_is_tried_again_soon(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1", discovery_interval=0))
    kernel.logs["192.0.2.1"] = OSError(errno.EIO, "status 0x4002")

    def answers() -> list:
        kernel.logs["192.0.2.1"] = [entry()]
        return []

    service.run(nothing, answers)
    assert service.waits == [2.0, 3.0, None]
    assert nvme_tree.NQN in names()


def test_what_was_refused_is_told_once_while_connects_take_their_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1"))
    flood = [entry(f"{nvme_tree.NQN}-{number}", "192.0.2.2") for number in range(4)]
    kernel.logs["192.0.2.1"] = [*flood, entry(address="127.0.0.1")]
    kernel.refuse["192.0.2.2"] = errno.EIO
    connect = kernel.connect

    def slowly(options: str) -> str:
        kernel.now += 2.0
        return connect(options)

    monkeypatch.setattr(kernel, "connect", slowly)
    asked = len(kernel.asked)
    said = service.run(nothing, nothing)
    # Each of the three rounds ended with the first connect in vain.
    assert len(kernel.asked) == asked + 3
    assert [line[:13] for line in said] == ["not connected"]


def test_a_pass_in_several_rounds_has_one_budget(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1", discovery_limits={"connections": 3}))
    kernel.logs["192.0.2.1"] = [entry(f"{nvme_tree.NQN}-{number}", "192.0.2.2") for number in range(10)]
    kernel.refuse["192.0.2.2"] = errno.EIO
    connect = kernel.connect

    def slowly(options: str) -> str:
        kernel.now += 2.0
        return connect(options)

    monkeypatch.setattr(kernel, "connect", slowly)
    kernel.asked.clear()
    service.run(nothing, nothing, nothing)
    # Three rounds ask three, and the next pass goes on with others.
    assert service.waits == [0.0, 0.0, 2.0, 0.0]
    assert [one.partition(f"nqn={nvme_tree.NQN}-")[2][0] for one in kernel.asked] == ["0", "1", "2", "3"]
    # Whose turn it is makes no other line.
    assert len([line for line in service.said if line.startswith("not connected")]) == 1


def test_one_failing_address_does_not_hold_up_what_another_names(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = []
    run(kernel, discovering("192.0.2.1", "192.0.2.2"))
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    for folder in (kernel.root / "sys/class/nvme").iterdir():
        if "192.0.2.2" in (folder / "address").read_text():
            shutil.rmtree(folder)

    def changes() -> list:
        kernel.logs["192.0.2.1"] = [entry()]
        kernel.asked.clear()
        return ["nvme0 says that its discovery log has changed"]

    service.run(changes)
    assert [("192.0.2.2" in asked) for asked in kernel.asked] == [False, True], "the dead address comes last"
    assert nvme_tree.NQN in names()


def test_nothing_comes_back_while_the_machine_shuts_down(service: Service) -> None:
    kernel = service.kernel
    run(kernel, description())

    def is_given_up() -> list:
        service.stopping = True
        shutil.rmtree(kernel.root / "sys/class/nvme/nvme0")
        return ["nvme0 was removed"]

    told = service.run(is_given_up, lambda: ["nvme1 was removed"])
    assert names() == []
    assert told[-1] == "the machine is shutting down: nothing is connected any more"


def test_the_boot_waits_for_a_dead_target_no_longer_than_it_says(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = service.kernel
    run(kernel, description())
    shutil.rmtree(kernel.root / "sys")
    kernel.refuse["192.0.2.1"] = errno.ETIMEDOUT
    monkeypatch.setattr(boot, "BOOT_WAIT", 0.0)

    def waits() -> list:
        for _ in range(1000):
            if service.readies:
                break
            time.sleep(0.01)
        return []

    service.run(waits)
    assert service.readies == 1


DAMAGES = {
    "{": "is not valid JSON",
    "[]": "does not hold what this release writes",
    "{}": "does not hold what this release writes",
    json.dumps({"connections": "x", "hostnqn": nvme_tree.HOSTNQN}): "does not hold what this release writes",
    json.dumps({"connections": [], "hostnqn": nvme_tree.HOSTNQN, "hostid": "x"}): "hostid is 'x'; it must be a UUID",
    json.dumps({"connections": [], "hostnqn": "x"}): "hostnqn",
    json.dumps({"connections": [], "hostnqn": ""}): "hostnqn is not set",
}


@pytest.mark.parametrize(("content", "why"), DAMAGES.items())
def test_what_no_start_heals_ends_the_service_once_with_one_line(
    service: Service, capsys: pytest.CaptureFixture[str], content: str, why: str
) -> None:
    path = service.kernel.root / "etc/host.json"
    path.parent.mkdir()
    path.write_text(content)
    assert main.main(["converge", "host"]) == os.EX_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert why in line
    assert "run the playbook hosts.yml again" in line


@pytest.mark.parametrize(("content", "why"), list(DAMAGES.items())[:-1])
def test_what_is_damaged_while_the_service_runs_is_told_once_and_followed_when_it_is_whole(
    service: Service, content: str, why: str
) -> None:
    kernel = service.kernel
    run(kernel, description())
    path = kernel.root / "etc/host.json"
    whole = path.read_text()

    def damaged() -> list:
        path.write_text(content)
        shutil.rmtree(kernel.root / "sys/class/nvme/nvme0")
        return ["nvme0 was removed"]

    def mended() -> list:
        assert names() == []
        path.write_text(whole)
        return []

    told = service.run(damaged, nothing, mended, nothing)
    (line,) = [line for line in told if line.startswith("waiting")]
    assert why in line
    assert told[-1] == "1 connection(s) as described"
    assert service.waits == [None, 2.0, 3.0, None, None]


def test_what_another_start_can_heal_has_another_status(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    run(service.kernel, description())

    def fails(*_given: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(boot, "converge", fails)
    assert main.main(["converge", "host"]) == 1


def test_a_controller_of_another_identity_is_waited_for_until_it_goes(service: Service) -> None:
    kernel = service.kernel
    run(kernel, description())
    (identifier,) = (kernel.root / "sys/class/nvme").glob("*/hostid")
    identifier.write_text("0d0c9a5e-7c0e-4d4c-8f38-2f2a3a3f1a11\n")

    def goes() -> list:
        shutil.rmtree(identifier.parent)
        return ["nvme0 was removed"]

    told = service.run(nothing, goes)
    assert [re.sub("/.*", "", line) for line in told if line.startswith("waiting")] == [told[0]]
    assert "the kernel allows one for a name" in told[0]
    assert told[-1] == "1 connection(s) as described"
    assert service.waits == [2.0, 3.0, None]


OLD, NEW, OTHER = (generate() for _ in range(3))


def rotating(secret: str, *addresses: str) -> dict:
    return description(*({**CONNECTION, "traddr": one, "dhchap_secret": secret} for one in addresses))


def reboots(kernel: Kernel) -> None:
    shutil.rmtree(kernel.root / "sys")
    kernel.asked.clear()


def test_after_a_rotation_that_reached_some_targets_a_reboot_finds_all_of_them(service: Service) -> None:
    kernel = service.kernel
    kernel.keys = {"192.0.2.1": OLD, "192.0.2.2": OLD}
    run(kernel, rotating(OLD, *kernel.keys))
    assert saved.expect([{"dhchap_secret": NEW}], state.CONFIG_DIR)
    assert not saved.expect([{"dhchap_secret": NEW}], state.CONFIG_DIR)
    assert "DHHC" not in (kernel.root / "etc/host.json").read_text()
    kernel.keys["192.0.2.1"] = NEW
    for _boot in range(2):
        reboots(kernel)
        told = service.run(nothing)
        assert told[-1] == "2 connection(s) as described"
        assert "DHHC" not in " ".join(told)
        assert len(names()) == 2
    kernel.keys["192.0.2.2"] = NEW
    run(kernel, rotating(NEW, *kernel.keys))
    assert "expected" not in state.load(COMPONENT)
    (file,) = (kernel.root / "etc/keys/host").iterdir()
    assert json.loads(file.read_text()) == {"dhchap_secret": NEW}
    assert not run(kernel, rotating(NEW, *kernel.keys)).changed


def test_a_run_that_ends_halfway_leaves_a_host_that_finds_targets_with_either_key(service: Service) -> None:
    kernel = service.kernel
    run(kernel, rotating(OLD, "192.0.2.1", "192.0.2.2"))
    # The second target is away, although it has the new key already.
    kernel.refuse["192.0.2.2"] = errno.ETIMEDOUT
    shutil.rmtree(kernel.root / "sys/class/nvme/nvme1")
    with pytest.raises(converging.NotConverged):
        run(kernel, rotating(NEW, "192.0.2.1", "192.0.2.2"))
    kernel.keys, kernel.refuse = {"192.0.2.1": NEW, "192.0.2.2": NEW}, {}
    reboots(kernel)
    service.run(nothing)
    assert len(names()) == 2


def test_what_discovery_logs_name_is_found_with_either_key(service: Service) -> None:
    kernel = service.kernel
    kernel.logs["192.0.2.1"] = [entry(), entry("nqn.2026-11.org.example:vol9", "192.0.2.2")]
    run(kernel, discovering("192.0.2.1", discovered={"dhchap_secret": OLD}))
    saved.expect([{"dhchap_secret": NEW}], state.CONFIG_DIR)
    saved.expect([{"dhchap_secret": OTHER}], state.CONFIG_DIR)
    kernel.keys = {"192.0.2.2": OTHER}
    reboots(kernel)
    service.run(nothing)
    assert len(names()) == 3


def test_a_target_with_a_key_that_nobody_knows_is_told_with_the_first_refusal(service: Service) -> None:
    kernel = service.kernel
    run(kernel, rotating(OLD, "192.0.2.1"))
    saved.expect([{"dhchap_secret": NEW}], state.CONFIG_DIR)
    kernel.keys = {"192.0.2.1": OTHER}
    reboots(kernel)
    told = service.run(nothing)
    assert [line for line in told if line.startswith("waiting")] == [told[0]]
    assert "the target rejected the authentication" in told[0]
    assert [OLD in kernel.asked[0], NEW in kernel.asked[1]] == [True, True]


def test_a_playbook_s_own_secret_has_to_be_right(service: Service) -> None:
    kernel = service.kernel
    run(kernel, rotating(OLD, "192.0.2.1"))
    saved.expect([{"dhchap_secret": NEW}], state.CONFIG_DIR)
    kernel.keys = {"192.0.2.1": NEW}
    reboots(kernel)
    with pytest.raises(converging.NotConverged, match="rejected the authentication"):
        run(kernel, rotating(OLD, "192.0.2.1"))


def two_targets(kernel: Kernel, policy: str = "keep") -> None:
    """The declared address refers to the second target, and each serves a subsystem."""
    kernel.logs["192.0.2.1"] = [entry(), referral("192.0.2.2")]
    kernel.logs["192.0.2.2"] = [entry(SECOND, "192.0.2.2")]
    run(kernel, discovering("192.0.2.1", gone=policy, discovered={"ctrl_loss_tmo": -1}))


SECOND = "nqn.2026-11.org.example:vol2"


def test_a_boot_without_the_discovery_address_finds_the_targets_that_live(service: Service) -> None:
    kernel = service.kernel
    two_targets(kernel)
    reboots(kernel)
    kernel.refuse["192.0.2.1"] = errno.ETIMEDOUT

    def named() -> list:
        # First the address is asked.
        assert names() == []
        assert not [asked for asked in kernel.asked if "192.0.2.2" in asked]
        return []

    def found() -> list:
        assert names() == sorted([DISCOVERY_NQN, SECOND])
        assert all("ctrl_loss_tmo=-1" in asked for asked in kernel.asked)
        # What is added there is found as well, for its log is read.
        kernel.logs["192.0.2.2"].append(entry("nqn.2026-11.org.example:vol3", "192.0.2.2"))
        return ["nvme0 says that its discovery log has changed"]

    def added() -> list:
        assert "nqn.2026-11.org.example:vol3" in names()
        kernel.refuse.clear()
        return []

    told = service.run(named, found, added, nothing)
    assert len(names()) == 5
    wanted = [line for line in told if line.endswith("is wanted as a discovery log named it last")]
    assert wanted == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN} is wanted as a discovery log named it last"]
    assert told[-1] == "5 connection(s) as described"
    assert service.waits[-1] is None


def test_what_a_log_does_not_name_any_more_is_not_connected_by_a_boot_that_can_read_it(service: Service) -> None:
    kernel = service.kernel
    two_targets(kernel)
    reboots(kernel)
    kernel.logs["192.0.2.1"] = [entry()]
    told = service.run(nothing)
    assert not [asked for asked in kernel.asked if "192.0.2.2" in asked]
    assert told[-1] == "2 connection(s) as described"
    assert state.owned(NAMED) == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]


def test_what_was_remembered_in_vain_is_forgotten_once_the_address_answers(service: Service) -> None:
    kernel = service.kernel
    two_targets(kernel)
    reboots(kernel)
    kernel.refuse = {"192.0.2.1": errno.ETIMEDOUT, "192.0.2.2": errno.ECONNREFUSED}

    def answers() -> list:
        kernel.logs["192.0.2.1"] = [entry()]
        del kernel.refuse["192.0.2.1"]
        return []

    told = service.run(nothing, answers, nothing)
    assert names() == sorted([DISCOVERY_NQN, nvme_tree.NQN])
    assert told[-1] == "2 connection(s) as described"
    assert state.owned(NAMED) == [f"mptcp 192.0.2.1:4420 {nvme_tree.NQN}"]


def test_a_playbook_connects_nothing_from_memory(service: Service) -> None:
    kernel = service.kernel
    two_targets(kernel)
    reboots(kernel)
    kernel.refuse["192.0.2.1"] = errno.ETIMEDOUT
    with pytest.raises(converging.NotConverged):
        run(kernel, discovering("192.0.2.1", discovered={"ctrl_loss_tmo": -1}))
    assert names() == []
