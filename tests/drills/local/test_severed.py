"""A partition of processes that share one address."""

import contextlib
import os
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from trioroute.drills.local.severed import (
    Held,
    Links,
    Row,
    Severed,
    can_sever,
    sever,
    sort_links,
    unsever,
)

ONE, OTHER = 10, 20
PORT, OTHER_PORT = 7000, 7001
PORTS = frozenset({PORT, OTHER_PORT})

#: Who listens where, and connections as pairs of rows.
TABLE = [
    Row("l1", PORT, 0, state="0A"),
    Row("l2", OTHER_PORT, 0, state="0A"),
    Row("a1", 40001, OTHER_PORT),  # one → other
    Row("a2", OTHER_PORT, 40001),
    Row("b1", 40002, PORT),  # one → itself, as its own worker does
    Row("b2", PORT, 40002),
    Row("c1", 40003, OTHER_PORT),  # other → itself
    Row("c2", OTHER_PORT, 40003),
    Row("d1", 40004, 8080),  # a client
    Row("e1", 40005, OTHER_PORT),  # one → other, not accepted yet
    Row("0", OTHER_PORT, 40005),
    Row("f1", 40006, OTHER_PORT),  # other → itself, not accepted yet
    Row("0", OTHER_PORT, 40006),
    Row("g1", 40007, OTHER_PORT),  # somebody who is not known → other
    Row("g2", OTHER_PORT, 40007),
    Row("h2", OTHER_PORT, 40008),  # somebody who has gone → other
    Row("0", 40008, OTHER_PORT),
]
HELD = [
    *(Held(ONE, 3, inode) for inode in ("l1", "a1", "b1", "b2", "d1", "e1")),
    *(Held(OTHER, 3, inode) for inode in ("l2", "a2", "c1", "c2", "f1", "g2", "h2", "pipe")),
]


def inodes(held: tuple[Held, ...]) -> set[str]:
    return {each.inode for each in held}


def test_links_between_the_sides_are_told_from_those_within_one() -> None:
    links: Links = sort_links(TABLE, HELD, frozenset({ONE}), PORTS)
    assert inodes(links.deaf) == {"l1", "a1", "a2", "e1"}
    assert inodes(links.shut) == {"l2"}
    assert inodes(links.open) == {"c2"}
    assert links.unclear == {"g2"}


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if why := can_sever(os.getpid()):
            pytest.skip(f"SKIPPED severing sockets: {why}")
        listening.settimeout(10)
        yield listening


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


@contextlib.contextmanager
def dialler(listening: socket.socket) -> Iterator[tuple[int, socket.socket]]:
    """A child that dials when it is told to, says a byte, and ends when it has heard one."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            port = port_of(listening)
            listening.close()  # it is the other side's alone
            ours.close()
            theirs.recv(1)
            with socket.create_connection(("127.0.0.1", port), timeout=10) as dialled:
                dialled.send(b"q")
                theirs.send(b".")
                dialled.recv(1)
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        yield child, ours


def dial(line: socket.socket) -> None:
    """Returns when the child has dialled, and said its byte."""
    line.send(b".")
    line.recv(1)


def accept(listening: socket.socket) -> socket.socket:
    accepted, _ = listening.accept()
    accepted.settimeout(10)
    return accepted


def is_silent(sock: socket.socket | int) -> bool:
    """Whether nothing arrives; that takes a moment to see, else it would within a millisecond."""
    return not select.select([sock], [], [], 0.3)[0]


def cut_off(child: int, listening: socket.socket) -> Severed:
    """The child is the one that is cut off, this process plays the other side."""
    here = frozenset({os.getpid()})
    return Severed(one=frozenset({child}), others=here, ports=frozenset({port_of(listening)}))


def test_a_severed_link_is_silent_and_heals(listening: socket.socket) -> None:
    with dialler(listening) as (child, line):
        dial(line)
        with accept(listening) as accepted:
            assert accepted.recv(1) == b"q"
            sides = cut_off(child, listening)
            seen = sever(sides)
            assert sever(sides, seen) == seen
            accepted.send(b"x")
            pidfd = os.pidfd_open(child)
            assert is_silent(pidfd), "the child heard through the cut"
            os.close(pidfd)
            unsever(sides)
            # The kernel sends it again by itself, and the child ends by it.
            assert os.waitpid(child, 0) == (child, 0)


def test_a_link_that_is_dialled_out_of_the_cut_never_says_a_byte(listening: socket.socket) -> None:
    with dialler(listening) as (child, line):
        sides = cut_off(child, listening)
        seen = sever(sides)
        dial(line)
        with accept(listening) as accepted:
            assert is_silent(accepted), "a byte came before anybody had looked at the new link"
            seen = sever(sides, seen)
            assert is_silent(accepted), "a byte came over a link out of the cut"
            unsever(sides)
            assert accepted.recv(1) == b"q"
            accepted.send(b"x")
            assert os.waitpid(child, 0) == (child, 0)


def test_a_new_link_within_one_side_opens_when_its_far_end_is_known(
    listening: socket.socket,
) -> None:
    with dialler(listening) as (child, line):
        sides = attrs.evolve(
            cut_off(child, listening), one=frozenset(), others=frozenset({os.getpid(), child})
        )
        seen = sever(sides)
        dial(line)
        with accept(listening) as accepted:
            sever(sides, seen)
            assert accepted.recv(1) == b"q"
            accepted.send(b"x")
            assert os.waitpid(child, 0) == (child, 0)


def test_what_waits_to_be_accepted_when_the_cut_ends_hears_again(listening: socket.socket) -> None:
    with dialler(listening) as (child, line):
        sides = cut_off(child, listening)
        sever(sides)
        dial(line)
        with ThreadPoolExecutor(1) as pool:
            ending = pool.submit(unsever, sides)
            with accept(listening) as accepted:
                ending.result()
                assert accepted.recv(1) == b"q"
                accepted.send(b"x")
                assert os.waitpid(child, 0) == (child, 0)


def test_a_process_that_is_gone_cannot_be_severed() -> None:
    assert "has gone" in can_sever(2**22 + 1)
