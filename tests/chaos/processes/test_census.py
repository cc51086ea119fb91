"""What the kernel says of a process of ours: of this one."""

import os
import socket

from chaos.processes.census import unconnected_descriptors


def test_connections_come_and_go_and_what_is_left_of_them_counts() -> None:
    before = unconnected_descriptors(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert unconnected_descriptors(os.getpid()) == before + 1
        with socket.create_connection(listener.getsockname()) as ours:
            theirs, _ = listener.accept()
            assert unconnected_descriptors(os.getpid()) == before + 1
            theirs.close()
            ours.settimeout(10)
            assert ours.recv(1) == b""
            assert unconnected_descriptors(os.getpid()) == before + 2, (
                "one that the peer has closed"
            )
    assert unconnected_descriptors(os.getpid()) == before
