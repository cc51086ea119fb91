"""Keys of a real issuer over HTTP and from files: fetched, rolled over, kept while it is away."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.trust.test_tokens import AUDIENCE, key_set, rsa
from trioroute.core.model import TokenIssuer
from trioroute.discovery.issuers import IssuerKeys, IssuerUnreachableError, fetch_key_set
from trioroute.trust.tokens import KEY_SET_BYTES_MAX, make_key

OLD = key_set(rsa())
NEW = key_set(make_key(bytes(range(32))), kid="new")


class Issuer:
    """An OpenID Connect issuer on loopback; `answers` is path → status, headers and body."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                status, headers, body = issuer.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, keys: bytes, *, named: str | None = None, jwks: str | None = None) -> None:
        document = {"issuer": named or self.url, "jwks_uri": jwks or f"{self.url}/keys"}
        discovery = json.dumps(document).encode()
        self.answers["/.well-known/openid-configuration"] = (200, {}, discovery)
        self.answers["/keys"] = (200, {}, keys)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def of(issuer: str, jwks: str | None = None) -> TokenIssuer:
    return TokenIssuer(issuer=issuer, audience=AUDIENCE, jwks=jwks)


async def test_discovery_says_where_the_keys_are(issuer: Issuer) -> None:
    issuer.publish(OLD)
    assert await fetch_key_set(of(issuer.url)) == OLD
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_url_is_asked_directly(issuer: Issuer) -> None:
    issuer.publish(OLD)
    assert await fetch_key_set(of("https://elsewhere.example", f"{issuer.url}/keys")) == OLD
    assert issuer.asked == ["/keys"]


async def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(OLD)
    assert await fetch_key_set(of("https://elsewhere.example", str(path))) == OLD
    with pytest.raises(IssuerUnreachableError, match=r"none\.json: No such file"):
        await fetch_key_set(of("x", str(tmp_path / "none.json")))


def _redirect(issuer: Issuer) -> None:
    issuer.publish(OLD)
    issuer.answers["/keys"] = (302, {"location": f"{issuer.url}/other"}, b"")
    issuer.answers["/other"] = (200, {}, OLD)


def _too_long(issuer: Issuer) -> None:
    issuer.publish(b" " * (KEY_SET_BYTES_MAX + 1))


FAULTS: dict[str, tuple[Callable[[Issuer], None], str]] = {
    "gone": (lambda _: None, "answers 404"),
    "redirect": (_redirect, "answers 302"),
    "too long": (_too_long, "more than 262144 bytes"),
    "another issuer": (lambda i: i.publish(OLD, named="https://evil.example"), "speaks for"),
    "a file": (lambda i: i.publish(OLD, jwks="/etc/passwd"), "no https:// URL"),
    "plain http": (lambda i: i.publish(OLD, jwks="http://far.example/k"), "no https:// URL"),
    "no document": (
        lambda i: i.answers.update({"/.well-known/openid-configuration": (200, {}, b"[]")}),
        "no discovery document",
    ),
}


@pytest.mark.parametrize(("prepare", "why"), FAULTS.values(), ids=FAULTS.keys())
async def test_what_is_wrong_is_said(
    prepare: Callable[[Issuer], None], why: str, issuer: Issuer
) -> None:
    prepare(issuer)
    with pytest.raises(IssuerUnreachableError, match=why):
        await fetch_key_set(of(issuer.url))
    assert "/other" not in issuer.asked


async def test_an_issuer_that_is_no_url_needs_to_say_where_its_keys_are() -> None:
    with pytest.raises(IssuerUnreachableError, match=r"set trioroute\.oidc\.jwks"):
        await fetch_key_set(of("accounts.example"))


async def test_nobody_there(issuer: Issuer) -> None:
    with pytest.raises(IssuerUnreachableError, match="Connection refused"):
        await fetch_key_set(of("x", "http://127.0.0.1:1/keys"))


class Shelf:
    """What each fetch gives: bytes, or an error to raise."""

    def __init__(self, given: bytes | Exception) -> None:
        self.given = given
        self.fetched: list[TokenIssuer] = []

    async def fetch(self, issuer: TokenIssuer) -> bytes:
        await trio.lowlevel.checkpoint()
        self.fetched.append(issuer)
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


AWAY = IssuerUnreachableError("away")
ONE, OTHER = of("https://one.example"), of("https://other.example")


async def test_keys_are_fetched_again_every_minute(autojump_clock: trio.testing.MockClock) -> None:
    shelf = Shelf(OLD)
    keys = IssuerKeys(shelf.fetch)
    keys.want({"a": ONE, "b": ONE})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        await keys.wait_unlike({})
        assert keys.key_sets() == {"a": OLD, "b": OLD}
        shelf.given = NEW
        with trio.fail_after(61):
            await keys.wait_unlike({"a": OLD, "b": OLD, "somebody else's": NEW})
        assert keys.key_sets() == {"a": NEW, "b": NEW}
        assert len(shelf.fetched) == 2
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("failure", [AWAY, b"no keys"])
async def test_while_an_issuer_is_away_its_last_keys_are_good_for_a_day(
    failure: Exception | bytes, autojump_clock: trio.testing.MockClock
) -> None:
    shelf = Shelf(OLD)
    keys = IssuerKeys(shelf.fetch)
    keys.want({"a": ONE})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        await keys.wait_unlike({})
        shelf.given = failure
        await trio.sleep(86_300)
        assert keys.key_sets() == {"a": OLD}
        await trio.sleep(200)
        assert keys.key_sets() == {}
        assert len(shelf.fetched) < 86_400 / 25  # tries get no denser than every half minute
        shelf.given = OLD
        with trio.fail_after(61):
            await keys.wait_unlike({})
        assert keys.key_sets() == {"a": OLD}
        nursery.cancel_scope.cancel()


async def test_what_nobody_wants_any_more_is_not_fetched(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shelf = Shelf(OLD)
    keys = IssuerKeys(shelf.fetch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keys.run)
        keys.want({"a": ONE})
        await keys.wait_unlike({})
        keys.want({"a": OTHER})
        await keys.wait_unlike({"a": OLD})
        assert keys.key_sets() == {}
        await keys.wait_unlike({})
        assert (keys.key_sets(), shelf.fetched) == ({"a": OLD}, [ONE, OTHER])
        keys.want({})
        await trio.sleep(600)
        assert shelf.fetched == [ONE, OTHER]
        nursery.cancel_scope.cancel()
