"""What a pod says of its surroundings, and that it needs nothing but Python to say it."""

import ast
import inspect
import json
import socket
import subprocess
import sys
from pathlib import Path

from trioroute.cli.kubedoctor import inside
from trioroute.cli.kubedoctor.inside import BYTES_MAX, look_around

#: By RFC 6761 no resolver knows it.
NOWHERE = "nowhere.invalid"


def test_it_stands_alone() -> None:
    tree = ast.parse(inspect.getsource(inside))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_each_target_and_path_has_its_word(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        found = look_around(
            [("localhost", port, "tcp"), ("localhost", 0, "name"), ("127.0.0.1", 9, "tcp")],
            [str(tmp_path), str(tmp_path / "gone")],
        )
    assert found == {"targets": ["", "", "Connection refused"], "paths": ["", "it is not there"]}
    (said,) = look_around([(NOWHERE, 443, "tls")], [])["targets"]
    assert said.startswith("its name is not found: ")


def test_a_door_without_tls_is_none_for_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        there.settimeout(10)
        port = there.getsockname()[1]
        wish = {"targets": [["127.0.0.1", port, "tls"]], "paths": []}
        process = subprocess.Popen(
            [sys.executable, "-c", inspect.getsource(inside), json.dumps(wish), "/dev/stdout"],
            stdout=subprocess.PIPE,
        )
        connection, _ = there.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        out, _ = process.communicate(timeout=30)
    (said,) = json.loads(out)["targets"]
    assert said.startswith("TLS: ")
    assert len(out) <= BYTES_MAX
