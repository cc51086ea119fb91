"""Conformance cases as data: what is sent, and what a codec must make of it.

One TOML file a direction. Text is Latin-1, one character a byte; a list is joined, and a table
`{text, times}` in it is repeated. `item` names the contract item that the case is about.
"""

import pathlib
import tomllib
from typing import Any, Final

import attrs

__all__ = ["RequestCase", "ResponseCase", "load_request_cases", "load_response_cases"]

_FOLDER: Final = pathlib.Path(__file__).parent


@attrs.frozen(kw_only=True)
class RequestCase:
    """One connection's bytes.

    Attributes:
        read: what each request must be read as, in order; only the named properties are compared.
        refused: the status of the refusal that comes after those, or None.
        early: the refusal must come although the message is not whole.
        held: how many bytes must be left unparsed at the end.
        limits: settings that differ from the defaults.
        body_max: the endpoint's body limit.
    """

    id: str
    item: int
    send: bytes
    why: str = ""
    read: tuple[dict[str, Any], ...] = ()
    refused: int | None = None
    held: int = 0
    limits: dict[str, Any] = attrs.field(factory=dict)
    body_max: int = 1 << 20


@attrs.frozen(kw_only=True)
class ResponseCase:
    """One upstream's bytes to one request, and how they end.

    Attributes:
        method: of the request that is answered.
        then: "keep", or "close" for a FIN after the bytes.
        heads: status of each head that must be read, interim ones included.
        head: properties of the final head; only the named ones are compared.
        body: of the final answer; None when it must not become whole.
        broken: BrokenAnswerError must be raised, before or after the body's beginning.
        reusable: whether the connection may be used again.
        held: how many bytes must be left over.
    """

    id: str
    item: int
    reply: bytes
    why: str = ""
    method: bytes = b"GET"
    then: str = "keep"
    heads: tuple[int, ...] = ()
    head: dict[str, Any] = attrs.field(factory=dict)
    body: bytes | None = None
    broken: bool = False
    reusable: bool = False
    held: int = 0
    limits: dict[str, Any] = attrs.field(factory=dict)


def load_request_cases() -> list[RequestCase]:
    """Every case of requests.toml, ids checked to be unique."""
    return [
        RequestCase(
            send=_bytes(case.pop("send")),
            read=tuple(_properties(read) for read in case.pop("read", [])),
            **case,
        )
        for case in _load("requests.toml")
    ]


def load_response_cases() -> list[ResponseCase]:
    """Every case of responses.toml, ids checked to be unique."""
    return [
        ResponseCase(
            reply=_bytes(case.pop("reply")),
            method=_bytes(case.pop("method", "GET")),
            heads=tuple(case.pop("heads", ())),
            head=_properties(case.pop("head", {})),
            body=_bytes(case.pop("body")) if "body" in case else None,
            **case,
        )
        for case in _load("responses.toml")
    ]


def _load(name: str) -> list[dict[str, Any]]:
    with (_FOLDER / name).open("rb") as file:
        cases: list[dict[str, Any]] = tomllib.load(file)["case"]
    ids = [case["id"] for case in cases]
    assert len(set(ids)) == len(ids), f"{name}: two cases with one id"
    return cases


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode("latin-1")
    if isinstance(text, dict):
        return _bytes(text["text"]) * int(text["times"])
    return b"".join(map(_bytes, text))


def _properties(read: dict[str, Any]) -> dict[str, Any]:
    return {name: _converted(value) for name, value in read.items()}


def _converted(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("latin-1")
    if isinstance(value, list):
        return [_converted(member) for member in value]
    if isinstance(value, dict):
        return {_bytes(key): _converted(member) for key, member in value.items()}
    return value
