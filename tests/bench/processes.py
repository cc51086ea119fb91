"""Processes under test: started on one core, their CPU time read, and ended whole."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import psutil  # type: ignore[import-untyped] # it ships no types

__all__ = [
    "Cores",
    "CpuTime",
    "Running",
    "choose_cores",
    "free_port",
    "running",
    "wait_until_answering",
]

_STOP_TIMEOUT_S: Final = 15.0


@attrs.frozen
class Cores:
    """Where things run: what is measured has a core of its own when there are two."""

    measured: int
    others: frozenset[int]

    @property
    def everyone(self) -> frozenset[int]:
        """All of them, for what is more than one process."""
        return self.others | {self.measured}

    @property
    def are_shared(self) -> bool:
        """Whether load and upstream compete with what is measured."""
        return self.measured in self.others


def choose_cores() -> Cores:
    """The first core this process may use for what is measured, the rest for everything else."""
    first, *rest = sorted(os.sched_getaffinity(0))
    return Cores(first, frozenset(rest or [first]))


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@attrs.frozen
class CpuTime:
    """Seconds of CPU time."""

    user_s: float = 0.0
    kernel_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.user_s + self.kernel_s

    def __sub__(self, other: "CpuTime") -> "CpuTime":
        return CpuTime(self.user_s - other.user_s, self.kernel_s - other.kernel_s)


@attrs.frozen
class Running:
    """A started command and everything it started."""

    process: psutil.Popen
    log: Path

    def cpu(self) -> dict[str, CpuTime]:
        """CPU time so far of each process of the tree, by number and command line."""
        spent: dict[str, CpuTime] = {}
        for one in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                times = one.cpu_times()
                command = " ".join(Path(word).name for word in one.cmdline()[:12])
                spent[f"{one.pid} {command}"] = CpuTime(times.user, times.system)
        return spent

    def last_lines(self, count: int = 15) -> str:
        """The end of what the command printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def stop(self) -> None:
        """Ask politely, wait, then end whatever of the tree is left."""
        tree = self._tree()
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.send_signal(signal.SIGINT)
        _, left = psutil.wait_procs(tree, timeout=_STOP_TIMEOUT_S)
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=_STOP_TIMEOUT_S)

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    cores: frozenset[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a command on these cores until the block is left."""
    with log.open("wb") as output:
        process = psutil.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            # The children and threads of the command inherit it.
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    started = Running(process, log)
    try:
        yield started
    finally:
        started.stop()


def wait_until_answering(port: int, process: Running, *, timeout_s: float = 60.0) -> None:
    """Wait until a request through `port` is answered with 200.

    Raises:
        RuntimeError: the process ended or did not answer in time; with its last lines.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.process.poll() is not None:
            break
        if _answers(port):
            return
        time.sleep(0.1)
    raise RuntimeError(f"no answer on port {port}:\n{process.last_lines()}")


def _answers(port: int) -> bool:
    request = b"POST /score HTTP/1.1\r\nhost: bench\r\ncontent-length: 2\r\n\r\n{}"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
            sock.sendall(request)
            return sock.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
