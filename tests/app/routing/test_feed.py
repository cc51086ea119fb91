"""Pictures change with the log and with an issuer's keys, and workers open their doors by them."""

from pathlib import Path

import trio

from tests.app.composed import Group, running_group
from tests.trust.test_tokens import AUDIENCE, ISSUER, key_set, rsa, signed
from trioroute.core.model import AuthMode, Deployment, Endpoint, StaticSource, TokenIssuer
from trioroute.trust.tokens import make_key

FAR_S = 4_000_000_000
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "exp": FAR_S}


async def status_of(group: Group, authorization: str) -> int:
    """What the endpoint says, 0 while it knows no keys; without a replica 503 is as good as 200."""
    stream = await trio.open_tcp_stream(*group.scoring)
    async with stream:
        head = (
            "POST /api/v1/service/issued/score HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n"
            f"authorization: Bearer {authorization}\r\nconnection: close\r\n\r\n"
        )
        await stream.send_all(head.encode())
        answer = b"".join([bytes(chunk) async for chunk in stream])
    if b"x-trioroute-error: no-issuer-keys" in answer:
        return 0
    return int(answer.split()[1])


async def settled(group: Group, authorization: str, status: int) -> None:
    with trio.fail_after(20):
        while await status_of(group, authorization) != status:  # noqa: ASYNC110 - no event to wait for
            await trio.sleep(0.05)


async def test_an_issuers_keys_reach_the_workers_and_roll_over(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    new = make_key(bytes(range(32)))
    old_token = signed(CLAIMS).decode()
    new_token = signed(CLAIMS, new, alg="Ed25519", kid="new").decode()
    issuer = TokenIssuer(issuer=ISSUER, audience=AUDIENCE, jwks=str(keys))
    endpoint = Endpoint(
        name="issued", auth_mode=AuthMode.AAD_TOKEN, token_issuer=issuer, traffic={"blue": 100}
    )
    blue = Deployment(
        endpoint="issued", name="blue", source=StaticSource(addresses=()), queue_wait_max_s=0.0
    )
    async with running_group(tmp_path, 1) as group:
        await group.door.put_registry((endpoint,), (blue,))
        await settled(group, old_token, 0)
        keys.write_bytes(key_set(rsa()))
        await settled(group, old_token, 503)
        assert await status_of(group, new_token) == 401
        keys.write_bytes(key_set(new, kid="new"))
        await settled(group, new_token, 503)
        assert await status_of(group, old_token) == 401
