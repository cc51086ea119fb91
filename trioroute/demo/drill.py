"""Kills the coordinator's front-end under load and finds out what that did.

How a request that was lost with the killed front-end is told from one that failed for another
reason: just before the kill the kernel is asked (`witness`) which client connections that
front-end's processes hold. A connection never changes hands, and every connection has had an
answer before it is used here, so it has been accepted by then. A request counts as broken with the
killed front-end only when it went out on one of those, got no answer, and ended after the kill.
(A connection that replaces a lost one, and is accepted in the milliseconds between asking and
killing, would be counted as a failure: the error is on the strict side.)
"""

from collections import Counter
from functools import partial
from typing import Final, Protocol

import attrs
import trio

from trioroute.demo.control import Office, TourControl
from trioroute.demo.load import Account, Clients, Record, run_load, tally
from trioroute.demo.witness import find_family, find_held_ports

__all__ = ["Findings", "Tell", "run_drill"]

#: Requests a second: a third of what three replicas of the example do on two busy cores, so that
#: two front-ends' slots are enough while the third's are in doubt.
_RATE_PER_S: Final = 40.0

#: Load before the kill and after the killed front-end is back, seconds.
_BEFORE_S: Final = 2.0
_AFTER_S: Final = 2.0

#: How often to ask who coordinates, seconds; the answer says since when, so this is not the error
#: of the gap.
_LOOK_S: Final = 0.03

#: The goals allow two seconds; a group that has no coordinator after this has none.
_COORDINATOR_MAX_S: Final = 20.0

#: A killed front-end starts again in about two seconds; a busy laptop may take longer.
_BACK_MAX_S: Final = 40.0


class Tell(Protocol):
    """Where the drill says what it does."""

    def line(self, text: str) -> None:
        """One thing happened."""
        ...


@attrs.define
class Findings:
    """What was found out, up to where the drill came.

    Attributes:
        killed: the front-end that was killed, empty before.
        connections: how many client connections each front-end held then.
        failure: why the drill could not go on, empty when nothing stood in its way.
        is_complete: whether it went to its end.
    """

    records: list[Record] = attrs.field(factory=list)
    killed: str = ""
    killed_at: float = float("inf")
    killed_ports: frozenset[int] = frozenset()
    connections: dict[str, int] = attrs.field(factory=dict)
    successor: Office | None = None
    gap_s: float | None = None
    back_s: float | None = None
    failure: str = ""
    is_complete: bool = False

    def account(self) -> Account:
        """Every request's end."""
        return tally(self.records, killed_at=self.killed_at, killed_ports=self.killed_ports)


async def run_drill(
    control: TourControl, clients: Clients, findings: Findings, tell: Tell, *, limit_s: float
) -> None:
    """Kill the coordinator under load; return when every request has ended.

    Args:
        clients: connections that have been answered on.
        findings: filled in as things are found out.
        limit_s: stop the load after so many seconds, whatever has been seen by then.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        load = partial(run_load, rate_per_s=_RATE_PER_S, stop=stop, records=findings.records)
        nursery.start_soon(load, clients)
        with trio.move_on_after(limit_s):
            await trio.sleep(_BEFORE_S)
            findings.failure = await _kill_coordinator(control, findings, tell)
            findings.is_complete = True
        stop.set()


async def _kill_coordinator(control: TourControl, findings: Findings, tell: Tell) -> str:
    """Returns why the drill cannot go on, or nothing."""
    office = await control.find_office()
    if office is None:
        return "nobody coordinates"
    families = {name: find_family(pid) for name in control.front_ends if (pid := control.pid(name))}
    # No await from here to the kill: nothing of ours may happen in between.
    held = find_held_ports(families, control.target.address[1])
    control.kill(office.name)
    findings.killed = office.name
    findings.killed_at = trio.current_time()
    findings.killed_ports = frozenset(port for port, name in held.items() if name == office.name)
    findings.connections = dict(Counter(held.values()))
    tell.line(
        f"SIGKILL to {office.name}, coordinator of epoch {office.epoch}; connections held: "
        + ", ".join(f"{name} {findings.connections.get(name, 0)}" for name in families)
    )
    return await _watch_recovery(control, office, findings, tell)


async def _watch_recovery(
    control: TourControl, before: Office, findings: Findings, tell: Tell
) -> str:
    with trio.move_on_after(_COORDINATOR_MAX_S):
        await _wait_successor(control, before, findings)
    if findings.successor is None:
        return f"no new coordinator within {_COORDINATOR_MAX_S:g} s"
    tell.line(f"{findings.successor.name} coordinates, epoch {findings.successor.epoch}")
    with trio.move_on_after(_BACK_MAX_S):
        await control.wait_back(before.name)
        findings.back_s = trio.current_time() - findings.killed_at
    if findings.back_s is None:
        return f"{before.name} was not back within {_BACK_MAX_S:g} s"
    tell.line(f"{before.name} runs again and is back in the group")
    await trio.sleep(_AFTER_S)
    return ""


async def _wait_successor(control: TourControl, before: Office, findings: Findings) -> None:
    """Find the next coordinator, and the time without one.

    By its own account of when it took office where it gives one: asking takes a while itself.
    """
    while findings.successor is None:
        office = await control.find_office()
        now = trio.current_time()
        if office is not None and office.epoch > before.epoch:
            findings.successor = office
            findings.gap_s = max(0.0, now - (office.since_s or 0.0) - findings.killed_at)
        else:
            await trio.sleep(_LOOK_S)
