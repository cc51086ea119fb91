"""Tokens are issued by any front-end, signed with keys that rotate, and revoked at once."""

import itertools
from typing import Any

import attrs
import pytest
import trio

from tests.admin.asgi import call
from tests.admin.small_desk import SECRET, SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.resources.desk import ConflictError, MissingError
from trioroute.admin.resources.tokens import TokenOffice
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.view import RefusedError
from trioroute.admin.views import build_app
from trioroute.core.model import AuthMode, Endpoint, TokenIssuer
from trioroute.core.resources.commands import PutEndpoint, SetTokenKeys
from trioroute.core.resources.state import TokenKey
from trioroute.errors import UnauthorizedError
from trioroute.trust.doorkeeper import Doorkeeper
from trioroute.wire.records import encode_state

DAY_S = 86_400.0
ENDPOINT = Endpoint(name="echo", auth_mode=AuthMode.AML_TOKEN)


@attrs.define
class Clock:
    """Unix time that tests move; sleeping moves it too."""

    now: float = 1_000_000.0
    slept: list[float] = attrs.field(factory=list)

    def unix_time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await trio.lowlevel.checkpoint()
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk() -> SmallDesk:
    made = SmallDesk()
    await made.change(PutEndpoint(endpoint=ENDPOINT))
    return made


@pytest.fixture
def office(desk: SmallDesk, clock: Clock) -> TokenOffice:
    return TokenOffice(desk, clock.unix_time, clock.sleep)


def is_open(desk: SmallDesk, token: str, now: float) -> bool:
    """What a worker that has just got its picture says."""
    snapshot = desk.registry.snapshot_for("fe-0/0")
    door = Doorkeeper()
    door.apply(snapshot.endpoints, snapshot.key_sets)
    (endpoint,) = snapshot.endpoints
    verdict = door.admit(endpoint, f"Bearer {token}".encode(), address="a", now=now)
    assert verdict.refusal in (None, UnauthorizedError)
    return verdict.refusal is None


