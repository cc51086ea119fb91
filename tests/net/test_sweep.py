"""The sweep strikes what is late and finds out who left, with real sockets and given times."""

import socket
import struct
from collections.abc import Iterator

import attrs
import pytest

from trioroute.net.sweep import Sweep


@attrs.define(eq=False)
class Connection:
    """A client connection that notes what the sweep does to it."""

    sock: socket.socket
    deadline: float = float("inf")
    exchange: object | None = attrs.field(factory=object)
    seen_exchange: object | None = None
    shut_since: float | None = None
    half_close_grace_s: float = 1.0
    is_answering: bool = False
    struck: int = 0
    lost: int = 0

    @property
    def fd(self) -> int:
        """See `Swept`."""
        return self.sock.fileno()

    def strike(self, now: float) -> None:
        """See `Swept`."""
        self.struck += 1

    def lose_client(self) -> None:
        """See `Swept`."""
        self.lost += 1

    def close_if_idle(self, now: float) -> None:
        """See `Swept`."""


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """Our connection, and the client's end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    with accepted, client:
        yield Connection(accepted), client


Ends = tuple[Connection, socket.socket]


def watching(connection: Connection) -> Sweep:
    sweep = Sweep()
    sweep.connections.add(connection)
    sweep.active.add(connection)
    sweep.look(0.0)
    return sweep


def test_a_passed_deadline_strikes_until_it_is_moved(ends: Ends) -> None:
    connection, _ = ends
    connection.deadline = 1.0
    sweep = watching(connection)
    sweep.look(0.9)
    assert connection.struck == 0
    sweep.look(1.0)
    sweep.look(1.1)
    assert connection.struck == 2


def test_a_reset_is_noticed_at_the_second_look(ends: Ends) -> None:
    connection, client = ends
    sweep = watching(connection)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    sweep.look(0.1)
    assert connection.lost == 1


def test_a_fin_counts_only_after_the_grace(ends: Ends) -> None:
    connection, client = ends
    sweep = watching(connection)
    client.shutdown(socket.SHUT_WR)
    sweep.look(0.1)
    sweep.look(0.1 + 1.0 - 0.01)
    assert connection.lost == 0
    sweep.look(0.1 + 1.0)
    assert connection.lost == 1


def test_a_fin_behind_unread_bytes_is_seen(ends: Ends) -> None:
    connection, client = ends
    sweep = watching(connection)
    client.sendall(b"pipelined")
    client.shutdown(socket.SHUT_WR)
    sweep.look(0.1)
    sweep.look(5.0)
    assert connection.lost == 1


def test_a_fin_after_the_answer_began_means_nothing(ends: Ends) -> None:
    connection, client = ends
    sweep = watching(connection)
    connection.is_answering = True
    client.shutdown(socket.SHUT_WR)
    sweep.look(0.1)
    sweep.look(5.0)
    assert connection.lost == 0


def test_the_grace_belongs_to_one_exchange(ends: Ends) -> None:
    connection, client = ends
    sweep = watching(connection)
    client.shutdown(socket.SHUT_WR)
    sweep.look(0.1)
    connection.exchange = object()
    sweep.look(1.05)
    sweep.look(1.15)
    assert connection.lost == 0


def test_idle_connections_are_looked_at_once_a_second(ends: Ends) -> None:
    connection, _ = ends
    connection.deadline = 1.0
    sweep = Sweep()
    sweep.connections.add(connection)
    for tick in range(1, 26):
        sweep.look(1.0 + tick * 0.04)
    assert connection.struck == 1
