"""The admin API's listeners: what each is bound to, and who may do what there."""

from pathlib import Path

import attrs
import pytest
import trio

from tests.admin.test_roles import TEXT
from tests.app.composed import running_group
from trioroute.admin.roles import Role
from trioroute.app.host.admin import AdminListeners, load_tokens, open_admin_listeners
from trioroute.app.host.ports import open_listening_socket
from trioroute.app.settings import FrontEndConfig
from trioroute.errors import ConfigError

CONFIG = FrontEndConfig(name="fe-0", data=Path("data"), peers=(), voters=1, admin_port=0)


def test_without_more_there_is_one_listener_that_answers_to_loopback_names() -> None:
    with open_admin_listeners(attrs.evolve(CONFIG, admin_host="0.0.0.0")) as listeners:
        ((_, policy),) = listeners.policies()
    assert (policy.is_loopback, policy.is_read_only, policy.tokens) == (True, False, ())


def test_tokens_make_other_names_safe_and_the_read_only_listener_has_none(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TEXT)
    config = attrs.evolve(
        CONFIG,
        admin_host="0.0.0.0",
        admin_tokens=tmp_path / "tokens",
        read_only_host="0.0.0.0",
        read_only_port=0,
    )
    with open_admin_listeners(config) as listeners:
        (_, full), (_, reading) = listeners.policies()
        ports = {listening.getsockname()[1] for listening, _ in listeners.policies()}
    assert [token.role for token in full.tokens] == [Role.READ, Role.ADMIN]
    assert (full.is_read_only, full.is_loopback) == (False, False)
    assert (reading.is_read_only, reading.is_loopback, reading.tokens) == (True, False, ())
    assert len(ports) == 2


def test_a_port_that_is_taken_is_named_and_the_other_closed() -> None:
    with open_listening_socket("127.0.0.1", 0, option="x") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="--read-only-port"):
            open_admin_listeners(attrs.evolve(CONFIG, read_only_port=port))


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--admin-tokens .*nowhere: No such file"):
        load_tokens(tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="binary: not UTF-8"):
        load_tokens(tmp_path / "binary")
    (tmp_path / "wrong").write_text("root x y\n")
    with pytest.raises(ConfigError, match=r"--admin-tokens .*wrong:1: the first word is a role"):
        load_tokens(tmp_path / "wrong")
    assert load_tokens(None) == ()


async def ask(address: tuple[str, int], method: str, path: str) -> bytes:
    stream = await trio.open_tcp_stream(*address)
    async with stream:
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n"
        await stream.send_all(f"{head}connection: close\r\n\r\n".encode())
        return b"".join([bytes(chunk) async for chunk in stream])


async def test_a_front_end_serves_both(tmp_path: Path) -> None:
    reading = open_listening_socket("127.0.0.1", 0, option="--read-only-port")
    address = reading.getsockname()

    def listeners(full: AdminListeners) -> AdminListeners:
        return attrs.evolve(full, read_only=reading)

    async with running_group(tmp_path, 1, change_listeners=listeners) as group:
        for path in ("/metrics", "/v1/status", "/livez"):
            assert (await ask(address, "GET", path)).startswith(b"HTTP/1.1 200 ")
        for method, path in (("POST", "/v1/drain"), ("GET", "/v1/registry")):
            assert (await ask(address, method, path)).startswith(b"HTTP/1.1 403 ")
        status = await group.door.status()
    assert status is not None