async def test_a_token_opens_its_endpoint_until_it_expires(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    token = await office.issue("echo", 600)
    now = int(clock.now)
    assert (token.expiry_time_utc, token.refresh_after_time_utc) == (now + 600, now + 480)
    assert token.token_type == "Bearer"
    assert is_open(desk, token.access_token, clock.now)
    assert is_open(desk, token.access_token, now + 599.9)
    assert not is_open(desk, token.access_token, now + 600)


async def test_only_the_first_token_waits_until_workers_have_the_key(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    first, second = await office.issue("echo", 600), await office.issue("echo", 600)
    assert clock.slept == [1.0]
    assert first.access_token != second.access_token
    assert len(desk.state.token_keys["echo"]) == 1


async def test_a_key_signs_for_a_day_and_is_believed_as_long_as_its_tokens(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    issued = []
    for _ in range(6 * 24):
        token = await office.issue("echo", int(DAY_S))
        issued.append(token)
        assert all(
            is_open(desk, one.access_token, clock.now) == (one.expiry_time_utc > clock.now)
            for one in issued[-30::6]
        )
        clock.now += 3600.0
        assert len(desk.state.token_keys["echo"]) <= 3
    assert clock.slept == [1.0]
    made = [key.made_at_s for key in desk.state.token_keys["echo"]]
    assert all(later - earlier >= DAY_S for earlier, later in itertools.pairwise(made))


async def test_revoking_refuses_what_was_issued_and_nothing_later(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    before = await office.issue("echo", 600)
    await office.revoke("echo")
    assert not is_open(desk, before.access_token, clock.now)
    after = await office.issue("echo", 600)
    assert is_open(desk, after.access_token, clock.now)
    assert not is_open(desk, before.access_token, clock.now)


async def test_another_front_end_that_is_faster_makes_the_key(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    other = TokenOffice(desk, clock.unix_time, clock.sleep)
    key = other._new_key("echo", clock.now)
    desk.before.append(SetTokenKeys(endpoint="echo", keys=(key,), known=()))
    token = await office.issue("echo", 600)
    assert desk.state.token_keys["echo"] == (key,)
    assert is_open(desk, token.access_token, clock.now)


async def test_rotation_moves_no_version(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    version = desk.state.versions["echo"]
    await office.issue("echo", 600)
    clock.now += DAY_S
    await office.issue("echo", 600)
    assert desk.state.versions["echo"] == version


async def test_private_keys_are_in_the_log_under_the_secret_only(
    desk: SmallDesk, office: TokenOffice
) -> None:
    token = await office.issue("echo", 600)
    (key,) = desk.state.token_keys["echo"]
    purpose = f"token key echo {key.public.hex()}"
    seed = desk.vault.open_bytes(purpose, key.sealed)
    kept = encode_state(desk.state)
    assert key.public in kept
    assert seed not in kept
    assert token.access_token.encode() not in kept
    assert repr(key.sealed) not in repr(key)
    for other in ("echo", f"token key other {key.public.hex()}"):
        with pytest.raises(RefusedError, match="damaged"):
            desk.vault.open_bytes(other, key.sealed)


async def test_another_cluster_secret_signs_nothing(desk: SmallDesk, clock: Clock) -> None:
    await TokenOffice(desk, clock.unix_time, clock.sleep).issue("echo", 600)
    desk.vault = KeyVault(b"t" * len(SECRET))
    with pytest.raises(RefusedError, match="another cluster secret"):
        await TokenOffice(desk, clock.unix_time, clock.sleep).issue("echo", 600)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        (Endpoint(name="echo"), "does not use tokens"),
        (Endpoint(name="echo", auth_mode=AuthMode.AAD_TOKEN), "come from its issuer"),
        (
            Endpoint(
                name="echo",
                auth_mode=AuthMode.AAD_TOKEN,
                token_issuer=TokenIssuer(issuer="https://login.example", audience="x"),
            ),
            "come from https://login.example",
        ),
    ],
)
async def test_other_endpoints_have_no_tokens_of_ours(
    endpoint: Endpoint, why: str, clock: Clock
) -> None:
    desk = SmallDesk()
    await desk.change(PutEndpoint(endpoint=endpoint))
    office = TokenOffice(desk, clock.unix_time, clock.sleep)
    with pytest.raises(RefusedError, match=why):
        await office.issue("echo", 600)
    with pytest.raises(MissingError):
        await office.issue("nowhere", 600)


async def test_tokens_of_before_do_not_come_alive_again(
    desk: SmallDesk, clock: Clock, office: TokenOffice
) -> None:
    token = await office.issue("echo", 600)
    await desk.change(PutEndpoint(endpoint=Endpoint(name="echo")))
    await desk.change(PutEndpoint(endpoint=ENDPOINT))
    assert not is_open(desk, token.access_token, clock.now)


async def test_keys_that_somebody_else_replaced_are_not_overwritten(desk: SmallDesk) -> None:
    key = TokenKey(public=bytes(32), sealed=b"", made_at_s=0.0)
    await desk.change(SetTokenKeys(endpoint="echo", keys=(key,), known=()))
    with pytest.raises(ConflictError):
        await desk.change(SetTokenKeys(endpoint="echo", keys=(), known=()))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"{}", 200),
        (b'{"ttl_s": 60}', 200),
        (b'{"ttl_s": 59}', 400),
        (b'{"ttl_s": 86401}', 400),
        (b'{"ttl": 60}', 400),
    ],
)
async def test_the_api_issues_and_revokes(
    body: bytes, status: int, desk: SmallDesk, autojump_clock: object
) -> None:
    app = build_app(SmallView(), AdminPolicy(), desk=desk, stopping=trio.Event())
    answer = await call(app, "POST", "/v1/endpoints/echo/token", body)
    assert answer.status == status
    if status != 200:
        return
    token: dict[str, Any] = answer.json()
    assert token.keys() == {"accessToken", "expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"}
    assert answer.headers["cache-control"] == "no-store"
    assert is_open(desk, token["accessToken"], token["expiryTimeUtc"] - 1)
    assert (await call(app, "POST", "/v1/endpoints/echo/token/revoke", b"")).status == 200
    assert not is_open(desk, token["accessToken"], token["expiryTimeUtc"] - 1)
