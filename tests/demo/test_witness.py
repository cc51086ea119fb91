"""The kernel's word on who holds which connection."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest

from trioroute.demo.witness import find_family, find_held_ports

#: Accepts one connection on the inherited listening socket in a child of its own.
HOLDER = textwrap.dedent("""
    import os, socket, sys
    listening = socket.socket(fileno=int(sys.argv[1]))
    if os.fork():
        os.wait()
    else:
        connection, _ = listening.accept()
        connection.sendall(b"x")
        connection.recv(1)
""")


@pytest.mark.slow
def test_names_the_holder_of_each_accepted_connection_and_nothing_else() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(listening.fileno())], pass_fds=[listening.fileno()]
        ) as holder,
        socket.create_connection(listening.getsockname()) as accepted,
    ):
        accepted.recv(1)
        with socket.create_connection(listening.getsockname()):
            families = {"fe-0": find_family(holder.pid), "fe-1": find_family(os.getpid())}
            assert len(families["fe-0"]) == 2
            held = find_held_ports({"fe-0": families["fe-0"]}, listening.getsockname()[1])
        assert held == {accepted.getsockname()[1]: "fe-0"}
        accepted.sendall(b"x")


def test_a_process_that_has_gone_holds_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert find_held_ports({"fe-0": [2**22 + 1]}, listening.getsockname()[1]) == {}
