"""A partition of processes that share one address."""

import os
import select
import socket
from collections.abc import Iterator

import pytest

from trioroute.drills.local.severed import (
    Held,
    Row,
    Severed,
    can_sever,
    pick_links,
    sever,
    unsever,
)

ONE, OTHER = 10, 20
PORT, OTHER_PORT = 7000, 7001
PORTS = frozenset({PORT, OTHER_PORT})

#: Who listens where, and connections as pairs of rows.
TABLE = [
    Row("l1", PORT, 0, is_listening=True),
    Row("l2", OTHER_PORT, 0, is_listening=True),
    Row("a1", 40001, OTHER_PORT, is_listening=False),  # one → other
    Row("a2", OTHER_PORT, 40001, is_listening=False),
    Row("b1", 40002, PORT, is_listening=False),  # one → itself, as its own worker does
    Row("b2", PORT, 40002, is_listening=False),
    Row("c1", 40003, OTHER_PORT, is_listening=False),  # other → itself
    Row("c2", OTHER_PORT, 40003, is_listening=False),
    Row("d1", 40004, 8080, is_listening=False),  # a client
    Row("e1", 40005, OTHER_PORT, is_listening=False),  # one → other, not accepted yet
    Row("f1", 40006, OTHER_PORT, is_listening=False),  # other → itself, not accepted yet
]
HELD = [
    *(Held(ONE, 3, inode) for inode in ("l1", "a1", "b1", "b2", "d1", "e1")),
    *(Held(OTHER, 3, inode) for inode in ("l2", "a2", "c1", "c2", "f1", "pipe")),
]


def test_only_links_between_the_sides_are_picked_and_the_one_sides_listener() -> None:
    picked = pick_links(TABLE, HELD, frozenset({ONE}), PORTS)
    assert {each.inode for each in picked} == {"l1", "a1", "a2", "e1"}


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket, socket.socket]]:
    """A listener, and both ends of a connection to it, all in this process."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as dialled,
    ):
        accepted, _ = listening.accept()
        with accepted:
            yield listening, dialled, accepted


def test_a_severed_link_is_silent_and_heals(
    pair: tuple[socket.socket, socket.socket, socket.socket],
) -> None:
    if why := can_sever(os.getpid()):
        pytest.skip(f"SKIPPED severing sockets: {why}")
    listening, dialled, accepted = pair
    port = listening.getsockname()[1]
    # One process plays both sides: what it dials is across, since it listens as the other side.
    child = os.fork()
    if child == 0:
        listening.close()
        accepted.close()
        os.read(dialled.fileno(), 1)
        os._exit(0)
    try:
        dialled.close()
        sides = Severed(
            one=frozenset({child}), others=frozenset({os.getpid()}), ports=frozenset({port})
        )
        seen = sever(sides)
        assert sever(sides, seen) == seen
        accepted.setblocking(False)
        accepted.send(b"x")
        # It would end within milliseconds; that it does not takes a moment to see.
        pidfd = os.pidfd_open(child)
        assert not select.select([pidfd], [], [], 0.3)[0], "the child heard through the cut"
        os.close(pidfd)
        unsever(sides)
        # The kernel sends it again by itself, and the child ends by it.
        assert os.waitpid(child, 0) == (child, 0)
    finally:
        listening.close()


def test_a_process_that_is_gone_cannot_be_severed() -> None:
    assert "has gone" in can_sever(2**22 + 1)
