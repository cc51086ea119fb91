"""How both codecs behave between messages: holding, handing over, repeating, misuse."""

import pytest

from trioroute.errors import BodyTooLargeError, InvariantError, MalformedRequestError
from trioroute.wire.complete import CompleteRequestDecoder, CompleteResponseDecoder
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import Framing, Limits, RequestDecoder, ResponseDecoder

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture(params=[FastRequestDecoder, CompleteRequestDecoder])
def requests(request: pytest.FixtureRequest) -> RequestDecoder:
    decoder: RequestDecoder = request.param(Limits())
    return decoder


@pytest.fixture(params=[FastResponseDecoder, CompleteResponseDecoder])
def responses(request: pytest.FixtureRequest) -> ResponseDecoder:
    decoder: ResponseDecoder = request.param(Limits())
    return decoder


def test_held_bytes_of_an_unfinished_head_are_counted_and_handed_over(
    requests: RequestDecoder,
) -> None:
    assert requests.feed_head(GET[:10]) is None
    assert requests.held_bytes == 10
    assert requests.take_held() == GET[:10]
    assert requests.held_bytes == 0


def test_bytes_held_during_an_exchange_are_the_next_request(requests: RequestDecoder) -> None:
    requests.feed_head(GET)
    requests.hold(POST[:4])
    requests.hold(POST[4:])
    assert requests.held_bytes == len(POST)
    head = requests.feed_head(b"hello")
    assert head is not None
    assert head.method == b"POST"
    assert requests.feed_body() == b"hello"


def test_bytes_after_an_upgrade_are_handed_over_unread(requests: RequestDecoder) -> None:
    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    head = requests.feed_head(upgrade + b"\0frame")
    assert head is not None
    assert head.upgrade == b"x"
    requests.hold(b"more")
    assert requests.take_held() == b"\0framemore"


def test_the_same_head_again_with_another_body(requests: RequestDecoder) -> None:
    for body in (b"hello", b"world", b"again"):
        head = requests.feed_head(POST + body[:2])
        assert head is not None
        assert head.framing is Framing.LENGTH
        assert not requests.body_done
        assert requests.feed_body() == body[:2]
        assert requests.feed_body(body[2:]) == body[2:]
        assert requests.body_done


def test_an_empty_line_before_each_repeated_head_in_pieces(requests: RequestDecoder) -> None:
    """Found by fuzzing: the line was remembered as seen when the head needed no parsing."""
    requests.feed_head(GET)
    for _ in range(2):
        assert requests.feed_head(b"\r\n") is None
        assert requests.feed_head(GET) is not None


def test_the_same_head_in_pieces(requests: RequestDecoder) -> None:
    requests.feed_head(GET)
    assert requests.feed_head(GET[:20]) is None
    assert requests.feed_head(GET[20:]) is not None
    assert requests.held_bytes == 0


def test_a_head_that_only_begins_like_the_last_one(requests: RequestDecoder) -> None:
    requests.feed_head(GET)
    assert requests.feed_head(GET[:-2]) is None
    head = requests.feed_head(b"X: y\r\n\r\n")
    assert head is not None
    assert head.index[b"x"] == b"y"


def test_large_heads_may_repeat_too(requests: RequestDecoder) -> None:
    large = GET[:-2] + b"X: %b\r\n\r\n" % (b"y" * 5000)
    for _ in range(2):
        head = requests.feed_head(large)
        assert head is not None
        assert len(head.index[b"x"]) == 5000


def test_the_next_head_is_not_read_before_the_body_is_done(requests: RequestDecoder) -> None:
    requests.feed_head(POST)
    with pytest.raises(InvariantError):
        requests.feed_head(GET)


def test_body_limits_hold_for_one_request_only(requests: RequestDecoder) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests.feed_head(chunked)
    requests.limit_body(2)
    assert requests.feed_body(b"2\r\nhi\r\n0\r\n\r\n") == b"hi"
    requests.feed_head(chunked)
    assert requests.feed_body(b"3\r\nhi!\r\n0\r\n\r\n") == b"hi!"
    requests.feed_head(POST)
    with pytest.raises(BodyTooLargeError):
        requests.limit_body(4)


