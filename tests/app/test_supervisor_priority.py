"""Three bands through real sockets, the slot link and two front-ends; off unless told otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio

from tests.app.composed import Group, Silent, running_group
from trioroute.core.model import Deployment, Endpoint, StaticSource

#: As they come, after one that keeps the only slot; two of each band.
BANDS = ("low", "normal", "high", "low", "high", "")


@attrs.define
class Gated:
    """A replica of one slot that answers when it is let; each request's head as it came."""

    group: Group
    open_gate: trio.MemorySendChannel[None]
    gate: trio.MemoryReceiveChannel[None]
    heads: list[bytes] = attrs.field(factory=list)
    bodies: list[str] = attrs.field(factory=list)
    statuses: list[bytes] = attrs.field(factory=list)

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            received = b""
            while data := await stream.receive_some():
                received += data
                head, separator, body = received.partition(b"\r\n\r\n")
                if separator and body.endswith(b"."):
                    self.heads.append(head.lower())
                    self.bodies.append(body.decode())
                    await self.gate.receive()
                    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    received = b""

    async def ask(self, body: str, band: str) -> None:
        header = f"x-trioroute-priority: {band}\r\n" if band else ""
        async with await trio.open_tcp_stream(*self.group.scoring) as stream:
            head = (
                "POST /api/v1/service/gated/score HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                f"{header}content-length: {len(body)}\r\n\r\n{body}"
            )
            await stream.send_all(head.encode())
            answer = b"".join([bytes(chunk) async for chunk in stream])
            self.statuses.append(answer[:12])

    async def wait_for(self, *, begun: int, queued: int) -> None:
        """Until the replica has begun so many and the coordinator knows of so many waiting."""
        with trio.fail_after(60):
            while True:
                status = await self.group.door.status()
                if status is not None and len(self.bodies) == begun:
                    (deployment,) = status.endpoints[0].deployments
                    if deployment.queued == queued:
                        return
                await trio.sleep(0.01)


@asynccontextmanager
async def gated(folder: Path, *, front_ends: int, priority: bool) -> AsyncIterator[Gated]:
    async with trio.open_nursery() as nursery, running_group(folder, front_ends) as group:
        replica = Gated(group, *trio.open_memory_channel[None](100))
        listeners = await nursery.start(trio.serve_tcp, replica.serve, 0)
        port = listeners[0].socket.getsockname()[1]
        endpoint = Endpoint(name="gated", anonymous=True, traffic={"blue": 100}, priority=priority)
        deployment = Deployment(
            endpoint="gated",
            name="blue",
            source=StaticSource(addresses=(("127.0.0.1", port),)),
            queue_wait_max_s=100.0,
            request_timeout_s=100.0,
        )
        await group.door.put_registry((endpoint,), (deployment,))
        await group.door.wait_replicas({"gated/blue": 1}, Silent())
        yield replica
        nursery.cancel_scope.cancel()


async def served_order(replica: Gated) -> list[str]:
    """What the replica got, when one slot is taken and the others came one after another."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replica.ask, "first.", "")
        await replica.wait_for(begun=1, queued=0)
        for number, band in enumerate(BANDS):
            nursery.start_soon(replica.ask, f"{band or 'none'} {number}.", band)
            await replica.wait_for(begun=1, queued=number + 1)
        for _ in range(len(BANDS) + 1):
            replica.open_gate.send_nowait(None)
    return replica.bodies[1:]


async def test_bands_are_served_one_after_another_whichever_front_end_they_came_to(
    tmp_path: Path,
) -> None:
    async with gated(tmp_path, front_ends=2, priority=True) as replica:
        order = await served_order(replica)
    assert order == ["high 2.", "high 4.", "normal 1.", "none 5.", "low 0.", "low 3."]
    assert replica.statuses == [b"HTTP/1.1 200"] * 7
    assert not any(b"x-trioroute-priority" in head for head in replica.heads)


async def test_where_an_endpoint_does_not_allow_it_the_header_changes_nothing(
    tmp_path: Path,
) -> None:
    async with gated(tmp_path, front_ends=1, priority=False) as replica:
        order = await served_order(replica)
    assert order == ["low 0.", "normal 1.", "high 2.", "low 3.", "high 4.", "none 5."]
    assert not any(b"x-trioroute-priority" in head for head in replica.heads)


@pytest.mark.parametrize(
    ("priority", "status"), [(True, b"HTTP/1.1 400"), (False, b"HTTP/1.1 200")]
)
async def test_a_band_that_does_not_exist_is_refused_where_bands_do(
    priority: bool, status: bytes, tmp_path: Path
) -> None:
    async with gated(tmp_path, front_ends=1, priority=priority) as replica:
        replica.open_gate.send_nowait(None)
        await replica.ask("x.", "urgent")
    assert replica.statuses == [status]
