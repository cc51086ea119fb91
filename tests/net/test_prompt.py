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
        PromptWriter(stream).write(b"now")
        assert peer.recv(9) == b"now"
        await stream.aclose()


async def test_what_the_socket_does_not_take_follows_in_order() -> None:
    stream, peer = tcp_ends()
    writer, blocks = PromptWriter(stream), [bytes([n]) * 100_000 for n in range(100)]
    received = bytearray()

    def read_all() -> None:
        while data := peer.recv(1 << 20):
            received.extend(data)

    with peer:
        async with trio.open_nursery() as nursery:
            for block in blocks[:50]:
                writer.write(block)
            assert writer.backlog_bytes > 0
            nursery.start_soon(writer.run)
            nursery.start_soon(trio.to_thread.run_sync, read_all)
            await trio.testing.wait_all_tasks_blocked()
            for block in blocks[50:]:
                writer.write(block)
            while writer.backlog_bytes:
                await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_eof()
            nursery.cancel_scope.deadline = trio.current_time() + 5
            while len(received) < 10_000_000:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert bytes(received) == b"".join(blocks)
    await trio.aclose_forcefully(stream)


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
    writer = PromptWriter(stream)
    await stream.aclose()
    writer.write(b"too late")
    with pytest.raises(trio.ClosedResourceError):
        await writer.run()
