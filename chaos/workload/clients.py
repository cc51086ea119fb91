"""The kinds of client: each sends one numbered request its own way and notes how it ended."""

import hashlib
import os
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import attrs
import trio

from chaos.history import Outcome, Request
from chaos.workload.answers import Answer, AnswerBrokenError, Wire

__all__ = ["CLIENT_KINDS", "Clients", "Door", "Shape"]

_RESETTING: Final = struct.pack("ii", 1, 0)

#: Connects that are refused are tried at the next front-end, for so long, seconds.
_CONNECT_MAX_S: Final = 5.0
_CONNECT_PAUSE_S: Final = 0.05

#: A client gives up so long after the deadline: later than the checker calls it hung.
_PATIENCE_S: Final = 5.0

_LARGE_BYTES: Final = 48 * 1024

#: What a request that is hidden in another one is numbered beyond it: nobody sends so many.
_HIDDEN: Final = 1_000_000_000

#: Between two bytes of who dawdles, seconds, and which of their bodies are streamed.
_DRIP_PAUSE_S: Final = 0.4
_STREAMED_EACH: Final = 16

#: A sip of an answer, how long until the next, seconds, and an answer's length, in nonces: some
#: megabytes, for the kernel takes two or three of them from the router before it has to wait.
_SIP_BYTES: Final = 4096
_SIP_PAUSE_S: Final = 0.05
_COPIES: Final = 600_000


Address = tuple[str, int]


class Door(Protocol):
    """Where requests go; the world behind it decides which front-ends are offered."""

    def order(self, number: int) -> list[tuple[str, "Address"]]:
        """Front-ends to try, name and address, best first. Name empty: shared socket."""
        ...

    def authorization(self) -> str:
        """The credential that is valid now."""
        ...


@attrs.frozen(kw_only=True)
class Shape:
    """What requests ask for.

    Attributes:
        path, chat_path: where to score, and where to upgrade.
        service_s: what an ordinary request costs a replica; streams take four times that.
        deadline_s: by when every request must have an outcome.
    """

    path: str
    chat_path: str
    service_s: float
    deadline_s: float


