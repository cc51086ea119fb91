"""A namespace for each front-end, with the kernel's own TCP in all of them."""

import contextlib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio

from chaos.faults import Need
from chaos.lines.namespace import enter_private_network
from chaos.lines.networks import OUTSIDE, Networks, Treatment
from chaos.processes.capabilities import is_possible

pytestmark = pytest.mark.skipif(
    not is_possible(Need.NETWORKS), reason=f"needs {Need.NETWORKS.value}"
)

#: Answers every line with what another address answers to it, or with itself.
_SERVER = """
import socket, sys
here, there = sys.argv[1:]
with socket.create_server((here, 7000)) as server:
    print("ready", flush=True)
    while True:
        taken, _ = server.accept()
        with taken:
            said = taken.recv(100)
            if there:
                with socket.create_connection((there, 7000)) as onward:
                    onward.sendall(said)
                    said = onward.recv(100)
            taken.sendall(said)
"""

Body = Callable[[Networks], Awaitable[None]]


@contextlib.contextmanager
def server(networks: Networks, name: str, onward: str) -> Iterator[None]:
    words = [sys.executable, "-c", _SERVER, networks.address(name), onward]
    command = [*networks.wrapper(name), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as popen:
        try:
            assert popen.stdout is not None
            assert popen.stdout.readline() == b"ready\n"
            yield
        finally:
            popen.kill()


async def switched(networks: Networks, body: Body) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(networks.run)
        await body(networks)
        nursery.cancel_scope.cancel()


def run_apart(body: Body) -> None:
    """In a thread whose network is its own; fe-0 asks fe-1, who answers."""

    def main() -> None:
        enter_private_network()
        networks = Networks(["fe-0", "fe-1"])
        with contextlib.ExitStack() as stack:
            stack.callback(networks.close)
            stack.enter_context(server(networks, "fe-1", ""))
            stack.enter_context(server(networks, "fe-0", networks.address("fe-1")))
            trio.run(switched, networks, body)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(main).result()


async def ask(networks: Networks, name: str) -> bytes:
    async with await trio.open_tcp_stream(networks.address(name), 7000) as stream:
        await stream.send_all(b"hallo")
        return bytes(await stream.receive_some(100))


def test_all_reach_each_other_and_nobody_else_sees_them() -> None:
    async def body(networks: Networks) -> None:
        assert await ask(networks, "fe-0") == b"hallo"
        assert networks.passed > 0
        assert networks.lost == 0

    run_apart(body)
    assert "198.18.0." not in Path("/proc/self/net/fib_trie").read_text()


async def stays_silent(networks: Networks, name: str) -> bool:
    """Whether nothing comes until packets have been lost: some would be there long before."""
    lost = networks.lost
    async with trio.open_nursery() as nursery:
        answers: list[bytes] = []

        async def listen() -> None:
            answers.append(await ask(networks, name))

        nursery.start_soon(listen)
        while networks.lost == lost and not answers:  # noqa: ASYNC110 - counts have no event
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    return not answers


@pytest.mark.parametrize("is_mute", [True, False])
def test_a_front_end_that_is_cut_off_hears_nobody_or_is_not_heard(is_mute: bool) -> None:
    async def body(networks: Networks) -> None:
        everybody = ["fe-1", OUTSIDE]
        senders, receivers = (["fe-0"], everybody) if is_mute else (everybody, ["fe-0"])
        networks.treat(Treatment(loss=1.0), senders=senders, receivers=receivers)
        assert await stays_silent(networks, "fe-0")
        assert await ask(networks, "fe-1") == b"hallo", "the others are not concerned"
        networks.heal()
        assert await ask(networks, "fe-0") == b"hallo"

    run_apart(body)


def test_a_front_end_can_be_cut_off_from_its_peers_alone() -> None:
    async def body(networks: Networks) -> None:
        networks.treat(Treatment(loss=1.0), senders=["fe-0"], receivers=["fe-1"])
        # It takes our connection; what it wants to ask its peer is lost.
        assert await stays_silent(networks, "fe-0")
        assert await ask(networks, "fe-1") == b"hallo"

    run_apart(body)


def test_packets_that_are_lost_or_late_arrive_in_the_end() -> None:
    async def body(networks: Networks) -> None:
        every = [*networks.names, OUTSIDE]
        networks.treat(Treatment(loss=0.3), senders=every, receivers=every)
        while not networks.lost:
            assert await ask(networks, "fe-0") == b"hallo"
        late = Treatment(delay_s=0.02, jitter_s=0.01)
        networks.treat(late, senders=every, receivers=every)
        began_at = trio.current_time()
        assert await ask(networks, "fe-1") == b"hallo"
        # To and fro, twice: connecting, asking. Never early; how late is the machine's affair.
        assert trio.current_time() - began_at >= 4 * 0.02

    run_apart(body)
