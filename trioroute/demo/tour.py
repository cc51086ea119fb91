"""The tour of `up --demo`: real requests, the split, and a coordinator killed under load."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import trio
from rich.console import Console
from rich.table import Table

from trioroute.demo.control import Office, TourControl
from trioroute.demo.drill import Findings, run_drill
from trioroute.demo.load import Clients, Outcome, Record
from trioroute.demo.prepare import PreparedDemo
from trioroute.demo.scoring import BrokenConnectionError

__all__ = ["Office", "TourControl", "run_tour"]

#: Clients that keep their connections: enough that each front-end surely has some.
_CLIENT_COUNT: Final = 24

#: Requests that are shown one by one.
_SHOWN_COUNT: Final = 3

#: Requests whose answers are counted for the split: 90 and 10 for a split of 90/10.
_SPLIT_COUNT: Final = 100

#: Fewer front-ends have no majority left when one is killed.
_FRONT_ENDS_MIN: Final = 3

#: Grey scale for pixels of 0 to 16, and the width of the picture.
_SHADES: Final = " ░▒▓█"
_PIXEL_MAX: Final = 16
_ROW_PIXELS: Final = 8


async def run_tour(
    control: TourControl, demo: PreparedDemo, console: Console, *, limit_s: float | None = None
) -> int:
    """Show what the router does.

    Args:
        demo: what `prepare_demo` made; its endpoint is served by now.
        limit_s: end the load after so many seconds, whatever has been seen by then.

    Returns:
        0, or 1 when a request failed that was not lost with the killed front-end, or when the
        group did not recover.
    """
    cases = [json.loads(line) for line in demo.requests.read_text().splitlines()]
    clients = Clients(control.target, [json.dumps(case["request"]).encode() for case in cases])
    screen = _Screen(console, demo)
    findings = Findings()
    try:
        await _show_requests(clients, cases, findings, screen)
        await clients.open(_CLIENT_COUNT - 1)
        await _show_split(clients, findings, screen)
        if len(control.front_ends) < _FRONT_ENDS_MIN:
            screen.line("killing one of fewer than three front-ends leaves no majority: left out")
        else:
            screen.title("the coordinator is killed under load")
            limit = float("inf") if limit_s is None else limit_s
            await run_drill(control, clients, findings, screen, limit_s=limit)
    except BrokenConnectionError as error:
        findings.failure = f"the first request on a new connection: {error}"
    finally:
        clients.close()
    screen.conclude(findings)
    return 1 if findings.failure or findings.account().counts[Outcome.FAILED] else 0


async def _show_requests(
    clients: Clients, cases: Sequence[dict[str, Any]], findings: Findings, screen: "_Screen"
) -> None:
    screen.title("real requests")
    # This sends the first case, to introduce the connection.
    await clients.open(1)
    for case in cases[1 : 1 + _SHOWN_COUNT]:
        record = await clients.send(trio.current_time())
        findings.records.append(record)
        screen.draw(case["request"]["data"][0])
        screen.tell_answer(record, case["label"])


async def _show_split(clients: Clients, findings: Findings, screen: "_Screen") -> None:
    screen.title("the traffic split")
    records: list[Record] = []

    async def send() -> None:
        records.append(await clients.send(trio.current_time()))

    async with trio.open_nursery() as nursery:
        for _ in range(_SPLIT_COUNT):
            nursery.start_soon(send)
    findings.records += records
    screen.tell_split(Counter(record.model for record in records))


class _Screen:
    """What the tour looks like."""

    def __init__(self, console: Console, demo: PreparedDemo) -> None:
        self._console = console
        self._demo = demo

    def title(self, text: str) -> None:
        """A part of the tour begins."""
        self._console.print(f"\n[bold]{text}[/]")

    def line(self, text: str) -> None:
        """One thing happened."""
        self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def draw(self, pixels: Sequence[float]) -> None:
        """The picture that a request holds."""
        for top in range(0, len(pixels), _ROW_PIXELS):
            row = [min(int(value), _PIXEL_MAX - 1) for value in pixels[top : top + _ROW_PIXELS]]
            # Each pixel twice: a character is about twice as high as wide.
            self.line("".join(_SHADES[value * len(_SHADES) // _PIXEL_MAX] * 2 for value in row))

    def tell_answer(self, record: Record, label: int) -> None:
        """What the model made of it."""
        took_ms = (record.ended_at - record.due_at) * 1e3
        if record.answer is None or not record.is_ok:
            self.line(f"{record.failure} after {took_ms:.1f} ms")
            return
        digit = json.loads(record.answer.body)["digits"][0]
        self.line(f"read as {digit}, is {label}; {record.model} in {took_ms:.1f} ms")

    def tell_split(self, counts: Counter[str]) -> None:
        """Who answered how many requests."""
        for each in self._demo.models:
            self.line(
                f"{each.deployment:<6} {counts[each.model]:>3} of {counts.total()} requests   "
                f"{each.model}, reads {each.accuracy:.1%} of unseen digits"
            )

    def conclude(self, findings: Findings) -> None:
        """The summary, and every reason why something failed."""
        account = findings.account()
        answered = [record for record in findings.records if record.is_ok]
        slowest_s = max((each.ended_at - each.due_at for each in answered), default=None)
        table = Table(title="every request accounted for", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        table.add_row("sent", str(account.sent))
        for outcome, count in account.counts.items():
            table.add_row(outcome.value, str(count))
        table.add_section()
        table.add_row("new coordinator after", _in_ms(findings.gap_s))
        table.add_row("killed front-end back after", _in_ms(findings.back_s))
        table.add_row("slowest answer", _in_ms(slowest_s))
        self._console.print()
        self._console.print(table)
        for why, count in account.failures.items():
            self.line(f"{count} failed: {why}")
        if findings.failure:
            self.line(f"the drill ended early: {findings.failure}")


def _in_ms(duration_s: float | None) -> str:
    return "not seen" if duration_s is None else f"{duration_s * 1e3:,.0f} ms"