# house: one method a kind of client
class Clients:
    """All clients of a run: their requests, and the connections kept between them."""

    def __init__(self, door: Door, shape: Shape) -> None:
        self.requests: list[Request] = []
        #: Bytes that came on idle connections: an answer that nobody asked for (I1).
        self.unasked: list[str] = []
        #: The connections of requests that have not ended.
        self.under_way: dict[int, Wire] = {}
        self._door = door
        self._shape = shape
        self._kept: dict[Address, list[Wire]] = {}
        self._nonce_root = os.urandom(4).hex()

    async def send(self, kind: str) -> Request:
        """One request by one kind of client; returns when it has ended."""
        act, method, is_retryable = CLIENT_KINDS[kind]
        request = Request(
            number=len(self.requests) + 1,
            client=kind,
            method=method,
            is_retryable=is_retryable,
            sent_at=time.monotonic(),
            deadline_s=self._shape.deadline_s,
        )
        self.requests.append(request)
        with trio.move_on_after(self._shape.deadline_s + _PATIENCE_S) as scope:
            try:
                await act(self, request)
            except AnswerBrokenError as error:
                request.first_byte_at = error.first_byte_at
                self._end(request, Outcome.BROKEN, str(error))
        wire = self.under_way.pop(request.number, None)
        if scope.cancelled_caught:
            # Whose answer had begun was cut off from its end; that is another thing than silence.
            request.first_byte_at = wire.first_byte_at if wire else None
            heard = f"after {wire.received} bytes" if wire else "while connecting"
            self._end(request, Outcome.HUNG, heard)
        return request

    async def close(self) -> None:
        """Close what is kept open; what came on it meanwhile is noted."""
        for wires in self._kept.values():
            for wire in wires:
                self._is_quiet(wire)
                await trio.aclose_forcefully(wire.stream)
        self._kept.clear()

    # What the kinds are made of.

    async def ordinary(self, request: Request) -> None:
        """A small POST over a connection that is used again."""
        await self._exchange(request, b'{"data": [1, 2, 3]}')

    async def new_connection(self, request: Request) -> None:
        """A small POST over a connection of its own."""
        await self._exchange(request, b"{}", keeps=False)

    async def get(self, request: Request) -> None:
        """A GET, which may be retried."""
        await self._exchange(request, b"")

    async def keyed(self, request: Request) -> None:
        """A POST that says that it may be repeated."""
        more = f"idempotency-key: {self._nonce(request)}\r\n"
        await self._exchange(request, b"[1]", more=more)

    async def large(self, request: Request) -> None:
        """A body of many packets; the answer says its digest."""
        await self._exchange(request, os.urandom(_LARGE_BYTES))

    async def stream(self, request: Request) -> None:
        """An answer in pieces over some time."""
        more = "chaos-pieces: 5\r\n"
        await self._exchange(request, b"{}", more=more, service_s=self._shape.service_s * 4)

    async def slow(self, request: Request) -> None:
        """A client that takes its time to send its body."""
        await self._exchange(request, b"slow and steady", pause_s=0.02)

    async def slow_head(self, request: Request) -> None:
        """A head that comes byte by byte and never ends."""
        wire = await self._open(request)
        if wire is not None:
            async with wire.stream:
                await self._drip(request, wire, self._head(request, 2, "")[:-2])

    async def slow_body(self, request: Request) -> None:
        """A body that begins byte by byte and stops; some are streamed, which takes a slot."""
        wire = await self._open(request)
        if wire is None:
            return
        async with wire.stream:
            is_streamed = request.number % _STREAMED_EACH == 0
            more = "transfer-encoding: chunked\r\n" if is_streamed else ""
            await wire.send(self._head(request, None if is_streamed else 99, more))
            await self._drip(request, wire, b"63\r\nslow")

    async def slow_reader(self, request: Request) -> None:
        """Asks for more than lies ready on its way, and takes it in sips."""
        wire = await self._open(request)
        if wire is None:
            return
        async with wire.stream:
            wire.stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SIP_BYTES)
            await wire.send(self._head(request, 2, f"chaos-copies: {_COPIES}\r\n") + b"{}")
            answer, body = await wire.read_head(), bytearray()
            left = int(answer.fields.get("content-length", "0"))
            while left:
                sip = await wire.take(min(left, _SIP_BYTES))
                body += sip
                left -= len(sip)
                await trio.sleep(_SIP_PAUSE_S)
        self._judge(request, attrs.evolve(answer, body=bytes(body)), b"{}")

    async def leaver(self, request: Request) -> None:
        """A client that resets before it can have been answered."""
        wire = await self._open(request)
        if wire is None:
            return
        async with wire.stream:
            await wire.send(self._head(request, 2, "chaos-service: 0.2\r\n") + b"{}")
            await trio.sleep(0.01 * (request.number % 12))
            wire.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)
        self._end(request, Outcome.LEFT)

    async def smuggler(self, request: Request) -> None:
        """A request with two lengths, the body of which by one of them is a request by the other.

        It must be refused (RFC 9112 §6.1): where the hidden one runs, whoever stands before the
        router has seen no such request. Its number is nobody's.
        """
        wire = await self._open(request)
        if wire is None:
            return
        number = request.number + _HIDDEN
        hidden = self._head(attrs.evolve(request, number=number), 0, "connection: close\r\n")
        body = b"0\r\n\r\n" + hidden
        async with wire.stream:
            more = "transfer-encoding: chunked\r\n"
            await wire.send(self._head(request, len(body), more) + body)
            answer = await wire.read_answer()
            if not answer.closes:
                await wire.read_answer()
        self._judge(request, answer, b"")
        if (answer.status, answer.reason) == (400, "bad-request"):
            self._end(request, Outcome.REFUSED)

    async def chat(self, request: Request) -> None:
        """A WebSocket: three texts there and back, then an orderly end."""
        wire = await self._open(request)
        if wire is None:
            return
        async with wire.stream:
            key = b64encode(os.urandom(16)).decode()
            upgrade = (
                f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
                f"sec-websocket-key: {key}\r\n"
            )
            await wire.send(self._head(request, None, upgrade, path=self._shape.chat_path))
            answer = await wire.read_head()
            if answer.status != 101:
                body = await wire.take(int(answer.fields.get("content-length", "0")))
                self._judge(request, attrs.evolve(answer, body=body), b"")
                return
            said = [await self._say(wire, b"text %d" % number) for number in range(3)]
            await self._say(wire, b"", code=8)
        nonce = self._nonce(request).encode()
        request.is_own = said == [nonce + b" text %d" % number for number in range(3)]
        request.status, request.first_byte_at = 200, answer.first_byte_at
        self._end(request, Outcome.ANSWERED, "" if request.is_own else repr(said))

    async def _drip(self, request: Request, wire: Wire, data: bytes) -> None:
        """Send byte by byte, and then nothing, until somebody has had enough of it."""
        for byte in data:
            await wire.send(bytes((byte,)))
            with trio.move_on_after(_DRIP_PAUSE_S):
                await wire.wait_for_more()
                break
        self._judge(request, await wire.read_answer(), b"")

    async def _say(self, wire: Wire, text: bytes, *, code: int = 1) -> bytes:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        await wire.send(bytes((0x80 | code, 0x80 | len(text))) + mask + masked)
        head = await wire.take(2)
        return await wire.take(head[1] & 0x7F)

    async def _exchange(
        self,
        request: Request,
        body: bytes,
        *,
        more: str = "",
        service_s: float | None = None,
        keeps: bool = True,
        pause_s: float = 0.0,
    ) -> None:
        wire = await self._open(request, keeps=keeps)
        if wire is None:
            return
        try:
            service_s = self._shape.service_s if service_s is None else service_s
            more += f"chaos-service: {service_s}\r\n"
            more += "" if keeps else "connection: close\r\n"
            await wire.send(self._head(request, len(body), more) + (b"" if pause_s else body))
            for at in range(0, len(body) if pause_s else 0, 4):
                await trio.sleep(pause_s)
                await wire.send(body[at : at + 4])
            answer = await wire.read_answer()
        except BaseException:
            await trio.aclose_forcefully(wire.stream)
            raise
        self._judge(request, answer, body)
        if keeps and not answer.closes:
            self._kept.setdefault(wire.stream.socket.getpeername()[:2], []).append(wire)
        else:
            self._is_quiet(wire)
            await trio.aclose_forcefully(wire.stream)

    def _judge(self, request: Request, answer: Answer, body: bytes) -> None:
        request.status, request.reason = answer.status, answer.reason
        request.first_byte_at = answer.first_byte_at
        detail = ""
        if answer.status < 300:
            request.is_own = answer.body == self._expected(request, body)
            detail = "" if request.is_own else repr(answer.body[:80])
        self._end(request, Outcome.ANSWERED, detail)

    def _expected(self, request: Request, body: bytes) -> bytes:
        nonce = self._nonce(request).encode()
        if request.client == "slow-reader":
            return nonce * _COPIES
        if request.client == "stream":
            return b"".join(b"data: %b %d\n\n" % (nonce, number) for number in range(5))
        return nonce + b" " + hashlib.sha256(body).hexdigest().encode()

    def _end(self, request: Request, outcome: Outcome, detail: str = "") -> None:
        request.outcome, request.detail = outcome, detail
        request.ended_at = time.monotonic()

    def _nonce(self, request: Request) -> str:
        return f"{self._nonce_root}-{request.number}"

    def _head(
        self, request: Request, length: int | None, more: str, *, path: str | None = None
    ) -> bytes:
        lines = (
            f"{request.method} {path or self._shape.path} HTTP/1.1\r\nhost: chaos\r\n"
            f"authorization: {self._door.authorization()}\r\n"
            f"chaos-number: {request.number}\r\nchaos-nonce: {self._nonce(request)}\r\n"
        )
        if length is not None and request.method != "GET":
            lines += f"content-length: {length}\r\n"
        return f"{lines}{more}\r\n".encode()

    async def _open(self, request: Request, *, keeps: bool = False) -> Wire | None:
        """A connection that some front-end took; None, noted, when all refuse for long."""
        deadline = trio.current_time() + _CONNECT_MAX_S
        while trio.current_time() < deadline:
            for name, address in self._door.order(request.number):
                wire = self._take_kept(address) if keeps else None
                if wire is None:
                    wire = await self._connect(name, address)
                if wire is not None:
                    wire.begin()
                    self.under_way[request.number] = wire
                    request.front_end = name
                    return wire
                request.refusals += 1
            await trio.sleep(_CONNECT_PAUSE_S)
        self._end(request, Outcome.UNREACHED)
        return None

    def _take_kept(self, address: Address) -> Wire | None:
        """A kept connection that has not been closed meanwhile, as far as can be seen."""
        kept = self._kept.get(address, [])
        while kept:
            wire = kept.pop()
            if self._is_quiet(wire):
                return wire
            wire.stream.socket.close()
        return None

    def _is_quiet(self, wire: Wire) -> bool:
        """Whether an idle connection is open still and nothing came on it; what came is noted."""
        waiting = wire.leftover or _peek(wire.stream.socket.fileno())
        if waiting:
            self.unasked.append(f"{wire.front_end or 'somebody'} said {waiting!r} unasked")
        return waiting is None

    async def _connect(self, name: str, address: Address) -> Wire | None:
        sock = trio.socket.socket()
        try:
            await sock.connect(address)
        except OSError:
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(trio.SocketStream(sock), name)


def _peek(fileno: int) -> bytes | None:
    """What waits on an idle connection: None when nothing does, empty when it has ended."""
    with socket.socket(fileno=os.dup(fileno)) as sock:
        try:
            return sock.recv(40, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""


Act = Callable[[Clients, Request], Awaitable[None]]

#: Name: what it does, its method, whether the router may repeat it.
CLIENT_KINDS: Final[dict[str, tuple[Act, str, bool]]] = {
    "ordinary": (Clients.ordinary, "POST", False),
    "new": (Clients.new_connection, "POST", False),
    "get": (Clients.get, "GET", True),
    "keyed": (Clients.keyed, "POST", True),
    "large": (Clients.large, "POST", False),
    "stream": (Clients.stream, "POST", False),
    "slow": (Clients.slow, "POST", False),
    "slow-head": (Clients.slow_head, "POST", False),
    "slow-body": (Clients.slow_body, "POST", False),
    "slow-reader": (Clients.slow_reader, "POST", False),
    "leaver": (Clients.leaver, "POST", False),
    "chat": (Clients.chat, "GET", False),
    "smuggler": (Clients.smuggler, "POST", False),
}
