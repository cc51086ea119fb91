"""A front-end whose container has ended is proven dead in the log, and nobody else is."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

import attrs
import pytest
import trio

from chaos.sim.kubernetes.rights import Access
from chaos.sim.kubernetes_cluster.kubelet import Ended, Idle, Ready
from tests.k8s.cluster import NAMESPACE, FakeCluster, open_cluster, wait_until
from trioroute.app.cluster.deaths import FrontEndDeaths, unproven
from trioroute.app.data_folder import first_incarnation_after
from trioroute.core.decisions import DecisionKind
from trioroute.core.registry import (
    Command,
    MarkClean,
    ProveDead,
    RegisterHolder,
    Registry,
    RegistryState,
    Result,
)
from trioroute.core.resources.state import Death
from trioroute.discovery.kube.endings import CONTAINER, selector_of, termination_message
from trioroute.errors import NoCoordinatorError

Json = dict[str, Any]

#: Of the incarnations that are in the log.
BOOT = 1000
FRONT_ENDS = ("trioroute-0", "trioroute-1", "trioroute-2")


class Mortal(Idle):
    """Containers that leave their boot number, and end when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: dict[str, str] = {}
        self._ends: dict[str, trio.Event] = {}
        self._names: dict[str, str] = {}

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        """See `Runtime`."""
        name = self._names[pod["metadata"]["uid"]] = pod["metadata"]["name"]
        self._ends[name] = trio.Event()
        await ready(True)
        await self._ends[name].wait()

    def ended(self, uid: str) -> Ended:
        """See `Runtime`."""
        name = self._names[uid]
        return Ended(-9, self.messages.get(name, termination_message(name, BOOT)))

    def end(self, name: str) -> None:
        """Kill a pod's container."""
        self._ends[name].set()

    @property
    def running(self) -> set[str]:
        """The pods whose containers run."""
        return {name for name, event in self._ends.items() if not event.is_set()}


class Log:
    """A registry in which every front-end has two holders of that boot."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.proofs: list[ProveDead] = []
        self.is_lost = False
        for name in FRONT_ENDS:
            for index in range(2):
                self.register(f"{name}/{index}", BOOT)

    def register(self, holder: str, boot: int) -> None:
        spawned = first_incarnation_after(boot) - 1
        self.apply(RegisterHolder(epoch=0, holder=holder, incarnation=spawned))

    def apply(self, command: Command) -> Result:
        return self.registry.apply(command, self.registry.state.index + 1)

    @property
    def state(self) -> RegistryState:
        return self.registry.state

    async def commit(self, command: Command) -> Result:
        await trio.lowlevel.checkpoint()
        if self.is_lost:
            raise NoCoordinatorError("nobody")
        if isinstance(command, ProveDead):
            self.proofs.append(command)
        return self.apply(command)

    @property
    def dead(self) -> set[str]:
        return set(self.state.dead)


@attrs.define
class Stage:
    """Three front-ends' pods, a coordinator that looks at them, and its log."""

    cluster: FakeCluster
    runtime: Mortal
    log: Log
    now: float = 500.0

    def start(self, nursery: trio.Nursery, front_ends: Sequence[str] = FRONT_ENDS) -> None:
        """Look, as the office of epoch 7."""
        deaths = FrontEndDeaths(
            self.cluster.router_api(),
            self.log,
            front_ends=front_ends,
            clock=lambda: self.now,
            unix_time=lambda: 1e9,
        )
        nursery.start_soon(deaths.run, 7)

    @property
    def said(self) -> list[tuple[str, str]]:
        """What is on record, as `explain failover` shows it."""
        decisions = self.log.state.decisions
        assert all(one.kind is DecisionKind.FENCE and one.epoch == 7 for one in decisions)
        return [(one.subject, one.summary) for one in decisions]


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    runtime = Mortal()
    async with open_cluster(runtime) as cluster:
        for name in FRONT_ENDS:
            labels = {"statefulset.kubernetes.io/pod-name": name}
            container = {"name": CONTAINER, "image": "trioroute:1"}
            body = {"metadata": {"name": name, "labels": labels}}
            cluster.make("Pod", {**body, "spec": {"containers": [container]}})
        await wait_until(lambda: runtime.running == set(FRONT_ENDS))
        yield Stage(cluster, runtime, Log())


