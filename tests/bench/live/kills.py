"""`make kills`: SIGKILL to the coordinator's whole front-end, again and again, under load.

Three front-ends of `trioroute up`, replicas that record their own concurrency, and bursts of
requests at 0.6 of what the other two front-ends' slots can do, faster within the burst than all
slots are, so that at every kill requests of different ages wait everywhere. No front-end is killed
before it has run for ten seconds: `up` restarts what ends sooner with growing pauses, and those are
not what is measured. Judged afterwards, from what clients saw and what replicas recorded.

Age order: among requests that waited elsewhere at a kill and were granted by the next coordinator,
by how much the youngest that began before an older one was younger. Their ages are the front-ends'
own, from the access log: how long a connection waited to be accepted is nothing a router knows.
Those that a front-end gave a slot of its own before it knew the next coordinator are told apart:
nobody knew who was older then.
"""

import argparse
import json
import os
import re
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
_BURST_S: Final = 1.0
#: Between two requests of a burst: twice as fast as all slots together.
_GAP_S: Final = 0.004
#: 0.6 of what four of six slots can do.
_BURST: Final = int(0.6 * (_REPLICAS * 2 / 3) / _SERVICE_S * _BURST_S)
#: Of the deployment: MAXREQ, and how long a request waits at most.
_REQUEST_S: Final = 1.0
_QUEUE_WAIT_MS: Final = 2000
#: A client whose connection is accepted by nobody yet has not reached the killed front-end.
_ACCEPT_S: Final = 0.1
#: `app.host.children`: what lived this long is restarted after the shortest pause again.
_HEALTHY_S: Final = 10.5
#: A younger request may begin this much before an older one: holders may serve their own waiters
#: 50 ms out of order (design S13), and learn who is oldest elsewhere by messages that take a while.
_OVERTAKEN_MAX_S: Final = 0.06
_PROOF: Final = re.compile(r"earlier processes ended ([0-9.]+) s ago: it is in the log")


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
        """Send; `bursts` is set when a burst begins, and then another one."""
        number = 0
        async with trio.open_nursery() as nursery:
            while not self.ending.is_set():
                began_at = trio.current_time()
                self.bursts.set()
                self.bursts = trio.Event()
                for place in range(_BURST):
                    await trio.sleep_until(began_at + place * _GAP_S)
                    nursery.start_soon(self._one, f"request-{number}")
                    number += 1
                await trio.sleep_until(began_at + _BURST_S)

    async def _one(self, name: str) -> None:
        self.outcomes.append(await score(self.system.scoring, name))


async def _kill_again_and_again(clients: _Clients, count: int, kills: list[_Kill]) -> None:
    system = clients.system
    up_since = dict.fromkeys(system.admin_urls, time.monotonic())
    for number in range(count):
        name, epoch = await trio.to_thread.run_sync(wait_until_rejoined, system)
        await trio.sleep(max(1.0, up_since[name] + _HEALTHY_S - time.monotonic()))
        pid = await trio.to_thread.run_sync(system.front_end_pid, name)
        await clients.bursts.wait()
        # While the burst is being served: some of it have been, most of it waits.
        await trio.sleep(_GAP_S * _BURST * (0.5 + 0.15 * (number % 5)))
        kill = _Kill(name, epoch, time.monotonic())
        os.kill(pid, signal.SIGKILL)
        kills.append(kill)
        await trio.to_thread.run_sync(wait_until_rejoined, system, epoch)
        kill.rejoined_at = up_since[name] = time.monotonic()
        print(f"\r{number + 1}/{count}", end="", file=sys.stderr, flush=True)
    await trio.sleep(3)


@attrs.frozen
class _Seen:
    """What the clients, the replicas and the front-ends' logs say of a whole run.

    Attributes:
        arrived: when each request's head was read, by name; none of those that were broken off.
        proofs_s: how long after each death the log had the proof of it.
    """

    outcomes: list[Outcome]
    kills: list[_Kill]
    served: list[Served]
    arrived: dict[str, float]
    proofs_s: list[float]


def _run(folder: Path, count: int) -> _Seen:
    write_files(folder, replicas=_REPLICAS, service_s=_SERVICE_S, queue_wait_ms=_QUEUE_WAIT_MS)
    kills: list[_Kill] = []

    async def run(clients: _Clients) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clients.offer)
            await _kill_again_and_again(clients, count, kills)
            clients.ending.set()

    access_log = folder / "access.log"
    with running_up(folder, "--access-log", str(access_log)) as system:
        clients = _Clients(system)
        trio.run(run, clients)
    print(file=sys.stderr)
    logs = [path.read_text() for path in (folder / "data" / "log").glob("fe-*.log")]
    proofs = [float(ago) for log in logs for ago in _PROOF.findall(log)]
    served = read_served(folder / "records")
    return _Seen(clients.outcomes, kills, served, _arrivals(access_log), proofs)


