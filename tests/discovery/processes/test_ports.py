"""Ports: free, not given twice, and below the range of outgoing connections."""

import random
import socket
from pathlib import Path

import pytest

from trioroute.discovery.processes.ports import LOOPBACK, NoPortError, PortChooser


def test_gives_free_ports_once_each_below_the_outgoing_ones() -> None:
    chooser = PortChooser(random.Random(1))
    ports = {chooser.take() for _ in range(20)}
    outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(ports) == 20
    assert all(20_000 <= port < outgoing for port in ports)


def test_leaves_out_a_port_that_somebody_listens_on() -> None:
    taken = PortChooser(random.Random(7)).take()
    with socket.socket() as listening:
        listening.bind((LOOPBACK, taken))
        listening.listen()
        assert PortChooser(random.Random(7)).take() == taken + 1


def test_a_port_given_back_is_given_again() -> None:
    class First(random.Random):
        def randrange(self, *_: object) -> int:
            return 0

    chooser = PortChooser(First())
    port = chooser.take()
    assert chooser.take() != port
    chooser.give_back(port)
    assert chooser.take() == port


def test_says_when_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outgoing = tmp_path / "range"
    outgoing.write_text("20001 60999\n")
    monkeypatch.setattr("trioroute.discovery.processes.ports._OUTGOING_RANGE", outgoing)
    chooser = PortChooser(random.Random(1))
    with socket.socket() as listening:
        listening.bind((LOOPBACK, 20_000))
        with pytest.raises(NoPortError, match="no free port from 20000 to 20000"):
            chooser.take()
