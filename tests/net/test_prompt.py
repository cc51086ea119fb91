"""Messages go out at once, in order, also when the socket takes a part of them; and come in so."""

import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.certificates import write_throwaway_certificates
from trioroute.net.prompt import PromptReader, PromptWriter

Tls = trio.SSLStream[trio.SocketStream]


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


@contextlib.asynccontextmanager
async def tls_ends(folder: Path) -> AsyncIterator[tuple[Tls, Tls]]:
    """The two ends of one session, ready."""
    certificates = write_throwaway_certificates(folder, ["a", "b"])
    (listening,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listening:
        near = await trio.open_tcp_stream("127.0.0.1", listening.socket.getsockname()[1])
        far = await listening.accept()
    dialling = trio.SSLStream(near, certificates["a"].dialling, server_hostname="b")
    accepting = trio.SSLStream(far, certificates["b"].accepting, server_side=True)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dialling.do_handshake)
            nursery.start_soon(accepting.do_handshake)
        await accepting.send_all(b"welcome")  # the first send takes the session's tickets along
        assert await dialling.receive_some(99) == b"welcome"
        yield dialling, accepting
    finally:
        near.socket.close()
        far.socket.close()


async def test_tls_is_written_without_any_task_from_either_end(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (dialling, accepting):
        for ours, theirs in [(dialling, accepting), (accepting, dialling)]:
            writer = PromptWriter(ours)
            writer.write(b"one ")
            writer.write(b"two")
            assert writer.backlog_bytes == 0
            with trio.fail_after(5):
                assert await theirs.receive_some(99) + await theirs.receive_some(99) == b"one two"


async def test_what_the_socket_takes_a_part_of_follows_in_order_over_tls(tmp_path: Path) -> None:
    """While this end reads too, as the slot link does."""
    blocks = [bytes([n]) * 100_000 for n in range(100)]
    async with tls_ends(tmp_path) as (ours, theirs), trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        writer = PromptWriter(ours)
        for block in blocks[:50]:
            writer.write(block)
        assert writer.backlog_bytes > 0
        nursery.start_soon(writer.run)
        nursery.start_soon(ours.receive_some, 99)
        await trio.testing.wait_all_tasks_blocked()
        for block in blocks[50:]:
            writer.write(block)
        received = bytearray()
        while len(received) < 10_000_000:
            received += await theirs.receive_some(1 << 20)
        assert received == b"".join(blocks)
        await trio.testing.wait_all_tasks_blocked()
        writer.write(b"calm again")
        assert writer.backlog_bytes == 0
        assert await theirs.receive_some(99) == b"calm again"
        nursery.cancel_scope.cancel()
        return
    pytest.fail("something was never written")


async def test_a_record_that_somebody_is_sending_goes_first(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """The reader may owe the session an answer: bytes of two records must never mix."""
    async with tls_ends(tmp_path) as (ours, theirs):
        writer = PromptWriter(ours)
        nursery.start_soon(writer.run)
        async with ours._inner_send_lock:
            writer.write(b"after it")
            assert writer.backlog_bytes == 8
            await trio.testing.wait_all_tasks_blocked()
        assert await theirs.receive_some(99) == b"after it"
        nursery.cancel_scope.cancel()


async def test_a_version_of_trio_without_these_parts_is_written_by_the_task(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trioroute.net.prompt._TLS_PARTS", ("_renamed",))
    async with tls_ends(tmp_path) as (ours, theirs):
        writer = PromptWriter(ours)
        writer.write(b"in time")
        assert writer.backlog_bytes == 7
        nursery.start_soon(writer.run)
        assert await theirs.receive_some(99) == b"in time"
        nursery.cancel_scope.cancel()


async def test_tls_over_anything_but_a_socket_is_written_by_the_task(tmp_path: Path) -> None:
    context = write_throwaway_certificates(tmp_path, ["a"])["a"].dialling
    writer = PromptWriter(trio.SSLStream(trio.testing.memory_stream_pair()[0], context))
    writer.write(b"later")
    assert writer.backlog_bytes == 5


async def test_a_broken_tls_connection_is_noticed_by_the_task_only(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (ours, _):
        writer = PromptWriter(ours)
        await trio.aclose_forcefully(ours)
        writer.write(b"too late")
        with pytest.raises((trio.ClosedResourceError, trio.BrokenResourceError)):
            await writer.run()


async def test_what_comes_over_tls_is_read_in_order_from_either_end(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    sent = b"".join(bytes([n]) * 10_000 for n in range(100))  # records that come in parts
    async with tls_ends(tmp_path) as (dialling, accepting):
        for ours, theirs in [(dialling, accepting), (accepting, dialling)]:
            nursery.start_soon(theirs.send_all, sent)
            reader, received = PromptReader(ours), bytearray()
            with trio.fail_after(20):
                while len(received) < len(sent):
                    received += await reader.receive_some()
            assert received == sent


class Steps(trio.abc.Instrument):
    """How often a task was run."""

    def __init__(self, task: trio.lowlevel.Task) -> None:
        self.task = task
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task is self.task


async def test_a_message_over_tls_costs_its_reader_one_turn(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (ours, theirs), trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + 20
        reader, writer, received = PromptReader(ours), PromptWriter(theirs), bytearray()
        tasks = []

        async def read() -> None:
            tasks.append(trio.lowlevel.current_task())
            while True:
                received.extend(await reader.receive_some())

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        steps = Steps(tasks[0])
        trio.lowlevel.add_instrument(steps)
        for n in range(10):
            writer.write(b"x")
            while len(received) <= n:
                await trio.lowlevel.checkpoint()
        trio.lowlevel.remove_instrument(steps)
        assert steps.count == 10
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_the_end_of_a_tls_session_is_told_as_the_stream_tells_it(
    tmp_path: Path, is_orderly: bool
) -> None:
    async with tls_ends(tmp_path) as (ours, theirs), trio.open_nursery() as nursery:
        nursery.start_soon(theirs.aclose if is_orderly else theirs.transport_stream.aclose)
        with trio.fail_after(5):
            if is_orderly:
                assert await PromptReader(ours).receive_some() == b""
            else:
                with pytest.raises(trio.BrokenResourceError):
                    await PromptReader(ours).receive_some()


async def test_what_is_no_record_of_the_session_breaks_it(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (ours, theirs):
        await theirs.transport_stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await PromptReader(ours).receive_some()


async def test_a_reset_connection_is_broken(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (ours, theirs):
        raw = theirs.transport_stream
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await raw.aclose()  # with that option: reset
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await PromptReader(ours).receive_some()


async def test_a_stream_that_is_closed_here_says_so(tmp_path: Path) -> None:
    async with tls_ends(tmp_path) as (ours, _), trio.open_nursery() as nursery:
        reader = PromptReader(ours)

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await reader.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await trio.aclose_forcefully(ours)
        nursery.start_soon(read)


async def test_who_is_cancelled_reads_nothing_more(tmp_path: Path) -> None:
    """A session that is replaced must not take what its successor's report overtakes."""
    async with tls_ends(tmp_path) as (ours, theirs):
        reader = PromptReader(ours)
        PromptWriter(theirs).write(b"x" * 40_000)
        await reader.receive_some()  # one record; the others are there
        with trio.CancelScope() as scope:
            scope.cancel()
            await reader.receive_some()
            pytest.fail("read on")


async def test_other_streams_are_read_by_their_own_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"in memory")
    assert await PromptReader(ours).receive_some() == b"in memory"
    monkeypatch.setattr("trioroute.net.prompt._TLS_PARTS", ("_renamed",))
    async with tls_ends(tmp_path) as (sealed, peer):
        await peer.send_all(b"by the stream")
        assert await PromptReader(sealed).receive_some() == b"by the stream"
