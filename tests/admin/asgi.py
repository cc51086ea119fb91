"""Calls an ASGI application without a server, one request at a time."""

import json
from collections.abc import Iterable
from typing import Any

import attrs
import trio
from starlette.types import ASGIApp, Message, Receive

__all__ = ["Answer", "call"]


@attrs.frozen
class Answer:
    """What the application sent."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] = b"",
    *,
    headers: dict[str, str] | None = None,
    receive: Receive | None = None,
) -> Answer:
    """One whole exchange. The client stays until the application is done.

    Args:
        receive: where the application gets the body from, instead of `body`.
    """
    sent: list[Message] = []
    pieces = [body] if isinstance(body, bytes) else list(body)

    async def receive_body() -> Message:
        if pieces:
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
        await trio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    given = {"host": "127.0.0.1:9090", "content-type": "application/json"} | (headers or {})
    await app(
        {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path.partition("?")[0],
            "raw_path": path.encode(),
            "query_string": path.partition("?")[2].encode(),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 9090),
        },
        receive or receive_body,
        send,
    )
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )
