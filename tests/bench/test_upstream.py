"""The bench's upstream answers every request once, however its bytes arrive."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.bench.upstream import LARGE_BYTES, SMALL_ANSWER, Upstream

SMALL = b"POST /score HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\n12345"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with contextlib.closing(Upstream(0)) as server:
        yield server


@pytest.fixture
def client(upstream: Upstream) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=5) as sock:
        upstream.turn(5)
        yield sock


def test_a_request_is_answered(upstream: Upstream, client: socket.socket) -> None:
    client.sendall(SMALL)
    upstream.turn(5)
    assert client.recv(4096) == SMALL_ANSWER


def test_a_request_that_arrives_byte_by_byte_is_answered_once(
    upstream: Upstream, client: socket.socket
) -> None:
    for number in range(len(SMALL)):
        client.sendall(SMALL[number : number + 1])
        upstream.turn(5)
    assert client.recv(4096) == SMALL_ANSWER


def test_requests_in_a_row_are_each_answered(upstream: Upstream, client: socket.socket) -> None:
    client.sendall(SMALL * 3)
    upstream.turn(5)
    assert client.recv(4096) == SMALL_ANSWER * 3


def test_a_request_without_a_body_is_answered(upstream: Upstream, client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    upstream.turn(5)
    assert client.recv(4096) == SMALL_ANSWER


def test_a_large_answer_is_sent_whole_to_a_slow_reader(
    upstream: Upstream, client: socket.socket
) -> None:
    body = b"x" * LARGE_BYTES
    client.setblocking(False)
    request = memoryview(b"POST /large HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    received = 0
    answer_bytes = SMALL_ANSWER.index(b"content-length: ") + 16 + 7 + 4 + LARGE_BYTES
    while received < answer_bytes:
        if request:
            request = request[client.send(request[:65536]) :]
        upstream.turn(0)
        try:
            received += len(client.recv(4096))
        except BlockingIOError:
            continue
    upstream.turn(0)
    with pytest.raises(BlockingIOError):
        client.recv(1)