@pytest.mark.slow
async def test_who_was_killed_is_dead_from_when_it_was_seen_on_our_own_clock() -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        stage.start(nursery)
        stage.cluster.kubelet.missing_images.add("trioroute:1")
        stage.runtime.end("trioroute-1")
        await wait_until(lambda: len(stage.said) == 2)
        assert stage.log.dead == {"trioroute-1/0", "trioroute-1/1"}
        assert {(one.below, one.ended_s_ago) for one in stage.log.proofs} == {(1001 << 20, 0.0)}
        how = "proven dead: Kubernetes reports that its container ended (Error, exit code 137)"
        assert stage.said == [("trioroute-1/0", how), ("trioroute-1/1", how)]
        # It waits for its image now, and its end is told as its last state: nothing new.
        pod = stage.cluster.get("Pod", "trioroute-1")
        assert pod is not None
        stage.runtime.end("trioroute-2")
        await wait_until(lambda: len(stage.said) == 4)
        assert len(stage.log.proofs) == 4
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_who_takes_the_office_later_counts_from_then() -> None:
    """However long ago it was: the one clock that is believed is the one that looks."""
    async with open_stage() as stage, trio.open_nursery() as nursery:
        stage.cluster.kubelet.missing_images.add("trioroute:1")
        stage.runtime.end("trioroute-1")
        await wait_until(lambda: "waiting" in state_of(stage.cluster, "trioroute-1"))
        stage.now = 9000.0
        stage.start(nursery)
        await wait_until(lambda: len(stage.said) == 2)
        assert {one.ended_s_ago for one in stage.log.proofs} == {0.0}
        # The log names another one a while later: it was dead all the time.
        stage.now = 9004.0
        stage.log.register("trioroute-1/2", BOOT)
        await wait_until(lambda: "trioroute-1/2" in stage.log.dead)
        assert stage.log.state.dead["trioroute-1/2"].ended_s_ago == 4.0
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_what_is_no_proof_is_none() -> None:
    """A pod that is gone, one that ended without a word, and one with another's words."""
    async with open_stage() as stage, trio.open_nursery() as nursery:
        stage.start(nursery)
        stage.runtime.messages = {
            "trioroute-0": "",
            "trioroute-1": termination_message("trioroute-0", BOOT),
        }
        stage.runtime.end("trioroute-0")
        stage.runtime.end("trioroute-1")
        await wait_until(lambda: restarts_of(stage.cluster, "trioroute-0"))
        await wait_until(lambda: restarts_of(stage.cluster, "trioroute-1"))
        stage.cluster.api.objects.delete(
            stage.cluster.kind("Pod"),
            NAMESPACE,
            "trioroute-1",
            options={"gracePeriodSeconds": 0},
            is_dry=False,
        )
        # Events come in order, so who is proven dead after them is proven after their being seen.
        stage.runtime.end("trioroute-2")
        await wait_until(lambda: stage.log.dead)
        await wait_until(lambda: len(stage.said) == 2)
        assert stage.log.dead == {"trioroute-2/0", "trioroute-2/1"}
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_without_the_right_to_look_it_goes_on_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "trioroute.discovery.kube.watch")
    async with open_stage() as stage, trio.open_nursery() as nursery:
        # With the rights about models alone, which are elsewhere: here it has none at all then.
        binding = stage.cluster.get("RoleBinding", "trioroute-front-ends")
        assert binding is not None
        for name in ("trioroute", "trioroute-front-ends"):
            stage.cluster.delete("RoleBinding", name)
        stage.start(nursery)
        stage.runtime.end("trioroute-1")
        await wait_until(lambda: len(stage.cluster.server.log) >= 3)
        said = [one.getMessage() for one in caplog.records]
        assert len(said) == 1
        assert said[0].startswith("cannot watch front-ends' pods in namespace models: Forbidden")
        assert not stage.log.dead
        # Own rights are enough, and they are all that is asked for.
        stage.cluster.make(
            "RoleBinding",
            {k: binding[k] for k in ("roleRef", "subjects")}
            | {"metadata": {"name": "trioroute-front-ends"}},
        )
        await wait_until(lambda: len(stage.said) == 2)
        role = stage.cluster.get("Role", "trioroute-front-ends")
        assert role is not None
        (rule,) = role["rules"]
        granted = {Access(verb, "", "pods") for verb in rule["verbs"]}
        assert stage.cluster.api.asked == granted
        asked = [unquote_plus(target) for _, target in stage.cluster.server.log]
        assert all(f"labelSelector={selector_of(FRONT_ENDS)}" in each for each in asked)
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_an_end_that_nobody_could_hear_of_is_found_after_a_410() -> None:
    async with open_stage() as stage, trio.open_nursery() as nursery:
        stage.start(nursery)
        await wait_until(lambda: stage.cluster.server.watch_count == 1)
        stage.cluster.server.faults.throttle()
        stage.cluster.server.cut_all()
        stage.runtime.end("trioroute-1")
        await wait_until(lambda: restarts_of(stage.cluster, "trioroute-1"))
        stage.cluster.api.store.forget()
        stage.cluster.server.faults.heal()
        await wait_until(lambda: len(stage.said) == 2)
        assert stage.log.dead == {"trioroute-1/0", "trioroute-1/1"}
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_an_office_that_is_lost_ends_it() -> None:
    async with open_stage() as stage:
        stage.log.is_lost = True
        stage.runtime.end("trioroute-1")
        with pytest.raises(ExceptionGroup) as raised:
            async with trio.open_nursery() as nursery:
                stage.start(nursery)
        assert raised.group_contains(NoCoordinatorError)


