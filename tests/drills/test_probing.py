"""The drill's own requests."""

import json
import threading
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.drills.small_system import SmallSystem
from trioroute.demo.load import Record
from trioroute.demo.scoring import Answer
from trioroute.drills.evidence import Probe, Request
from trioroute.drills.probing import (
    Prober,
    find_body,
    longest_wait_s,
    open_prober,
    pick_rate,
    probe_of,
    request_of,
)
from trioroute.wire.resources import DeploymentResource, Resources


def test_a_request_becomes_evidence() -> None:
    answer = Answer(503, {b"x-trioroute-error": b"queue-full"}, b"")
    answered = Record(due_at=11.0, ended_at=11.5, port=7, answer=answer, unsent_s=0.2)
    broken = Record(due_at=11.0, ended_at=12.0, port=7, error="reset")
    assert request_of(answered, 10.0) == Request(
        due_s=1.0, ended_s=1.5, status=503, reason="queue-full", port=7, unsent_s=0.2
    )
    assert request_of(broken, 10.0) == Request(
        due_s=1.0, ended_s=2.0, status=0, reason="reset", port=7
    )


def test_the_packaged_example_has_a_request_of_its_own(tmp_path: Path) -> None:
    sample = tmp_path / "demo" / "digits" / "request.json"
    sample.parent.mkdir(parents=True)
    sample.write_text('{"data": []}')
    assert find_body(tmp_path, "digits") == b'{"data": []}'
    assert find_body(tmp_path, "echo") == find_body(None, "digits") == b"{}"


@pytest.mark.parametrize(
    ("wanted", "free", "service_s", "rate"),
    [
        (None, 2.0, 0.05, 20.0),  # half of what two slots can do
        (None, 100.0, 0.001, 40.0),
        (None, 0.5, 5.0, 2.0),
        (None, -3.0, 0.05, 2.0),
        (90.0, 0.1, 5.0, 90.0),
    ],
)
def test_the_rate_leaves_room(
    wanted: float | None, free: float, service_s: float, rate: float
) -> None:
    assert pick_rate(wanted, free, service_s) == pytest.approx(rate)


async def opened(system: SmallSystem) -> Prober:
    prober = await open_prober(system.client(), ["echo"], lambda _: b"{}")
    assert isinstance(prober, Prober), prober
    return prober


async def test_it_sends_at_its_rate_and_accounts_for_every_request(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    prober = await opened(system)
    began_at = trio.current_time()
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prober.run, 10.0, stop)
        await trio.sleep(2.05)
        stop.set()
    prober.close()
    requests = prober.requests(began_at)
    assert len(requests) in (20, 21)
    assert all(request.is_ok for request in requests)
    assert [request.due_s for request in requests] == sorted(r.due_s for r in requests)
    assert probe_of(prober, 10.0).endpoint == "echo"


async def test_what_was_under_way_when_it_was_cancelled_is_counted(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    prober = await opened(system)
    began_at = trio.current_time()
    go_on = threading.Event()
    system.before_scoring = go_on.wait
    with trio.move_on_after(1.05):
        await prober.run(10.0, trio.Event())
    go_on.set()
    prober.close()
    requests = prober.requests(began_at)
    assert requests
    assert all(request.is_under_way and not request.is_ok for request in requests)


async def test_an_endpoint_that_does_not_take_the_request_is_not_probed(
    system: SmallSystem,
) -> None:
    system.status = 422
    said = await open_prober(system.client(), ["echo"], lambda _: b"{}")
    assert isinstance(said, str)
    assert "422" in said
    assert "--body" in said
    assert probe_of(said, 10.0) == Probe(why_not=said)


@pytest.mark.parametrize(("names", "said"), [(["ecko"], "did you mean echo"), ([], "no endpoint")])
async def test_why_nothing_is_sent_is_said(
    system: SmallSystem, names: list[str], said: str
) -> None:
    assert said in str(await open_prober(system.client(), names, lambda _: b"{}"))


def test_the_longest_wait_is_what_the_endpoints_files_say() -> None:
    def deployment(endpoint: str, name: str, document: str) -> DeploymentResource:
        return DeploymentResource(endpoint, name, 1, 1, 1, document=document)

    def waits(wait_ms: int) -> str:
        return json.dumps({"content": {"request_settings": {"max_queue_wait_ms": wait_ms}}})

    found = Resources(
        index=1,
        endpoints=(),
        deployments=(
            deployment("echo", "blue", waits(2000)),
            deployment("echo", "green", waits(400)),
            deployment("echo", "old", ""),
            deployment("other", "blue", waits(9000)),
            deployment("mute", "blue", ""),
        ),
    )
    assert longest_wait_s(found, "echo") == 2.0
    assert longest_wait_s(found, "mute") is None
