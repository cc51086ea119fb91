"""Messages go out at once, in order, also when the socket takes only a part of them."""

import socket

import pytest
import trio
import trio.testing

from trioroute.net.prompt import PromptWriter


def tcp_ends() -> tuple[trio.SocketStream, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    peer.settimeout(5)
    accepted.setblocking(False)
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted)), peer


async def test_a_socket_is_written_without_any_task() -> None:
    stream, peer = tcp_ends()
    with peer:
        async with stream:
            PromptWriter(stream).write(b"now")
            assert peer.recv(9) == b"now"


async def test_what_the_socket_does_not_take_follows_in_order(nursery: trio.Nursery) -> None:
    stream, peer = tcp_ends()
    writer, blocks = PromptWriter(stream), [bytes([n]) * 100_000 for n in range(100)]

    def read_all() -> bytes:
        received = b""
        while len(received) < 10_000_000:
            received += peer.recv(1 << 20)
        return received

    with peer:
        async with stream:
            for block in blocks[:50]:
                writer.write(block)
            assert writer.backlog_bytes > 0
            nursery.start_soon(writer.run)
            await trio.testing.wait_all_tasks_blocked()
            for block in blocks[50:]:
                writer.write(block)
            assert await trio.to_thread.run_sync(read_all) == b"".join(blocks)
            nursery.cancel_scope.cancel()


async def test_other_streams_are_written_by_the_task(nursery: trio.Nursery) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    writer = PromptWriter(ours)
    nursery.start_soon(writer.run)
    writer.write(b"one ")
    writer.write(b"two")
    await trio.testing.wait_all_tasks_blocked()
    assert await theirs.receive_some(99) == b"one two"


async def test_a_broken_connection_is_noticed_by_the_task_only() -> None:
    stream, peer = tcp_ends()
    peer.close()
    await stream.aclose()
    writer = PromptWriter(stream)
    writer.write(b"too late")
    with pytest.raises(trio.ClosedResourceError):
        await writer.run()
