"""The scoring client against a socket that says exactly what the test wants."""

import pytest
import trio

from trioroute.demo.scoring import BrokenConnectionError, ScoringConnection, ScoringTarget

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Reason: x\r\n\r\nok"


class Server:
    """Answers each request on one connection with the next of the given texts."""

    def __init__(self, *says: bytes, closes: bool = False) -> None:
        self.says = says
        self.closes = closes
        self.received: list[bytes] = []

    async def run(self, *, task_status: trio.TaskStatus[ScoringTarget]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        task_status.started(ScoringTarget(f"http://127.0.0.1:{port}/score", "secret"))
        async with listener, await listener.accept() as stream:
            for text in self.says:
                self.received.append(await stream.receive_some())
                await stream.send_all(text)
            if not self.closes:
                await trio.sleep_forever()


async def connect(nursery: trio.Nursery, server: Server) -> tuple[ScoringTarget, ScoringConnection]:
    target = await nursery.start(server.run)
    return target, await ScoringConnection.open(target)


async def test_sends_the_key_and_reads_answers_on_one_connection() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    server = Server(OK, b"HTTP/1.1 100 Continue\r\n\r\n" + chunked)
    async with trio.open_nursery() as nursery:
        target, connection = await connect(nursery, server)
        first = await connection.score(target.request(b"{}"))
        assert (first.status, first.body, first.fields[b"x-reason"]) == (200, b"ok", b"x")
        assert connection.is_usable
        assert (await connection.score(target.request(b"{}"))).body == b"ok"
        nursery.cancel_scope.cancel()
    connection.close()
    assert server.received[0].startswith(b"POST /score HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer secret\r\n" in server.received[0]
    assert server.received[0].endswith(
        b"\r\ncontent-length: 2\r\nauthorization: Bearer secret\r\n\r\n{}"
    )


@pytest.mark.parametrize("says", [b"", OK[:-1], OK[:20], b"HTTP/9 what\r\n\r\n"])
async def test_an_answer_that_is_not_whole_is_a_broken_connection(says: bytes) -> None:
    async with trio.open_nursery() as nursery:
        target, connection = await connect(nursery, Server(says, closes=True))
        with pytest.raises(BrokenConnectionError):
            await connection.score(target.request(b"{}"))
    connection.close()


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    async with trio.open_nursery() as nursery:
        target, connection = await connect(nursery, Server(OK, closes=True))
        await connection.score(target.request(b"{}"))
    assert not connection.is_usable
    connection.close()


async def test_nobody_listening_is_a_broken_connection() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(BrokenConnectionError, match="cannot connect"):
        await ScoringConnection.open(ScoringTarget(f"http://127.0.0.1:{port}/score"))
