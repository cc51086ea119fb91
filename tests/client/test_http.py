"""The admin client against the real admin API, strangers and silence."""

import socket
import subprocess
import sys
import threading

import pytest

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import listening_port, running_admin
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.roles import AdminToken, Role, digest_of_token
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.client.errors import ChangeUnknownError, ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.model import (
    CommandSource,
    Deployment,
    Endpoint,
    Probe,
    ScaleKind,
    ScaleSettings,
    ScriptSource,
    StaticSource,
)

ENDPOINTS = (
    Endpoint(name="echo", traffic={"blue": 100}, key_digests=(bytes(range(32)),), tags={"a": [1]}),
    Endpoint(name="other", anonymous=True, mount="/"),
)
DEPLOYMENTS = (
    Deployment(
        endpoint="echo",
        name="blue",
        source=ScriptSource(code="/c", script="s.py", environment={"A": "ü"}),
        scale=ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, max_instances=3),
        readiness=Probe(period_s=0.5),
    ),
    Deployment(endpoint="other", name="a", source=StaticSource(addresses=(("127.0.0.1", 1),))),
    Deployment(endpoint="other", name="b", source=CommandSource(command=("x",), cwd="/")),
)


def test_status_comes_as_values() -> None:
    with running_admin(SmallView()) as url:
        assert AdminClient(url).status() == STATUS


@pytest.mark.parametrize("readiness", [(True, "ready"), (False, "no coordinator known")])
def test_readiness_tells_why(readiness: tuple[bool, str]) -> None:
    with running_admin(SmallView(readiness=readiness)) as url:
        assert AdminClient(url).readiness() == readiness


def test_the_date_of_an_answer_is_its_clock() -> None:
    with running_admin(SmallView()) as url:
        ahead = AdminClient(url).clock_ahead_s()
    assert ahead is not None
    assert abs(ahead) < 5
    for line, seen in ((b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", True), (b"", False)):
        with listening_port(b"HTTP/1.1 200 OK\r\n" + line + b"content-length: 0\r\n\r\n") as port:
            ahead = AdminClient(f"http://127.0.0.1:{port}").clock_ahead_s()
        assert (ahead is not None) is seen
        assert ahead is None or ahead < -1e9


def test_a_registry_arrives_as_it_was_given() -> None:
    view = SmallView()
    with running_admin(view) as url:
        assert AdminClient(url).put_registry(ENDPOINTS, DEPLOYMENTS) == 42
    assert view.written == [(ENDPOINTS, DEPLOYMENTS)]


def test_orders_are_passed_on() -> None:
    view = SmallView()
    with running_admin(view) as url:
        AdminClient(url).transfer_coordinator()
        AdminClient(url + "/").drain()
    assert view.written == ["transfer", "drain"]


def test_the_token_is_sent_and_not_shown() -> None:
    policy = AdminPolicy(
        tokens=(AdminToken(name="t", role=Role.ADMIN, digest=digest_of_token("secret")),)
    )
    view = SmallView()
    with running_admin(view, policy) as url:
        client = AdminClient(url, token="secret")
        client.drain()
        assert "secret" not in repr(client)
        with pytest.raises(ProblemAnswerError, match="TR0806") as caught:
            AdminClient(url).drain()
    assert caught.value.answer_status == 401
    assert view.written == ["drain"]


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (RefusedError("no such endpoint: x"), "TR0809", "nothing has changed: no such endpoint: x"),
        (OutcomeUnknownError("timed out"), "TR0811", "not known whether the change was made"),
    ],
)
def test_problems_keep_their_code_and_words(failure: Exception, code: str, message: str) -> None:
    with (
        running_admin(SmallView(failure=failure)) as url,
        pytest.raises(ProblemAnswerError) as caught,
    ):
        AdminClient(url).put_registry(ENDPOINTS, DEPLOYMENTS)
    assert caught.value.code == code
    assert message in str(caught.value)


def test_nobody_listening_is_said_plainly() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}: Connection refused"):
            AdminClient(f"http://127.0.0.1:{port}").status()


def test_a_silent_listener_is_given_up() -> None:
    with (
        listening_port(answer=None) as port,
        pytest.raises(UnreachableError, match=r"did not answer within 0\.05 s"),
    ):
        AdminClient(f"http://127.0.0.1:{port}", timeout_s=0.05).status()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
def test_a_stranger_on_the_port_is_recognised(answer: bytes) -> None:
    with listening_port(answer) as port, pytest.raises(UnreachableError, match="admin"):
        AdminClient(f"http://127.0.0.1:{port}").status()


def test_an_answer_that_breaks_off_tells_nothing_about_the_change() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"
    with listening_port(answer) as port, pytest.raises(ChangeUnknownError, match="broke off"):
        AdminClient(f"http://127.0.0.1:{port}").drain()


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9090", "ftp://x", "http://", "http://x:port", "http://x/v1", "http://[::1"]
)
def test_what_is_no_address_is_told_so(url: str) -> None:
    with pytest.raises(UnreachableError, match="expected http://host:port"):
        AdminClient(url).status()


def test_reading_imports_nothing_that_starts_slowly() -> None:
    """What a read-only verb imports, by name: times differ from machine to machine."""
    script = "import sys, trioroute.cli.status; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    imported = set(done.stdout.split())
    assert "click" in imported
    slow = {"trio", "rich", "kubernetes", "cattrs", "starlette", "hypercorn", "prometheus_client"}
    assert not imported & slow


def test_a_change_whose_connection_breaks_may_have_been_made() -> None:
    """A server that reads the request and goes: reads are told so, changes are told more."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def hang_up() -> None:
            for _ in range(2):
                accepted, _ = server.accept()
                accepted.recv(65536)
                accepted.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ChangeUnknownError, match="not known whether it was made"):
            AdminClient(url).drain()
        with pytest.raises(UnreachableError) as caught:
            AdminClient(url).status()
        thread.join()
    assert not isinstance(caught.value, ChangeUnknownError)
    with pytest.raises(UnreachableError) as refused:
        AdminClient(url).drain()
    assert not isinstance(refused.value, ChangeUnknownError)