def test_trailers_belong_to_one_request(requests: RequestDecoder) -> None:
    chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    requests.feed_head(chunked)
    requests.feed_body(b"0\r\nX: y\r\n\r\n")
    assert list(requests.trailers) == [(b"x", b"y")]
    requests.feed_head(GET)
    assert list(requests.trailers) == []


def test_trailers_are_not_shown_before_they_are_complete(requests: RequestDecoder) -> None:
    """Found by fuzzing: the two codecs differed."""
    requests.feed_head(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    requests.feed_body(b"0\r\nX: y\r\n")
    assert list(requests.trailers) == []
    requests.feed_body(b"\r\n")
    assert list(requests.trailers) == [(b"x", b"y")]


def test_a_broken_chunk_after_good_ones(requests: RequestDecoder) -> None:
    requests.feed_head(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert requests.feed_body(b"2\r\nhi\r\n") == b"hi"
    with pytest.raises(MalformedRequestError):
        requests.feed_body(b"x\r\n")


def test_exchanges_follow_one_another(responses: ResponseDecoder) -> None:
    for body in (b"hi", b"ho"):
        responses.begin(b"GET")
        assert not responses.reusable
        assert responses.feed_head(OK) is not None
        assert not responses.reusable
        assert responses.feed_body(body) == body
        assert responses.reusable


def test_the_same_head_means_another_framing_to_another_method(
    responses: ResponseDecoder,
) -> None:
    for method in (b"GET", b"HEAD", b"GET"):
        responses.begin(method)
        head = responses.feed_head(OK)
        assert head is not None
        assert head.framing is (Framing.NONE if method == b"HEAD" else Framing.LENGTH)
        if method == b"GET":
            responses.feed_body(b"hi")
        assert responses.reusable


def test_the_same_answer_in_pieces(responses: ResponseDecoder) -> None:
    for size in (len(OK), 10, len(OK)):
        responses.begin(b"GET")
        head = responses.feed_head(OK[:size])
        if size < len(OK):
            assert head is None
            assert responses.held_bytes == size
            head = responses.feed_head(OK[size:])
        assert head is not None
        responses.feed_body(b"hi")


def test_large_answers_may_repeat_too(responses: ResponseDecoder) -> None:
    large = OK[:-2] + b"X: %b\r\n\r\nhi" % (b"y" * 5000)
    for _ in range(2):
        responses.begin(b"GET")
        assert responses.feed_head(large) is not None
        assert responses.feed_body() == b"hi"


def test_switched_connections_hand_over_what_came_along(responses: ResponseDecoder) -> None:
    responses.begin(b"GET")
    head = responses.feed_head(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n\0frame"
    )
    assert head is not None
    assert head.upgrade == b"x"
    assert not responses.reusable
    assert responses.take_held() == b"\0frame"


def test_a_close_delimited_body_comes_as_it_arrives(responses: ResponseDecoder) -> None:
    responses.begin(b"GET")
    responses.feed_head(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert responses.feed_body() == b"ab"
    assert responses.feed_body(b"cd") == b"cd"
    done_before = responses.body_done
    responses.feed_eof()
    assert (done_before, responses.body_done, responses.reusable) == (False, True, False)


def test_a_head_that_nobody_asked_for(responses: ResponseDecoder) -> None:
    with pytest.raises(InvariantError):
        responses.feed_head(OK)
    responses.begin(b"GET")
    responses.feed_head(OK + b"hi")
    responses.feed_body()
    with pytest.raises(InvariantError):
        responses.feed_head(OK)


def test_no_request_on_a_connection_in_doubt(responses: ResponseDecoder) -> None:
    responses.begin(b"GET")
    responses.feed_head(OK + b"hi!")
    responses.feed_body()
    assert responses.held_bytes == 1
    with pytest.raises(InvariantError):
        responses.begin(b"GET")


def test_no_request_before_the_last_one_was_answered(responses: ResponseDecoder) -> None:
    responses.begin(b"GET")
    with pytest.raises(InvariantError):
        responses.begin(b"GET")
