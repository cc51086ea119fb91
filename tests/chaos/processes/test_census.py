"""What the kernel says of a process of ours: of this one."""

import mmap
import os
import socket
from pathlib import Path

from chaos.processes.census import own_memory_bytes, unconnected_descriptors

_MUCH = 32 << 20


def test_memory_is_what_the_process_made_and_not_what_it_read_of_files(tmp_path: Path) -> None:
    path = tmp_path / "library"
    path.write_bytes(bytes(_MUCH))
    before = own_memory_bytes(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        assert not any(pages[::4096])
        assert own_memory_bytes(os.getpid()) < before + _MUCH / 4
        heap = bytearray(b"x") * _MUCH
        assert own_memory_bytes(os.getpid()) > before + _MUCH * 3 / 4
        assert len(heap) == _MUCH


def test_connections_come_and_go_and_what_is_left_of_them_counts() -> None:
    before = unconnected_descriptors(os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert unconnected_descriptors(os.getpid()) == before + 1
        with socket.create_connection(listener.getsockname()) as ours:
            theirs, _ = listener.accept()
            assert unconnected_descriptors(os.getpid()) == before + 1
            theirs.close()
            ours.settimeout(10)
            assert ours.recv(1) == b""
            assert unconnected_descriptors(os.getpid()) == before + 2, (
                "one that the peer has closed"
            )
    assert unconnected_descriptors(os.getpid()) == before
