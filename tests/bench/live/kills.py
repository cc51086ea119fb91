"""`make kills`: SIGKILL to the coordinator's whole front-end, again and again, under load.

Three front-ends of `trioroute up`, replicas that record their own concurrency, and bursts of
requests at 0.6 of what the other two front-ends' slots can do, so that at every kill requests wait
everywhere. Judged afterwards, from what clients saw and what replicas recorded.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import attrs
import trio

from tests.bench.live.witness import Served, overtaking_s, percentile, read_served, running_max
from tests.e2e.system import Outcome, System, running_up, score, wait_until_rejoined, write_files

__all__ = ["main"]

_REPLICAS: Final = 6
_SERVICE_S: Final = 0.05
_BURST_S: Final = 0.5
#: 0.6 of what four of six slots can do, in bursts of twice as many requests as there are slots.
_BURST: Final = int(0.6 * (_REPLICAS * 2 / 3) / _SERVICE_S * _BURST_S)
#: Of the deployment: MAXREQ, and how long a request waits at most.
_REQUEST_S: Final = 1.0
_QUEUE_WAIT_MS: Final = 2000
#: A client whose connection is accepted by nobody yet has not reached the killed front-end.
_ACCEPT_S: Final = 0.1


@attrs.define
class _Kill:
    """One kill: when, whom, and when that front-end was a whole part of the group again."""

    name: str
    epoch: int
    at: float
    rejoined_at: float = 0.0


@attrs.define
class _Clients:
    """Bursts until the end, each request on a connection of its own."""

    system: System
    outcomes: list[Outcome] = attrs.field(factory=list)
    ending: trio.Event = attrs.field(factory=trio.Event)
    bursts: trio.Event = attrs.field(factory=trio.Event)

    async def offer(self) -> None:
        """Send; `bursts` is set at each burst, and then another one."""
        number = 0
        async with trio.open_nursery() as nursery:
            while not self.ending.is_set():
                for _ in range(_BURST):
                    nursery.start_soon(self._one, f"request-{number}")
                    number += 1
                self.bursts.set()
                self.bursts = trio.Event()
                await trio.sleep(_BURST_S)

    async def _one(self, name: str) -> None:
        self.outcomes.append(await score(self.system.scoring, name))


async def _kill_again_and_again(clients: _Clients, count: int, kills: list[_Kill]) -> None:
    system = clients.system
    for number in range(count):
        name, epoch = await trio.to_thread.run_sync(wait_until_rejoined, system)
        await trio.sleep(1.0)
        pid = await trio.to_thread.run_sync(system.front_end_pid, name)
        await clients.bursts.wait()
        # While the burst is being served: the first of it run, most of it waits.
        await trio.sleep(0.03 + 0.02 * (number % 5))
        kill = _Kill(name, epoch, time.monotonic())
        os.kill(pid, signal.SIGKILL)
        kills.append(kill)
        await trio.to_thread.run_sync(wait_until_rejoined, system, epoch)
        kill.rejoined_at = time.monotonic()
        print(f"\r{number + 1}/{count}", end="", file=sys.stderr, flush=True)
    await trio.sleep(3)


def _run(folder: Path, count: int) -> tuple[list[Outcome], list[_Kill], list[Served]]:
    write_files(folder, replicas=_REPLICAS, service_s=_SERVICE_S, queue_wait_ms=_QUEUE_WAIT_MS)
    kills: list[_Kill] = []

    async def run(clients: _Clients) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.offer)
            await _kill_again_and_again(clients, count, kills)
            clients.ending.set()

    with running_up(folder) as system:
        clients = _Clients(system)
        trio.run(run, clients)
    print(file=sys.stderr)
    return clients.outcomes, kills, read_served(folder / "records")


def _slots_back_s(kill: _Kill, served: list[Served]) -> float:
    """How long after a kill every replica had begun a request again."""
    begun: set[str] = set()
    for each in served:
        if each.began_at > kill.at:
            begun.add(each.replica)
            if len(begun) == _REPLICAS:
                return each.began_at - kill.at
    return float("inf")


def _report(outcomes: list[Outcome], kills: list[_Kill], served: list[Served]) -> bool:
    """Print the figures; whether all that must hold does."""
    broken = [o for o in outcomes if o.status is None]
    stray = [o for o in broken if not any(_may_break(o, kill) for kill in kills)]
    refused = [o for o in outcomes if o.status not in (200, None)]
    sent = {o.name: o.sent_at for o in outcomes}
    waited, overtaking = 0, []
    for kill in kills:
        waiting = [
            s for s in served if s.began_at > kill.at and sent[s.request] < kill.at - _ACCEPT_S / 10
        ]
        waited += len(waiting)
        overtaking.append(overtaking_s([sent[s.request] for s in waiting]))
    back = [_slots_back_s(kill, served) for kill in kills]
    rejoined = [kill.rejoined_at - kill.at for kill in kills]
    late = [b for b, r in zip(back, rejoined, strict=True) if b > r + 1.05 * _REQUEST_S + 1]
    most = running_max(served)
    print(f"kills of the coordinator's front-end    {len(kills)}, load {_BURST / _BURST_S:.0f}/s")
    print(f"requests                                {len(outcomes)}")
    print(f"  answered                              {sum(o.status == 200 for o in outcomes)}")
    print(f"  broken with the killed front-end      {len(broken) - len(stray)}")
    print(f"  broken otherwise                      {len(stray)}")
    print(f"  rejected                              {len(refused)} {_reasons(refused)}")
    print(f"waiting at a kill, served afterwards    {waited}")
    print(f"  overtaken by a younger one by at most {_milliseconds(overtaking)}")
    print(f"most at once on a replica with one slot {most}")
    print(f"every slot in use again after the kill  {_milliseconds(back)}")
    print(f"killed front-end back in the group      {_milliseconds(rejoined)}")
    print(f"slots back later than allowed + 1 s     {len(late)}")
    return not (stray or refused or late) and most == 1


def _may_break(outcome: Outcome, kill: _Kill) -> bool:
    return outcome.sent_at <= kill.at + _ACCEPT_S and outcome.ended_at >= kill.at


def _reasons(refused: list[Outcome]) -> str:
    counts: dict[str, int] = {}
    for outcome in refused:
        key = f"{outcome.status} {outcome.body[:60]!r}"
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{count} × {key}" for key, count in counts.items())


def _milliseconds(seconds: list[float]) -> str:
    p50, p90, most = (percentile(seconds, share) * 1000 for share in (0.5, 0.9, 1.0))
    return f"p50 {p50:,.0f}, p90 {p90:,.0f}, max {most:,.0f} ms"


def main() -> int:
    """Print the report; 1 when something that must hold does not."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.live.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="trioroute-kills-") as folder:
        outcomes, kills, served = _run(Path(folder), options.kills)
    return 0 if _report(outcomes, kills, served) else 1


if __name__ == "__main__":
    sys.exit(main())