def state_of(cluster: FakeCluster, name: str) -> Json:
    pod = cluster.get("Pod", name)
    assert pod is not None
    state: Json = pod["status"]["containerStatuses"][0]["state"]
    return state


def restarts_of(cluster: FakeCluster, name: str) -> int:
    pod = cluster.get("Pod", name)
    assert pod is not None
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


BELOW = first_incarnation_after(BOOT)


@pytest.mark.parametrize(
    ("known", "is_owed"),
    [
        ({}, True),
        ({"incarnation": (BOOT - 3) << 20 | 1}, True),
        ({"incarnation": BELOW}, False),
        ({"dead": BELOW - 1}, True),
        ({"dead": BELOW}, False),
        ({"clean": True}, False),
        ({"front_end": "trioroute-10"}, False),
    ],
    ids=["of that boot", "before", "after", "less known", "known", "ended in order", "another's"],
)
def test_what_the_log_still_has_to_be_told(known: Json, is_owed: bool) -> None:
    holder = f"{known.get('front_end', 'trioroute-1')}/0"
    dead = {holder: Death(below=known["dead"], ended_s_ago=1.0)} if "dead" in known else {}
    state = RegistryState(
        holders={holder: known.get("incarnation", BOOT << 20 | 1)},
        dead=dead,
        clean=(holder,) if known.get("clean") else (),
    )
    assert unproven(state, "trioroute-1", BELOW) == ([holder] if is_owed else [])


def test_a_front_end_that_is_not_ours_is_not_looked_at() -> None:
    log = Log()
    assert unproven(log.state, "trioroute-9", BELOW) == []
    log.apply(MarkClean(epoch=0, holder="trioroute-1/0", incarnation=BELOW - 1))
    assert unproven(log.state, "trioroute-1", BELOW) == ["trioroute-1/1"]