def _arrivals(access_log: Path) -> dict[str, float]:
    records = map(json.loads, access_log.read_text().splitlines())
    return {each["client_request_id"]: each["ts"] for each in records if "ready" not in each}


def _slots_back_s(kill: _Kill, served: list[Served]) -> float:
    """How long after a kill every replica had begun a request again."""
    begun: set[str] = set()
    for each in served:
        if each.began_at > kill.at:
            begun.add(each.replica)
            if len(begun) == _REPLICAS:
                return each.began_at - kill.at
    return float("inf")


@attrs.define
class _Waited:
    """Requests that waited at the other front-ends when the coordinator died."""

    served: int = 0
    overtaken_s: list[float] = attrs.field(factory=list)
    overtaken_meanwhile_s: list[float] = attrs.field(factory=list)

    @classmethod
    def of(cls, seen: _Seen) -> "_Waited":
        """Over all kills."""
        sent = {o.name: o.sent_at for o in seen.outcomes}
        waited = cls()
        for kill in seen.kills:
            own = [
                each
                for each in seen.served
                if each.began_at > kill.at
                and sent[each.request] < kill.at - _ACCEPT_S / 10
                # Else the killed front-end had sent it, and its replica had yet to look.
                and each.request in seen.arrived
            ]
            granted = [seen.arrived[each.request] for each in own if each.epoch > kill.epoch]
            meanwhile = [seen.arrived[each.request] for each in own if each.epoch <= kill.epoch]
            waited.served += len(own)
            waited.overtaken_s.append(overtaking_s(granted))
            waited.overtaken_meanwhile_s.append(overtaking_s(meanwhile))
        return waited


def _report(seen: _Seen) -> bool:
    """Print the figures; whether all that must hold does."""
    outcomes, kills = seen.outcomes, seen.kills
    broken = [o for o in outcomes if o.status is None]
    stray = [o for o in broken if not any(_may_break(o, kill) for kill in kills)]
    refused = [o for o in outcomes if o.status not in (200, None)]
    by_kill = [o for o in refused if any(_is_around(o, kill) for kill in kills)]
    waited = _Waited.of(seen)
    back = [_slots_back_s(kill, seen.served) for kill in kills]
    rejoined = [kill.rejoined_at - kill.at for kill in kills]
    # Decision 25: the new incarnation's first words prove the old one dead; MAXREQ is not waived.
    allowed = [max(r, 1.05 * _REQUEST_S) + 1 for r in rejoined]
    late = [b for b, most in zip(back, allowed, strict=True) if b > most]
    most = running_max(seen.served)
    print(f"kills of the coordinator's front-end    {len(kills)}, load {_BURST / _BURST_S:.0f}/s")
    print(f"requests                                {len(outcomes)}")
    print(f"  answered                              {sum(o.status == 200 for o in outcomes)}")
    print(f"  broken with the killed front-end      {len(broken) - len(stray)}")
    print(f"  broken otherwise                      {len(stray)}")
    print(f"  rejected around a kill                {len(by_kill)} {_reasons(by_kill)}")
    print(f"  rejected otherwise                    {len(refused) - len(by_kill)}")
    print(f"waiting at a kill, served afterwards    {waited.served}")
    print(f"  by the next coordinator, overtaken by {_milliseconds(waited.overtaken_s)}")
    print(f"  before there was one, overtaken by    {_milliseconds(waited.overtaken_meanwhile_s)}")
    print(f"most at once on a replica with one slot {most}")
    print(f"proof of the death in the log           {_milliseconds(seen.proofs_s)}")
    print(f"killed front-end back in the group      {_milliseconds(rejoined)}")
    print(f"every slot in use again after the kill  {_milliseconds(back)}")
    print(f"slots back later than allowed + 1 s     {len(late)}")
    in_order = max(waited.overtaken_s, default=0.0) <= _OVERTAKEN_MAX_S
    return not (stray or refused or late) and most == 1 and in_order


def _is_around(outcome: Outcome, kill: _Kill) -> bool:
    """Whether it was under way between a kill and the killed front-end's return."""
    return outcome.sent_at <= kill.rejoined_at + _REQUEST_S and outcome.ended_at >= kill.at


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
        seen = _run(Path(folder), options.kills)
    return 0 if _report(seen) else 1


if __name__ == "__main__":
    sys.exit(main())
