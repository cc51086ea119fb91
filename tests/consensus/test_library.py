"""Importing consensus leaves the process as it was."""

import subprocess
import sys

CODE = """
import socket
before = socket.inet_ntop, socket.inet_pton
import consensus
assert (socket.inet_ntop, socket.inet_pton) == before
"""


def test_the_socket_module_is_left_alone() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
