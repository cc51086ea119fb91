"""Front-end processes are started as a pod would start them, and started again when they end."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from trioroute.app.host.certificates import load_peer_tls
from trioroute.app.host.ports import ScoringSockets, open_listening_socket, reserved_ports
from trioroute.app.laptop.door import AdminDoor
from trioroute.app.laptop.front_ends import FrontEnds, Layout, make_peer_files
from trioroute.app.settings import FrontEndConfig, parse_front_end
from trioroute.errors import ConfigError


@contextlib.contextmanager
def layout_in(folder: Path, count: int) -> Iterator[Layout]:
    """A layout with free ports; the lock is any descriptor."""
    names = [f"fe-{number}" for number in range(count)]
    (folder / "log").mkdir(exist_ok=True)
    lock_fd = os.open(os.devnull, os.O_RDONLY)
    try:
        with (
            open_listening_socket("127.0.0.1", 0, option="--port") as listening,
            reserved_ports("127.0.0.1", 2 * count) as ports,
        ):
            yield Layout(
                data=folder,
                lock_fd=lock_fd,
                host="127.0.0.1",
                listening=ScoringSockets(listening),
                admin_ports=dict(zip(names, ports[:count], strict=True)),
                peer_ports=dict(zip(names, ports[count:], strict=True)),
                peer_files=make_peer_files(folder / "peers", names),
                workers=0,
                drain_s=1.0,
            )
    finally:
        os.close(lock_fd)


def test_the_command_line_is_one_that_a_front_end_understands(tmp_path: Path) -> None:
    with layout_in(tmp_path, 3) as layout:
        words = layout.front_end_command("fe-1", 5, left_fd=6)
    options = dict(zip(words[-28::2], words[-27::2], strict=True))
    config = FrontEndConfig(
        name=options["--name"], data=Path(), peers=(), voters=int(options["--voters"])
    )
    assert parse_front_end(config, options["--peers"]).voter_names == ("fe-0", "fe-1", "fe-2")
    assert options["--data"] == str(tmp_path / "fe-1")


def test_certificates_are_their_owners_only_and_new_each_time(tmp_path: Path) -> None:
    files = make_peer_files(tmp_path / "peers", ["fe-0", "fe-1"])["fe-1"]
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    load_peer_tls(files, "fe-1")
    before = files.authority.read_bytes()
    assert make_peer_files(tmp_path / "peers", ["fe-0", "fe-1"])["fe-1"] == files
    load_peer_tls(files, "fe-1")
    assert files.authority.read_bytes() != before


@pytest.mark.slow
async def test_a_killed_front_end_is_started_again_and_an_asked_one_is_not(tmp_path: Path) -> None:
    with layout_in(tmp_path, 1) as layout, trio.fail_after(50):
        front_ends = FrontEnds(layout)
        door = AdminDoor({"fe-0": layout.admin_url("fe-0")})
        async with trio.open_nursery() as nursery:
            front_ends.start(nursery)
            await door.wait_coordinator()
            first = front_ends.pid("fe-0")
            front_ends.kill("fe-0")
            while front_ends.pid("fe-0") in (None, first):  # noqa: ASYNC110 - a process table
                await trio.sleep(0.01)
            await door.wait_coordinator()
            assert front_ends.restarts == {"fe-0": 1}
            while "earlier processes ended" not in layout.log("fe-0").read_text():  # noqa: ASYNC110 - a file
                await trio.sleep(0.01)
            await front_ends.end()
            await trio.sleep(0.5)  # longer than the pause before a restart
            assert front_ends.pid("fe-0") is None
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_settings_that_cannot_work_are_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "fe-0").write_text("not a folder")
    with layout_in(tmp_path, 1) as layout:
        with pytest.raises(ExceptionGroup) as raised:
            async with trio.open_nursery() as nursery:
                FrontEnds(layout).start(nursery)
        assert raised.group_contains(
            ConfigError, match=r"fe-0 cannot start .*\n.*cannot be written"
        )


def test_once_it_has_served_nothing_that_befalls_one_ends_the_others(tmp_path: Path) -> None:
    with layout_in(tmp_path, 1) as layout:
        front_ends = FrontEnds(layout)
        with pytest.raises(ConfigError, match="fe-0 cannot start"):
            front_ends._judge("fe-0", 2)
        front_ends.note_served()
        front_ends._judge("fe-0", 2)
