"""Ports for processes that come back."""

import socket

from chaos.processes.ports import quiet_ports


def test_ports_are_different_free_and_not_the_kernels_to_deal_out() -> None:
    ports = quiet_ports(40)
    assert len(set(ports)) == 40
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert max(ports) < server.getsockname()[1]
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
