"""The complete codec: our grammar reads, h11 judges, and both must agree on every byte.

Slow and suspicious on purpose. It is the reference in tests and fuzzing, and may serve a
connection that the fast codec should not. h11 leaves holes (bare LF, folds, controls, Host, chunk
lines; contract, section 8), so the checks of `wire.heads` and `wire.chunks` come first.
"""

from typing import Final

import h11

from trioroute.errors import (
    BodyTooLargeError,
    BrokenAnswerError,
    InvariantError,
    MalformedRequestError,
)
from trioroute.wire.chunks import ChunkDecoder
from trioroute.wire.grammar import FIELD_LINE
from trioroute.wire.heads import (
    check_raw_head,
    read_request_line,
    read_status_line,
    understand_request,
    understand_response,
)
from trioroute.wire.http import Field, Framing, Limits, RequestHead, ResponseHead
from trioroute.wire.partial import PartialHead

__all__ = ["CompleteRequestDecoder", "CompleteResponseDecoder"]

#: h11 counts an unfinished event; ours are cut before it sees them, so only chunk lines count.
_H11_EVENT_BYTES_MAX: Final = 1024 * 1024


class _Judged:
    """What both decoders share: bytes held back, and a body that h11 and we read alike."""

    def __init__(self, limits: Limits, *, is_request: bool) -> None:
        self._limits = limits
        self._partial = PartialHead(limits, is_request=is_request)
        self._held = b""
        self._framing = Framing.NONE
        self._chunks = ChunkDecoder(limits)
        self._judge = h11.Connection(h11.SERVER)
        self.body_done = True
        self.trailers: list[Field] = []

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet parsed."""
        return len(self._held) + len(self._partial.buffer)

    def take_held(self) -> bytes:
        """Hand over all unparsed bytes and forget them."""
        held = self._partial.take() + self._held
        self._held = b""
        return held

    def _cut_head(self, data: bytes) -> bytes | None:
        data, self._held = self._held + data, b""
        cut = self._partial.cut(data)
        if cut is None:
            return None
        raw, self._held = cut
        return raw

    def _start_body(self, framing: Framing) -> None:
        self._framing = framing
        self._chunks = ChunkDecoder(self._limits)
        self.trailers = []
        self.body_done = framing is Framing.NONE
        if self.body_done and self._judge.their_state is h11.SEND_BODY:
            self._read_judged()
            _agree(self._judge.their_state is h11.SEND_BODY, False, "whether a body follows")

    def _read_body(self, data: bytes) -> bytes:
        data, self._held = self._held + data, b""
        if self.body_done:
            self._held = data
            return b""
        if self._framing is not Framing.CHUNKED:
            body = self._feed_judge(data)
            self._held = self._judge.trailing_data[0]
            return body
        own, self._held = self._chunks.feed(data)
        body = self._feed_judge(data[: len(data) - len(self._held)])
        _agree((body, self.body_done), (own, self._chunks.done), "a chunked body")
        self.trailers = self._chunks.trailers if self._chunks.done else []
        return body

    def _feed_judge(self, data: bytes) -> bytes:
        if data:  # h11 takes an empty feed as the end of the connection
            self._judge.receive_data(data)
        return self._read_judged()

    def _read_judged(self) -> bytes:
        pieces: list[bytes] = []
        while True:
            try:
                event = self._judge.next_event()
            except h11.RemoteProtocolError as error:
                raise MalformedRequestError("the judge refuses the body") from error
            if isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.body_done = True
                return b"".join(pieces)
            else:
                return b"".join(pieces)


class CompleteRequestDecoder(_Judged):
    """See `wire.http.RequestDecoder`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, is_request=True)
        self._head: RequestHead | None = None

    def feed_head(self, data: bytes = b"") -> RequestHead | None:
        """See `RequestDecoder.feed_head`."""
        if not self.body_done:
            raise InvariantError("feed_head before the body was read")
        raw = self._cut_head(data)
        if raw is None:
            return None
        method, target, minor, begin = read_request_line(raw, self._limits)
        check_raw_head(raw, self._limits)
        fields = _split_fields(raw[begin:])
        head = understand_request((method, target, minor), fields, raw)
        self._judge = h11.Connection(h11.SERVER, _H11_EVENT_BYTES_MAX)
        request = _judge_head(self._judge, raw)
        assert isinstance(request, h11.Request), "a whole head is a whole event"
        _agree((request.method, request.target), (method, target), "the request line")
        _agree(list(request.headers), _as_h11_writes(fields), "the fields")
        self._head = head
        self._start_body(head.framing)
        return head

    def limit_body(self, bytes_max: int) -> None:
        """See `RequestDecoder.limit_body`."""
        self._chunks.body_bytes_max = bytes_max
        if self._head is not None and self._head.content_length > bytes_max:
            raise BodyTooLargeError("the body is longer than the endpoint allows")

    def feed_body(self, data: bytes = b"") -> bytes:
        """See `RequestDecoder.feed_body`."""
        return self._read_body(data)

    def hold(self, data: bytes) -> None:
        """See `RequestDecoder.hold`."""
        self._held += data


