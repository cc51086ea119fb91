"""The API server's HTTP side: connections, framing, and every way in which it can fail.

HTTP/1.1 written down by hand on purpose: a fake that shares the router's parser would share its
faults, and cutting a watch in the middle of a line needs the bytes.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.requests import Answer, LogStream, PortForward, Request
from chaos.sim.kubernetes.watching import Watch
from chaos.sim.kubernetes_cluster.forwarding import serve_forward
from chaos.sim.kubernetes_cluster.tls import ServerTls

__all__ = ["ApiServer", "Faults"]

_HEAD_BYTES_MAX: Final = 65_536
#: How often a log that somebody follows is looked at, seconds.
_LOG_LOOK_S: Final = 0.2
_CHUNK_BYTES: Final = 65_536
_REASONS: Final = {200: "OK", 201: "Created", 304: "Not Modified"}
_NOT_MODIFIED: Final = 304
#: What an overloaded server says, as recorded: text, and when to come again.
_TOO_MANY: Final = Answer(
    status=429,
    body="Too many requests, please try again later.\n",
    headers={"retry-after": "1"},
)


@attrs.define
class Faults:
    """What is wrong with the server now; changed by a test while it runs.

    Attributes:
        delay_s: before each answer.
        is_frozen: nothing is answered and watches are silent, though connections are accepted.
        refuses: what to answer instead, or None for this request; sees every request.
        held: how many requests and events came late so far.
    """

    delay_s: float = 0.0
    is_frozen: bool = False
    refuses: Callable[[Request], Answer | None] = lambda _: None
    held: int = 0
    thawed: trio.Event = attrs.field(factory=trio.Event)

    def freeze(self) -> None:
        """Answer nothing until thawed."""
        self.is_frozen = True
        self.thawed = trio.Event()

    def thaw(self) -> None:
        """Go on where it stopped."""
        self.is_frozen = False
        self.thawed.set()

    def throttle(self, *methods: str) -> None:
        """Refuse requests of these methods, or all, with 429."""
        self.refuses = lambda request: (
            _TOO_MANY if not methods or request.method in methods else None
        )

    def heal(self) -> None:
        """Nothing is wrong any more."""
        self.delay_s = 0.0
        self.refuses = lambda _: None
        self.thaw()


class ApiServer:
    """Serves one cluster's API on streams or on a port."""

    def __init__(self, api: Api, tls: ServerTls | None = None) -> None:
        """Args:
        tls: to speak HTTPS on the port; `kubectl` sends no token over plain HTTP.
        """
        self.api = api
        self._tls = tls
        self.faults = Faults()
        #: Method and target of every request, in order.
        self.log: list[tuple[str, str]] = []
        #: How often each status was answered.
        self.statuses: Counter[int] = Counter()
        self.port = 0
        self._connections: set[trio.CancelScope] = set()
        self._watches: set[trio.CancelScope] = set()

    async def serve(
        self,
        *,
        host: str = "127.0.0.1",
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen until cancelled; started again it has the same port. Reports the port."""
        (listener,) = await trio.open_tcp_listeners(self.port, host=host)
        self.port = listener.socket.getsockname()[1]
        try:
            await trio.serve_listeners(
                self._accept, [listener], task_status=_Started(task_status, self.port)
            )
        finally:
            self.cut_all()

    @property
    def cluster(self) -> dict[str, Any]:
        """What a kubeconfig says of this server: where it is, and how to trust it."""
        if self._tls is None:
            return {"server": f"http://127.0.0.1:{self.port}"}
        return {"server": f"https://127.0.0.1:{self.port}", **self._tls.trust()}

    def cut_all(self) -> None:
        """Break every connection without a last chunk, as a killed server does."""
        for scope in [*self._connections]:
            scope.cancel()

    def cut_watches(self) -> None:
        """Break the connections of watches, in the middle of a line."""
        for scope in [*self._watches]:
            scope.cancel()

    @property
    def watch_count(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    async def _accept(self, stream: trio.SocketStream) -> None:
        if self._tls is None:
            await self.serve_stream(stream)
            return
        context = self._tls.context
        # HTTP says itself where it ends, so nobody takes leave in TLS.
        await self.serve_stream(
            trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        )

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        """Answer the requests of one connection until either side ends it."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                await self._serve(stream)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self._connections.discard(scope)
        await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        buffer = bytearray()
        while True:
            request = await _read_request(stream, buffer)
            if request is None:
                return
            self.log.append((request.method, request.target))
            if not await self._respond(stream, request):
                return

    async def _respond(self, stream: trio.abc.Stream, request: Request) -> bool:
        """Answer one request. Returns whether the connection can be used again."""
        await self._wait_thawed()
        if self.faults.delay_s:
            self.faults.held += 1
            await trio.sleep(self.faults.delay_s)
        refusal = self.faults.refuses(request)
        answer = refusal if refusal is not None else await self.api.answer(request)
        await self._wait_thawed()
        if isinstance(answer, Watch):
            return await self._run_watch(stream, answer)
        if isinstance(answer, LogStream):
            return await _send_log(stream, answer)
        if isinstance(answer, PortForward):
            await serve_forward(stream, answer)
            return False
        self.statuses[answer.status] += 1
        await stream.send_all(_encode(answer))
        return request.headers.get("connection", "").lower() != "close"

    async def _wait_thawed(self) -> None:
        self.faults.held += self.faults.is_frozen
        while self.faults.is_frozen:
            await self.faults.thawed.wait()

    async def _run_watch(self, stream: trio.abc.Stream, watch: Watch) -> bool:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
        await stream.send_all(head + b"transfer-encoding: chunked\r\n\r\n")
        client, is_whole = trio.CancelScope(), False
        with trio.CancelScope() as scope:
            self._watches.add(scope)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_when_gone, stream, client)
                    # A client that resets is as gone as one that closes.
                    with client, contextlib.suppress(trio.BrokenResourceError):
                        await self._send_events(stream, watch)
                        is_whole = True
                    nursery.cancel_scope.cancel()
            finally:
                self._watches.discard(scope)
        if scope.cancelled_caught:
            await stream.send_all(b'40\r\n{"type":"MODI')
        return is_whole

    async def _send_events(self, stream: trio.abc.Stream, watch: Watch) -> None:
        async with contextlib.aclosing(watch.events()) as events:
            async for event in events:
                await self._wait_thawed()
                line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
                await stream.send_all(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        await stream.send_all(b"0\r\n\r\n")


async def _send_log(stream: trio.abc.Stream, log: LogStream) -> bool:
    """Until its pod has gone, or the client. Returns whether the connection can be used again."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"
    await stream.send_all(head + _chunk(log.first))
    seen, client = len(log.text() or ""), trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, stream, client)
        with client:
            while (text := log.text()) is not None:
                if text[seen:]:
                    await stream.send_all(_chunk(text[seen:]))
                seen = len(text)
                await trio.sleep(_LOG_LOOK_S)
            await stream.send_all(b"0\r\n\r\n")
        nursery.cancel_scope.cancel()
    return not client.cancelled_caught


def _chunk(text: str) -> bytes:
    data = text.encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if data else b""


async def _cancel_when_gone(stream: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """A client says nothing during a watch but that it has gone."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.receive_some(1)
    scope.cancel()


class _Started:
    """Reports the port where the listener reports itself."""

    def __init__(self, task_status: trio.TaskStatus[int], port: int) -> None:
        self._task_status = task_status
        self._port = port

    def started(self, value: object = None) -> None:
        """Called by `serve_listeners`."""
        del value
        self._task_status.started(self._port)


async def _read_request(stream: trio.abc.Stream, buffer: bytearray) -> Request | None:
    """The next request of a connection, None when the client has ended it."""
    while b"\r\n\r\n" not in buffer:
        if len(buffer) > _HEAD_BYTES_MAX or not await _read_more(stream, buffer):
            return None
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    buffer[:] = rest
    while len(buffer) < length:
        if not await _read_more(stream, buffer):
            return None
    body = bytes(buffer[:length])
    del buffer[:length]
    return Request(method=method, target=target, headers=headers, body=body)


async def _read_more(stream: trio.abc.Stream, buffer: bytearray) -> bool:
    data = await stream.receive_some(_CHUNK_BYTES)
    buffer += data
    return bool(data)


def _encode(answer: Answer) -> bytes:
    body: Any = answer.body
    is_text = isinstance(body, str)
    data = body.encode() if is_text else json.dumps(body, separators=(",", ":")).encode() + b"\n"
    headers = {
        "content-type": "text/plain; charset=utf-8" if is_text else "application/json",
        "content-length": str(len(data)),
        "cache-control": "no-cache, private",
        **answer.headers,
    }
    if answer.status == _NOT_MODIFIED:
        # What the client has kept counts, its content type too.
        del headers["content-type"], headers["content-length"]
    reason = _REASONS.get(answer.status, "Status")
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + data
