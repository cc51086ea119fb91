"""A taken port names who has it."""

import contextlib
import os
import socket

import pytest

from trioroute.app.host.ports import (
    check_port_free,
    describe_port_owner,
    is_loopback,
    open_listening_socket,
    reserved_ports,
)
from trioroute.errors import ConfigError


def test_a_taken_port_is_reported_with_its_owner_and_the_option() -> None:
    with open_listening_socket("127.0.0.1", 0, option="--port") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} is taken by process {os.getpid()} "):
            open_listening_socket("127.0.0.1", port, option="--port")
        with pytest.raises(ConfigError, match=r"choose another port with --admin-port$"):
            check_port_free("127.0.0.1", port, option="--admin-port")


def test_a_free_port_stays_free_after_the_check() -> None:
    with reserved_ports("127.0.0.1", 1) as (port,):
        check_port_free("127.0.0.1", port, option="--port")
        check_port_free("127.0.0.1", port, option="--port")
        assert describe_port_owner(port) is None


def test_an_address_that_is_not_ours_is_a_message() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 192\.0\.2\.1 port 0"):
        open_listening_socket("192.0.2.1", 0, option="--port")


def test_reserved_ports_are_for_who_is_told_them_and_for_nobody_else() -> None:
    with reserved_ports("127.0.0.1", 20) as ports, contextlib.ExitStack() as stack:
        assert len(set(ports)) == 20
        for _ in range(2):  # and once more, as a front-end that is started again
            with open_listening_socket("127.0.0.1", ports[0], option="--port"):
                with pytest.raises(ConfigError):
                    check_port_free("127.0.0.1", ports[0], option="--port")
                socket.create_connection(("127.0.0.1", ports[0])).close()
        with pytest.raises(OSError, match="in use"):
            stack.enter_context(socket.socket()).bind(("127.0.0.1", ports[1]))


def test_the_listening_socket_accepts_without_blocking() -> None:
    with open_listening_socket("127.0.0.1", 0, option="--port") as listening:
        with pytest.raises(BlockingIOError):
            listening.accept()
        with socket.create_connection(listening.getsockname()):
            pass


def test_all_of_127_is_this_machine_and_names_are_not() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.8.7", "::1", "localhost")))
    assert not any(map(is_loopback, ("10.0.0.1", "fe-0.peers", "::", "0.0.0.0")))
