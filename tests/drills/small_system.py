"""A system of three front-ends that only talk: their admin API and scoring over real sockets.

The world that hits one has the next take over, as a real group does, and brings it back at once.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs
import msgspec

from tests.drills.small_drill import NAMES, view
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.status import ClusterStatus, CoordinatorStatus
from trioroute.drills.catalogue import Deed
from trioroute.drills.world import Target, WorldError
from trioroute.wire.resources import (
    DeploymentResource,
    DrillWish,
    EndpointResource,
    Resources,
    Written,
)


@attrs.define
class SmallSystem:
    """Set what it says while it runs.

    Attributes:
        changes: for `small_drill.view`.
        down: front-ends that are not ready.
        status: of every scoring answer.
        notes: what drills announced.
        refusals: so many announcements are refused first, as of an office that is over.
        deployments: as registered.
        before_scoring: called before each scoring answer.
    """

    urls: dict[str, str] = attrs.field(factory=dict)
    office: CoordinatorStatus = attrs.field(
        factory=lambda: CoordinatorStatus(name="fe-0", epoch=1, since_s=50.0)
    )
    changes: dict[str, Any] = attrs.field(factory=dict)
    down: set[str] = attrs.field(factory=set)
    status: int = 200
    notes: list[DrillWish] = attrs.field(factory=list)
    refusals: int = 0
    deployments: tuple[DeploymentResource, ...] = ()
    before_scoring: Callable[[], object] = lambda: None

    def view(self, name: str) -> ClusterStatus:
        since_s = self.office.since_s if name == self.office.name else None
        office = attrs.evolve(self.office, since_s=since_s)
        return view(name, **{"coordinator": office, **self.changes})

    def client(self) -> ResourceClient:
        urls = tuple(self.urls.values())
        return ResourceClient(System(admin_urls=urls, names=NAMES, scoring_url=urls[0]))

    def move_office(self, name: str) -> None:
        self.office = CoordinatorStatus(name=name, epoch=self.office.epoch + 1, since_s=0.0)


@attrs.define
class SmallWorld:
    """Hits the small system.

    Attributes:
        why_not: the objection, when there is one.
        fails: whether striking fails; `leaves` whether mending does.
        done: what was done, in order.
    """

    system: SmallSystem
    why_not: str = ""
    fails: bool = False
    leaves: bool = False
    done: list[str] = attrs.field(factory=list)
    lives: dict[str, int] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        return "a small system"

    @property
    def admin_urls(self) -> Mapping[str, str]:
        return self.system.urls

    @property
    def look_s(self) -> float:
        return 0.05

    @property
    def is_sure(self) -> bool:
        return True

    def objection(self, deed: Deed, target: Target) -> str:
        return self.why_not

    def held_ports(self, front_end: str, scoring_port: int) -> frozenset[int] | None:
        return frozenset()

    def identity(self, target: Target) -> str:
        return str(self.lives.get(target.name, 0))

    async def strike(self, deed: Deed, target: Target, *, lasts_s: float) -> None:
        if self.fails:
            raise WorldError("it would not")
        self.done.append(f"{deed.value} {target.name}")
        self.lives[target.name] = self.lives.get(target.name, 0) + 1
        if target.name == self.system.office.name:
            self.system.move_office(next(name for name in NAMES if name != target.name))

    async def mend(self) -> None:
        self.done.append("mend")
        if self.leaves:
            raise WorldError("it would not heal")


@contextlib.contextmanager
def small_system() -> Iterator[SmallSystem]:
    """Running until the block ends."""
    system = SmallSystem()
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            server = _Server(("127.0.0.1", 0), _answers(system, name))
            server.daemon_threads = True
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            thread.start()
            system.urls[name] = f"http://127.0.0.1:{server.server_port}"
        yield system


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A drill that is interrupted resets its connections: that is no news."""


def _answers(system: SmallSystem, name: str) -> type[BaseHTTPRequestHandler]:
    echo = EndpointResource(
        name="echo",
        resource_version=1,
        traffic={"blue": 100},
        mirror_traffic={},
        auth_mode="key",
        has_keys=False,
    )

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/v1/status":
                self._answer(200, msgspec.json.encode(system.view(name)))
            elif self.path == "/readyz":
                is_down = name in system.down
                self._answer(503 if is_down else 200, b"draining" if is_down else b"serving")
            else:
                registry = Resources(index=1, endpoints=(echo,), deployments=system.deployments)
                self._answer(200, msgspec.json.encode(registry))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.path == "/v1/drills" and system.refusals:
                system.refusals -= 1
                problem = {"code": "TR0809", "title": "refused", "detail": "epoch 1 is over"}
                self._answer(409, msgspec.json.encode(problem))
            elif self.path == "/v1/drills":
                system.notes.append(msgspec.json.decode(body, type=DrillWish))
                self._answer(200, msgspec.json.encode(Written(index=2, resource_version=2)))
            else:
                system.before_scoring()
                self._answer(system.status, body)

        def _answer(self, status: int, body: bytes) -> None:
            head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            self.wfile.write(head + body)

        def log_message(self, *args: object) -> None:
            pass

    return Answers
