"""`trioroute drill` on a cluster: front-ends and replicas that really run, hit as pods."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import attrs
import pytest
import trio

from chaos.sim.kubernetes_cluster.plane import ADMIN_TOKEN
from tests.e2e.cluster.sites import is_remote
from tests.e2e.cluster.stage import Stage, open_stage
from tests.k8s.rendered import needs_kustomize
from trioroute.drills.kube.policies import CUT_LABEL, DRILL_LABEL

pytestmark = [
    needs_kustomize,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(is_remote(), reason="an operator drills their own cluster"),
]

Json = dict[str, Any]
#: What is promised whatever the machine is busy with; how long it took is left to people.
PROMISES = ("requests", "over-commit", "one-coordinator", "undone", "recovery")


@attrs.frozen
class Operator:
    """Who types `trioroute drill …`, with a kubeconfig and nothing else of the cluster."""

    stage: Stage
    folder: Path
    environment: dict[str, str]

    async def drill(self, *words: str) -> tuple[int, str]:
        """Exit status, and all that was said."""
        done = await trio.run_process(
            self.command(*words),
            env=self.environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    async def judged(self, name: str, *words: str) -> tuple[Json, dict[str, str], str]:
        """The report of a drill, its verdicts by finding, and what was said."""
        report = self.folder / f"{name}.json"
        page = report.with_suffix(".html")
        files = ("--report", str(report), "--report", str(page))
        status, said = await self.drill(name, "--yes", *files, *words)
        assert status in (0, 1, 4), said
        ET.fromstring(page.read_text().removeprefix("<!DOCTYPE html>"))
        found = json.loads(report.read_text())
        return found, {each["id"]: each["verdict"] for each in found["findings"]}, said

    def command(self, *words: str) -> list[str]:
        """The command line."""
        return [sys.executable, "-P", "-m", "trioroute.cli.main", "drill", *words]

    async def left(self) -> list[str]:
        """What a drill has made that is still there."""
        kube, namespace = self.stage.system.site.kube, self.stage.system.site.namespace
        found = [
            *(await kube.list("NetworkPolicy", namespace, DRILL_LABEL)),
            *(await kube.list("Pod", namespace, CUT_LABEL)),
            *(await kube.list("Lease", namespace)),
        ]
        return [one["metadata"]["name"] for one in found]


@asynccontextmanager
async def open_operator(folder: Path, *, instances: int) -> AsyncIterator[Operator]:
    async with open_stage(folder / "site", instances=instances) as stage:
        plane = stage.system.site.plane
        assert plane is not None
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(plane.kubeconfig(ADMIN_TOKEN)))
        environment = {
            **os.environ,
            "TRIOROUTE_CONFIG": str(folder / "contexts.json"),
            "TRIOROUTE_NAMESPACE": stage.system.site.namespace,
            "TRIOROUTE_KUBECONFIG": str(kubeconfig),
        }
        yield Operator(stage, folder, environment)


async def test_the_coordinators_pod_is_killed_and_others_serve_on(tmp_path: Path) -> None:
    async with open_operator(tmp_path, instances=4) as operator:
        report, verdicts, said = await operator.judged("coordinator", "--gap-goal", "30s")
        for promise in (*PROMISES, "epoch", "gap"):
            assert verdicts[promise] == "passed", said
        assert report["requests"]["sent"] > 20
        assert "deleted without grace: pod trioroute-" in said
        assert await operator.left() == []
        status, said = await operator.drill("frozen-coordinator", "--yes")
        assert (status, "no means to stop" in said) == (5, True), said


@pytest.mark.long
async def test_every_other_drill_runs_or_says_why_not(tmp_path: Path) -> None:
    async with open_operator(tmp_path, instances=4) as operator:
        for name in ("replica", "front-end", "rolling-restart"):
            words = ("--gap-goal", "30s") if name == "rolling-restart" else ()
            _, verdicts, said = await operator.judged(name, *words)
            for promise in PROMISES:
                assert verdicts[promise] == "passed", said
        for name, why in (("frozen-replica", "no means to stop"), ("disk-full", "its own or")):
            status, said = await operator.drill(name, "--yes")
            assert (status, why in said) == (5, True), said
        assert await operator.left() == []


@pytest.mark.long
async def test_a_parted_coordinator_gives_way_and_comes_back(tmp_path: Path) -> None:
    async with open_operator(tmp_path, instances=4) as operator:
        _, verdicts, said = await operator.judged("partition", "--gap-goal", "30s")
        for promise in (*PROMISES, "epoch", "felt"):
            assert verdicts[promise] == "passed", said
        assert await operator.left() == []


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_interrupted_drill_parts_nobody_for_long(
    number: signal.Signals, tmp_path: Path
) -> None:
    async with open_operator(tmp_path, instances=4) as operator:
        words = ("partition", "--yes", "--lasts", "60s")
        async with trio.open_nursery() as nursery:
            running = await nursery.start(_run, operator, words)
            with trio.fail_after(60):
                while len(await operator.left()) < 3:
                    await trio.sleep(0.1)
            running.send_signal(number)
            with trio.fail_after(30):
                left = {"trioroute-drill"} if number is signal.SIGKILL else set()
                while set(await operator.left()) != left:
                    await trio.sleep(0.1)
        status, said = await operator.drill("undo")
        assert status == 0, said
        assert await operator.left() == []


async def _run(
    operator: Operator, words: tuple[str, ...], *, task_status: trio.TaskStatus[trio.Process]
) -> None:
    command = operator.command(*words)
    await trio.run_process(command, env=operator.environment, check=False, task_status=task_status)
