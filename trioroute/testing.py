"""A real system for the tests of whoever builds on trioroute: `with local_cluster() as cluster`.

Front-ends, Raft and model servers as `trioroute up` starts them, in a folder of their own on free
ports, and gone at the end, whatever happened. As a pytest fixture:

    @pytest.fixture
    def cluster():
        with trioroute.testing.local_cluster("fraud/") as cluster:
            yield cluster
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from trioroute.client.sdk import Client, connect
from trioroute.core.status import CoordinatorStatus
from trioroute.errors import TrioRouteError

__all__ = ["ClusterError", "LocalCluster", "local_cluster", "runtimes_variable"]

#: A runtime for scoring scripts may have to be built first.
_START_S: Final = 300.0
_END_S: Final = 20.0
_LOOK_S: Final = 0.05
_RUNTIMES: Final = "TRIOROUTE_RUNTIMES"


class ClusterError(TrioRouteError):
    """The system did not start, or not do in time what was waited for."""

    reason = "cluster"


@attrs.frozen
class LocalCluster:
    """A running system.

    Attributes:
        client: the SDK's client of it.
        data: its data folder, where the logs of all processes are too.
        url: the scoring address.
    """

    client: Client
    data: Path
    url: str

    def invoke(self, endpoint: str, body: object = None) -> str:
        """One scoring request."""
        return self.client.endpoints.invoke(endpoint, body)

    def coordinator(self) -> CoordinatorStatus:
        """Who holds the office now.

        Raises:
            ClusterError: nobody, for longer than an election takes.
        """
        return self._wait_coordinator(after_epoch=0)

    def kill_coordinator(self) -> CoordinatorStatus:
        """SIGKILL the front-end that coordinates; returns the next coordinator."""
        old = self.coordinator()
        for pid in _front_end_pids(self.data, old.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return self._wait_coordinator(after_epoch=old.epoch)

    def _wait_coordinator(self, *, after_epoch: int) -> CoordinatorStatus:
        deadline = time.monotonic() + _END_S
        while time.monotonic() < deadline:
            with contextlib.suppress(TrioRouteError):
                found = self.client.status().coordinator
                if found is not None and found.epoch > after_epoch:
                    return found
            time.sleep(_LOOK_S)
        raise ClusterError(f"no coordinator within {_END_S:g} s")


@contextlib.contextmanager
def local_cluster(
    *paths: str | os.PathLike[str],
    front_ends: int = 3,
    dev: bool = True,
    runtimes: str | os.PathLike[str] | None = None,
) -> Iterator[LocalCluster]:
    """Run these files' endpoints until the block ends.

    Args:
        paths: endpoint and deployment files, or folders; none for an empty system.
        front_ends: how many.
        dev: allow settings that are for development only.
        runtimes: where the environments of scoring scripts are kept from one cluster to the next,
            since building one takes a minute; otherwise TRIOROUTE_RUNTIMES, or a folder of the
            user's cache.

    Raises:
        ClusterError: it did not start; with what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="trioroute-") as folder:
        data = Path(folder, "data")
        options = ["--data", data, "--front-ends", front_ends, "--port", 0, "--admin-port", 0]
        words = [*paths, *options, *(["--dev"] if dev else [])]
        log = Path(folder, "up.log")
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-P", "-m", "trioroute.cli.main", "up", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, **runtimes_variable(runtimes)},
            )
        try:
            yield _wait_started(process, data, log)
        finally:
            _end(process)


def runtimes_variable(given: str | os.PathLike[str] | None) -> dict[str, str]:
    """What tells `up` where runtimes are; nothing where they cannot outlive the cluster."""
    if given is None and os.environ.get(_RUNTIMES):
        return {}
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(given) if given is not None else cache / "trioroute" / "runtimes"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        if given is not None:
            raise ClusterError(f"runtimes={str(folder)!r} is no folder that can be made") from None
        return {}
    return {_RUNTIMES: str(folder.resolve())} if os.access(folder, os.W_OK) else {}


def _wait_started(process: "subprocess.Popen[bytes]", data: Path, log: Path) -> LocalCluster:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if (data / "up.json").exists():
            client = connect(data=data)
            return LocalCluster(client, data, client.system.scoring_url)
        time.sleep(_LOOK_S)
    raise ClusterError(f"the system did not start:\n{log.read_text(errors='replace')}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        # Everything it started dies with it.
        process.kill()
        process.wait()


def _front_end_pids(data: Path, name: str) -> Iterator[int]:
    """Found by their command lines, which name the data folder."""
    own = os.fsencode(data.resolve() / name)
    for entry in Path("/proc").glob("[0-9]*"):
        # Others' processes cannot be read, and some end while we look.
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"front-end" in words and own in words:
                yield int(entry.name)
