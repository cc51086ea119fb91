"""Both kinds of hand-down deliver messages in order and tell when the other side has gone."""

import socket
from collections.abc import Callable

import pytest
import trio
import trio.testing

from trioroute.app.handdown import (
    SupervisorEnd,
    WorkerEnd,
    open_memory_hand_down,
    supervisor_end,
    worker_end,
)
from trioroute.errors import LinkLostError
from trioroute.wire.handdown import Drain, Ready, Stats, Stop

Open = Callable[[], tuple[SupervisorEnd, WorkerEnd]]


def open_socket_hand_down() -> tuple[SupervisorEnd, WorkerEnd]:
    upper, lower = socket.socketpair()
    return supervisor_end(upper), worker_end(lower)


both_kinds = pytest.mark.parametrize("open_ends", [open_socket_hand_down, open_memory_hand_down])


@both_kinds
async def test_messages_arrive_in_order_both_ways(open_ends: Open) -> None:
    upper, lower = open_ends()
    await upper.send(Drain(timeout_s=1.0))
    await upper.send(Stop())
    await lower.send(Ready())

    assert [await lower.receive(), await lower.receive()] == [Drain(timeout_s=1.0), Stop()]
    assert await upper.receive() == Ready()
    await upper.aclose()
    await lower.aclose()


@both_kinds
async def test_an_end_that_closes_is_noticed_by_the_other(open_ends: Open) -> None:
    upper, lower = open_ends()
    await upper.aclose()

    with pytest.raises(LinkLostError):
        await lower.receive()
    with pytest.raises(LinkLostError):
        await lower.send(Ready())
    await lower.aclose()


@both_kinds
async def test_a_receiver_waiting_on_its_own_end_is_woken_by_closing_it(open_ends: Open) -> None:
    upper, lower = open_ends()
    noticed: list[LinkLostError] = []

    async def receive() -> None:
        try:
            await upper.receive()
        except LinkLostError as error:
            noticed.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        await upper.aclose()
    assert noticed
    await lower.aclose()


async def test_long_messages_of_two_tasks_do_not_mix() -> None:
    upper, lower = open_socket_hand_down()
    long = [Stats(bytes([number]) * 1_000_000) for number in range(3)]
    received = []
    async with trio.open_nursery() as nursery:
        for message in long:
            nursery.start_soon(lower.send, message)
        for _ in long:
            received.append(await upper.receive())  # noqa: PERF401 - order of arrival

    assert sorted(m.record[:1] for m in received if isinstance(m, Stats)) == [b"\0", b"\1", b"\2"]
    await upper.aclose()
    await lower.aclose()


async def test_garbage_ends_the_hand_down() -> None:
    raw, lower_socket = socket.socketpair()
    lower = worker_end(lower_socket)
    raw.sendall(b"\xff\xff\xff\xff garbage")

    with pytest.raises(LinkLostError):
        await lower.receive()
    raw.close()
    await lower.aclose()
