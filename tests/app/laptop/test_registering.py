"""What `up` registers, through the real admin API."""

from pathlib import Path

import trio

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.app.laptop.registering import register
from trioroute.core.auth import is_authorized
from trioroute.spec.load import Loaded, load_paths

DEPLOYMENT = """\
name: blue
endpoint_name: NAME
instance_type: any
instance_count: 1
properties: {trioroute.addresses: "127.0.0.1:9401"}
"""


def files(folder: Path, name: str) -> Loaded:
    folder.mkdir()
    (folder / "e.yml").write_text(f"name: {name}\nauth_mode: key\ntraffic: {{blue: 100}}\n")
    (folder / "d.yml").write_text(DEPLOYMENT.replace("NAME", name))
    return load_paths([folder])


async def test_what_the_files_say_is_all_there_is_and_keys_stay(tmp_path: Path) -> None:
    desk = SmallDesk()
    said: list[str] = []
    with running_admin(SmallView(), desk=desk) as url:
        first = files(tmp_path / "one", "wine")
        made = await register([url], first, said.append)
        bearer = f"Bearer {made.keys['wine'].secondary}".encode()
        assert is_authorized(desk.state.endpoints["wine"], bearer)
        assert made.endpoints == {"wine": "/api/v1/service/wine/score"}
        assert made.wished == {"wine/blue": 1}
        assert await register([url], first, said.append) == made
        # Without files: the same, out of what is registered.
        assert await register([url], Loaded(endpoints=(), deployments=()), said.append) == made
        await register([url], files(tmp_path / "two", "iris"), said.append)
    assert set(desk.state.endpoints) == {"iris"}
    assert set(desk.state.deployments) == {"iris/blue"}
    assert "create endpoint wine" in said
    await trio.lowlevel.checkpoint()


async def test_a_request_beside_the_endpoints_file_is_told_again_later(tmp_path: Path) -> None:
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        made = await register([url], files(tmp_path / "one", "wine"), lambda _: None)
        assert made.samples == {}
        (tmp_path / "one" / "request.json").write_text("{}")
        # `up` without files, which runs what ran last.
        made = await register([url], Loaded(endpoints=(), deployments=()), lambda _: None)
        assert made.samples == {"wine": tmp_path / "one" / "request.json"}


async def test_which_endpoints_tokens_open_is_told(tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text("name: tok\nauth_mode: aml_token\n")
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        made = await register([url], load_paths([tmp_path]), lambda _: None)
    assert set(made.takes_tokens) == {"tok"}
    assert not made.keys
    await trio.lowlevel.checkpoint()
