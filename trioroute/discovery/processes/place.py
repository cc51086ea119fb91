"""One place: keeps one replica of a deployment running until it is told to end.

A replica that ends, for whatever reason, is followed by a new one with a new id after a growing
pause. The pause is reset by a replica that lived long enough to count as healthy.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import trio

from trioroute.core.found import FoundReplica, mark_of
from trioroute.core.model import Deployment, ScriptSource
from trioroute.discovery.processes.launch import CannotLaunchError, plan_launch
from trioroute.discovery.processes.logs import cap_log, read_last_lines, tell_why
from trioroute.discovery.processes.plan import Standing
from trioroute.discovery.processes.ports import LOOPBACK, NoPortError, PortChooser
from trioroute.discovery.processes.process import LeashedProcess
from trioroute.discovery.processes.snapshots import Snapshots
from trioroute.discovery.runtime import RuntimeBuildError, RuntimeStore, read_requirements
from trioroute.errors import ConfigError
from trioroute.net.backoff import Backoff

__all__ = ["Place", "Workshop"]

#: Pauses before a replica is replaced, seconds. The first is short, since most ends are one-offs;
#: the last keeps a script that fails at import from eating a core.
_PAUSE_FIRST_S: Final = 0.5
_PAUSE_MAX_S: Final = 30.0

#: A replica that accepted connections for this long was healthy, seconds.
_HEALTHY_S: Final = 30.0

#: How often a starting replica's port is tried, seconds: a model server takes 1 to 3 s.
_KNOCK_S: Final = 0.05

#: How often the length of a running replica's log is looked at, seconds.
_LOG_ROUND_S: Final = 10.0

#: Longest time an asked replica may take to end, seconds. The coordinator drained it before; this
#: is for the one that it could not.
_END_GRACE_MAX_S: Final = 30.0

#: When a script dies of this, packages that the runtime left out may be why.
_MODULE_MISSING: Final = "ModuleNotFoundError"

#: Logs of a place's earlier replicas that are kept, to look back at a crash loop.
_OLD_LOGS_KEPT: Final = 3


@attrs.frozen
class Workshop:
    """What all places of a runner share."""

    runtimes: RuntimeStore
    snapshots: Snapshots
    ports: PortChooser
    logs: Path
    changed: Callable[[], None]


class Place:
    """One of a deployment's wished number of replicas."""

    def __init__(self, number: int, deployment: Deployment, workshop: Workshop) -> None:
        self.number = number
        self.deployment = deployment
        self._workshop = workshop
        self._backoff = Backoff(first_s=_PAUSE_FIRST_S, max_s=_PAUSE_MAX_S)
        self._ending = trio.CancelScope()
        self._grace_s = min(deployment.request_max_s, _END_GRACE_MAX_S)
        self._old_logs: list[Path] = []
        self._not_installed: tuple[str, ...] = ()
        self._failures = 0
        self.found = self._new_replica(restarts=0)

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end."""
        return self._ending.cancel_called

    @property
    def log(self) -> Path:
        """Where the replica's output goes."""
        return self._workshop.logs / f"{self.found.id}.log"

    def find_log(self, replica: str) -> Path | None:
        """Where the output of its replica, or of one of those before it, is to be found."""
        logs = {log.stem: log for log in (*self._old_logs, self.log)}
        return logs.get(replica)

    def standing(self) -> Standing:
        """This place as the plan sees it."""
        return Standing(self.number, self.deployment, self.found.id, self.found.state)

    def end(self, *, grace_s: float | None = None) -> None:
        """Stop its replica, giving it at most `grace_s` to finish, and fill it no more."""
        if grace_s is not None:
            self._grace_s = min(self._grace_s, grace_s)
        if not self.is_ending:
            self._ending.cancel()
            self._show(state="stopped", reason="told to end")

    async def run(self) -> None:
        """Fill the place until it is told to end and its last replica has gone."""
        with self._ending:
            while True:
                died_of = await self._run_replica()
                lines = read_last_lines(self.log)
                self._show(state="backing-off", pid=None, reason=died_of, last_lines=lines)
                await trio.sleep(self._backoff.next_s())
                self._failures += 1
                self._replace(died_of)

    async def _run_replica(self) -> str:
        """Start a replica and stay with it; return why it ended."""
        try:
            port = self._workshop.ports.take()
        except NoPortError as error:
            return str(error)
        try:
            deployment = await self._find_applied()
            python = await self._find_python(deployment)
            launch = plan_launch(deployment, python=python, port=port, inherited=os.environ)
            process = LeashedProcess.start(
                launch.command, environment=launch.environment, cwd=launch.cwd, log=self.log
            )
            return await self._stay_with(process, port)
        except RuntimeBuildError as error:
            return str(error).partition("\n")[0]
        except (CannotLaunchError, ConfigError, OSError) as error:
            return str(error)
        finally:
            self._workshop.ports.give_back(port)

    async def _find_applied(self) -> Deployment:
        """The deployment with its code as it was applied, whatever the files say now."""
        source = self.deployment.source
        if not isinstance(source, ScriptSource):
            return self.deployment
        applied = await trio.to_thread.run_sync(self._workshop.snapshots.ensure, source)
        return attrs.evolve(self.deployment, source=applied)

    async def _find_python(self, deployment: Deployment) -> str | None:
        source = deployment.source
        if not isinstance(source, ScriptSource):
            return None
        if source.python is not None:
            return source.python
        conda_file = Path(source.conda_file) if source.conda_file is not None else None
        requirements = read_requirements(conda_file, source.conda)
        self._not_installed = requirements.notices
        return str(
            await self._workshop.runtimes.ensure(
                requirements, lambda line: self._show(reason=f"building its runtime: {line}")
            )
        )

    async def _stay_with(self, process: LeashedProcess, port: int) -> str:
        self._show(port=port, pid=process.pid, reason="", started_at=time.time())
        begun_at = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_running, port)
                status = await process.wait()
                nursery.cancel_scope.cancel()
        finally:
            # Ends nothing when it has ended; otherwise this place was told to end.
            await process.end(grace_s=self._grace_s)
        lived_s = trio.current_time() - begun_at
        if self.found.state == "running" and lived_s >= _HEALTHY_S:
            self._backoff.reset()
            self._failures = 0
        why = tell_why(read_last_lines(self.log))
        if _MODULE_MISSING in why:
            why = ". ".join((why, *self._not_installed))
        ended = f"exited with status {status}" if status >= 0 else f"killed by signal {-status}"
        return f"{ended} after {lived_s:.1f} s" + (f": {why}" if why else "")

    async def _watch_running(self, port: int) -> None:
        while not await _accepts(port):  # noqa: ASYNC110 - another process's doing: no event
            await trio.sleep(_KNOCK_S)
        self._show(state="running")
        while True:
            await trio.sleep(_LOG_ROUND_S)
            cap_log(self.log)

    def _replace(self, died_of: str) -> None:
        self._old_logs.append(self.log)
        for old in self._old_logs[:-_OLD_LOGS_KEPT]:
            with contextlib.suppress(OSError):
                old.unlink()
        del self._old_logs[:-_OLD_LOGS_KEPT]
        new = self._new_replica(restarts=self.found.restarts + 1)
        self.found = attrs.evolve(new, failures=self._failures, last_failure=died_of)
        self._workshop.changed()

    def _new_replica(self, *, restarts: int) -> FoundReplica:
        # 64 random bits, because the id must never come again, not even after years of restarts.
        return FoundReplica(
            id=f"{self.deployment.endpoint}-{self.deployment.name}-{secrets.token_hex(8)}",
            deployment=self.deployment.key,
            host=LOOPBACK,
            port=0,
            state="starting",
            restarts=restarts,
            made_from=mark_of(self.deployment.source),
        )

    def _show(self, **changes: object) -> None:
        if self.is_ending:
            # Nothing that happens on the way out may make it look usable again.
            changes["state"] = "stopped"
        found = attrs.evolve(self.found, **changes)  # type: ignore[arg-type]
        if found != self.found:
            self.found = found
            self._workshop.changed()


async def _accepts(port: int) -> bool:
    """Whether somebody listens there. The connection is closed at once, and costs no slot."""
    with contextlib.suppress(OSError):
        stream = await trio.open_tcp_stream(LOOPBACK, port)
        await stream.aclose()
        return True
    return False
