"""The event stream: its rhythm, its end and its bound."""

import json

import pytest
import trio
from trio.testing import MockClock

from tests.admin.asgi import call
from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy, Guard
from trioroute.admin.stream import STREAMS_MAX
from trioroute.admin.views import build_app


def app_of(view: SmallView) -> Guard:
    return build_app(view, AdminPolicy(), desk=SmallDesk(), stopping=trio.Event())


async def test_a_stream_tells_every_second_and_ends_when_the_front_end_stops(
    autojump_clock: MockClock,
) -> None:
    stopping = trio.Event()
    app = build_app(SmallView(), AdminPolicy(), desk=SmallDesk(), stopping=stopping)
    async with trio.open_nursery() as nursery:

        async def stop() -> None:
            await trio.sleep(2.5)
            stopping.set()

        nursery.start_soon(stop)
        answer = await call(app, "GET", "/v1/stream")
    assert trio.current_time() < 3
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.body.decode().split("\n\n")[:-1]
    assert len(events) == 3
    for event in events:
        first, second = event.split("\n")
        assert first == "event: status"
        assert json.loads(second.removeprefix("data: "))["reporter"] == "fe-0"


async def test_too_many_streams_are_refused_and_ended_ones_do_not_count(
    autojump_clock: MockClock,
) -> None:
    app = app_of(SmallView())
    async with trio.open_nursery() as nursery:
        for _ in range(STREAMS_MAX):
            nursery.start_soon(call, app, "GET", "/v1/stream")
        await trio.testing.wait_all_tasks_blocked()
        answer = await call(app, "GET", "/v1/stream")
        assert (answer.status, answer.json()["code"]) == (503, "TR0812")
        nursery.cancel_scope.cancel()
    with trio.move_on_after(1.5):
        await call(app, "GET", "/v1/stream")
        pytest.fail("a stream ended that nobody stopped")
