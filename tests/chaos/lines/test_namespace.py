"""Network namespaces of our own."""

from pathlib import Path

import pytest

from chaos.faults import Need
from chaos.lines.namespace import Namespace
from chaos.processes.capabilities import is_possible

pytestmark = pytest.mark.skipif(not is_possible(Need.PACKETS), reason=f"needs {Need.PACKETS.value}")


def test_it_has_a_loopback_an_interface_and_nothing_else() -> None:
    one = Namespace("192.0.2.1", "peer", "192.0.2.2")
    try:
        with one.make_socket() as server, one.make_socket() as client:
            server.bind(("127.0.0.1", 0))
            server.listen()
            assert client.connect_ex(server.getsockname()) in (0, 115), "its own loopback"
        with one.make_socket() as elsewhere, pytest.raises(OSError, match="unreachable"):
            elsewhere.connect(("198.51.100.1", 1))
        assert one.path.exists()
    finally:
        one.close()
    assert not one.path.exists()


def test_ours_is_not_changed() -> None:
    before = Path("/proc/self/net/dev").read_text().count(":")
    one = Namespace("192.0.2.1", "peer", "192.0.2.2")
    try:
        assert Path("/proc/self/net/dev").read_text().count(":") == before
    finally:
        one.close()


def test_what_cannot_be_made_leaves_nothing_open() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(Exception, match="ip"):
        Namespace("no address")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
