"""The model servers of a run: few processes with several ports each, every port behind a line."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.history import Execution
from chaos.lines.relay import Relay
from chaos.processes.front_ends import MARK
from chaos.processes.ports import quiet_ports
from trioroute.app.leash import NO_LIFELINE, leashed_command

__all__ = ["ReplicaProcess", "Replicas", "is_fresh", "read_executions"]

_BEGIN: Final = "+"

_LOOK_S: Final = 0.05

#: Who has recorded nothing for so long has hardly anything to do, seconds.
_MOMENT_S: Final = 0.5

#: Model servers for upgraded connections: more than front-ends, so that each has a home there.
_CHAT_COUNT: Final = 4


@attrs.define
class ReplicaProcess:
    """Some model servers that live and die together."""

    name: str
    addresses: tuple[tuple[str, int], ...]
    lines: tuple[Relay, ...]
    process: "subprocess.Popen[bytes] | None" = None
    lives: int = 0

    def signal(self, number: signal.Signals) -> None:
        """To the process."""
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)


class Replicas:
    """All of them."""

    def __init__(
        self,
        folder: Path,
        *,
        count: int,
        processes: int,
        has_chat: bool,
        host: str = "127.0.0.1",
    ) -> None:
        """Lay them out; nothing is started.

        Args:
            count: of the ordinary deployment.
            has_chat: some more, in a process of their own, for upgraded connections.
            host: of ours, where front-ends reach the lines to them.
        """
        self._host = host
        self._folder = folder
        self._records = folder / "records"
        self._records.mkdir()
        ports = quiet_ports(count + (_CHAT_COUNT if has_chat else 0))
        dealt = [ports[number:count:processes] for number in range(processes)]
        dealt += [ports[count:]] if has_chat else []
        self.processes = [_laid_out(f"replicas-{n}", group, host) for n, group in enumerate(dealt)]
        self.ordinary = self.processes[:processes]
        self.chat = self.processes[processes:]

    def lines(self, of: list[ReplicaProcess]) -> tuple[tuple[str, int], ...]:
        """The addresses that front-ends are told."""
        return tuple((self._host, line.port) for one in of for line in one.lines)

    def names(self, of: list[ReplicaProcess]) -> list[str]:
        """As they stand in the records."""
        return [f"{host}:{port}" for one in of for host, port in one.addresses]

    def busy(self) -> list[ReplicaProcess]:
        """Those that have begun or ended a request a moment ago: who spoils them is felt."""
        records = ((one, self._records / f"{one.name}-{one.lives - 1}") for one in self.processes)
        return [one for one, record in records if is_fresh(record)]

    def start(self, one: ReplicaProcess) -> None:
        """Start a process; in the main thread, for the kernel ties children to threads."""
        record = self._records / f"{one.name}-{one.lives}"
        words = [str(record), *(f"{host}:{port}" for host, port in one.addresses)]
        with (self._folder / f"{one.name}.log").open("ab") as log:
            one.process = subprocess.Popen(
                leashed_command("chaos.processes.replica:main", words, lifeline=NO_LIFELINE),
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, MARK: str(self._folder)},
                start_new_session=True,
            )
        one.lives += 1

    async def wait_listening(self, one: ReplicaProcess) -> None:
        """Return when all of its ports take connections.

        Raises:
            RuntimeError: the process ended: somebody else took one of its ports meanwhile.
        """
        for host, port in one.addresses:
            while not await _listens(host, port):
                if one.process is None or one.process.poll() is not None:
                    raise RuntimeError(f"{one.name} ended: {self._folder / one.name}.log says why")
                await trio.sleep(_LOOK_S)

    def end_all(self) -> None:
        """Kill whatever runs."""
        for one in self.processes:
            if one.process is not None:
                one.process.kill()
                one.process.wait()

    def executions(self) -> list[Execution]:
        """What all lives of all processes have recorded."""
        return [
            execution
            for path in sorted(self._records.iterdir())
            for execution in read_executions(path.read_text(), path.name)
        ]


async def _listens(host: str, port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError:
        return False
    await trio.aclose_forcefully(stream)
    return True


def _laid_out(name: str, ports: list[int], host: str) -> ReplicaProcess:
    addresses = tuple(("127.0.0.1", port) for port in ports)
    return ReplicaProcess(name, addresses, tuple(Relay(each, host=host) for each in addresses))


def is_fresh(record: Path) -> bool:
    """Whether something was written there a moment ago."""
    return record.exists() and record.stat().st_mtime >= time.time() - _MOMENT_S


def read_executions(text: str, life: str) -> list[Execution]:
    """One life's record; a last line that was cut off by a kill does not count."""
    begun: dict[tuple[str, str], list[tuple[float, str]]] = {}
    done: list[Execution] = []
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        step, number, replica, at, *slot = line.split()
        if step == _BEGIN:
            begun.setdefault((number, replica), []).append((float(at), slot[0]))
            continue
        begun_at, of_slot = begun[number, replica].pop(0)
        done.append(_execution(number, replica, life, (begun_at, float(at), of_slot)))
    open_still = [
        _execution(number, replica, life, (at, None, slot))
        for (number, replica), starts in begun.items()
        for at, slot in starts
    ]
    return done + open_still


def _execution(
    number: str, replica: str, life: str, times: tuple[float, float | None, str]
) -> Execution:
    begun_at, ended_at, slot = times
    return Execution(
        number=int(number),
        replica=replica,
        life=life,
        begun_at=begun_at,
        ended_at=ended_at,
        slot=slot,
    )