class CompleteResponseDecoder(_Judged):
    """See `wire.http.ResponseDecoder`."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, is_request=False)
        self._method = b""
        self._answered: ResponseHead | None = None
        self._interim_count = 0

    @property
    def reusable(self) -> bool:
        """See `ResponseDecoder.reusable`."""
        if not self.body_done or self.held_bytes:
            return False
        head = self._answered
        return not self._method if head is None else head.keep_alive and head.status >= 200

    def begin(self, method: bytes) -> None:
        """See `ResponseDecoder.begin`."""
        if not self.reusable:
            raise InvariantError("a request on a connection whose last answer is not done")
        self._method = method
        self._answered = None
        self._interim_count = 0
        self._judge = h11.Connection(h11.CLIENT, _H11_EVENT_BYTES_MAX)
        # The judge must believe that an upgrade was asked for: whether it was, the exchange knows.
        asked = [(b"host", b"x"), (b"upgrade", b"x"), (b"connection", b"upgrade")]
        self._judge.send(h11.Request(method=method, target=b"/", headers=asked))
        self._judge.send(h11.EndOfMessage())

    def feed_head(self, data: bytes = b"") -> ResponseHead | None:
        """See `ResponseDecoder.feed_head`."""
        if self._answered is not None or not self._method:
            raise InvariantError("feed_head without an open request")
        try:
            raw = self._cut_head(data)
            head = None if raw is None else self._read_head(raw)
        except MalformedRequestError as error:
            raise BrokenAnswerError(str(error)) from error
        if head is None:
            return None
        if head.status < 200 and head.status != 101:
            self._interim_count += 1
            if self._interim_count > self._limits.interim_count_max:
                raise BrokenAnswerError("too many interim answers")
        else:
            self._answered = head
        return head

    def feed_body(self, data: bytes = b"") -> bytes:
        """See `ResponseDecoder.feed_body`."""
        try:
            return self._read_body(data)
        except (MalformedRequestError, BodyTooLargeError) as error:
            raise BrokenAnswerError(str(error)) from error

    def feed_eof(self) -> None:
        """See `ResponseDecoder.feed_eof`."""
        if self._answered is None:
            raise BrokenAnswerError("closed before the answer's head was whole")
        if self.body_done:
            return
        self._judge.receive_data(b"")
        try:
            self._read_judged()
        except MalformedRequestError as error:
            raise BrokenAnswerError("closed before the answer's body was whole") from error

    def _read_head(self, raw: bytes) -> ResponseHead:
        status, minor, begin = read_status_line(raw)
        check_raw_head(raw, self._limits)
        fields = _split_fields(raw[begin:])
        head = understand_response(status, minor, fields, raw, self._method)
        response = _judge_head(self._judge, raw)
        assert isinstance(response, h11.InformationalResponse | h11.Response)
        _agree(response.status_code, status, "the status line")
        _agree(list(response.headers), _as_h11_writes(fields), "the fields")
        if status >= 200:
            self._start_body(head.framing)
        return head


def _split_fields(lines: bytes) -> list[Field]:
    fields: list[Field] = []
    for line in lines.split(b"\r\n")[:-2]:
        matched = FIELD_LINE.fullmatch(line)
        if matched is None:
            raise MalformedRequestError("not a field line")
        fields.append((matched[1].lower(), matched[2].rstrip(b" \t")))
    return fields


def _judge_head(judge: h11.Connection, raw: bytes) -> object:
    try:
        judge.receive_data(raw)
        return judge.next_event()
    except h11.RemoteProtocolError as error:
        raise MalformedRequestError("the judge refuses the head") from error


def _as_h11_writes(fields: list[Field]) -> list[Field]:
    """h11 writes codings in lower case and leaves everything else as it was received."""
    return [(n, v.lower()) if n == b"transfer-encoding" else (n, v) for n, v in fields]


def _agree(judged: object, own: object, about: str) -> None:
    """Refuse a message that h11 and we read in two ways, whoever of us is right."""
    if judged != own:
        raise MalformedRequestError(f"two parsers disagree about {about}")
