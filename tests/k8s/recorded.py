"""Replays a recorded scenario against the fake API server and lists what differs.

Free are uids, times, generated names, continue tokens and the values of resourceVersions; their
relations are compared: equal stays equal, and later is never lower. Messages are for people and are
not compared. See the README beside the recordings.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import trio
import trio.testing

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.objects import Write, key_of
from chaos.sim.kubernetes.rights import User, service_account
from chaos.sim.kubernetes.store import Store
from chaos.sim.kubernetes_cluster.server import ApiServer
from tests.k8s.recorded_before import BEFORE, COMPACTED, WITHOUT_DEFINITIONS, WITHOUT_ROUTER
from tests.k8s.recorded_controllers import ACTIONS, CONTROLLED, RecordedNames, at_rest, control

__all__ = ["FOLDER", "replay"]

Json = Any

#: Beside the project, not in it.
FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "cases" / "kubernetes"

_EPOCH_S: Final = 1_767_225_600.0  # 2026-01-01, where the recordings are shifted to
_TIMES: Final = re.compile(r"(Time|Timestamp|At)$|(^|-)time$")
_AGE: Final = re.compile(r"([0-9]+[smhd])+")
_SUFFIX: Final = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_SERVICE_ADDRESS: Final = re.compile(r"198\.51\.100\.[0-9]+")
_GENERATED: Final = re.compile(r"\b[a-z0-9-]+-[bcdfghjklmnpqrstvwxz2456789]{5}\b")


@attrs.define
class _Words:
    """Which recorded word stands for which of ours."""

    known: dict[str, str] = attrs.field(factory=dict)
    versions: dict[int, int] = attrs.field(factory=dict)

    def pair(self, recorded: str, ours: str) -> bool:
        """Whether the two may stand for each other, given all pairs before."""
        return self.known.setdefault(recorded, ours) == ours

    def pair_versions(self, recorded: str, ours: str) -> bool:
        """Whether the order of all versions so far is kept."""
        one, other = int(recorded), int(ours)
        self.versions.setdefault(one, other)
        return all(
            (mine <= other if theirs <= one else mine >= other)
            for theirs, mine in self.versions.items()
        )

    def translate(self, text: str, key: str = "") -> str:
        """A word of a recorded request as we have to say it."""
        if key == "resourceVersion" and text.isdigit():
            return str(self.versions.get(int(text), int(text)))
        if key in ("uid", "continue", "name"):
            return self.known.get(text, text)
        return text

    def body(self, value: Json, key: str = "") -> Json:
        """A recorded request's body as we have to send it."""
        if isinstance(value, dict):
            return {name: self.body(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [self.body(child, key) for child in value]
        return self.translate(value, key) if isinstance(value, str) else value

    def target(self, path: str) -> str:
        """A recorded request's path and query."""
        path, question, query = path.partition("?")
        parts = [self.known.get(part, part) for part in path.split("/")]
        pairs = [pair.partition("=") for pair in query.split("&")]
        pairs_now = [f"{k}{e}{self.translate(v, k)}" for k, e, v in pairs]
        return "/".join(parts) + question + "&".join(pairs_now)


@attrs.define
class _Response:
    status: int
    headers: dict[str, str]
    body: Json


@attrs.define
class _WatchRun:
    """A watch of ours that runs beside the steps."""

    recorded: Json
    events: list[tuple[float, Json]] = attrs.field(factory=list)
    status: int = 0
    has_ended: bool = False


class _Replay:
    def __init__(self, scenario: Json) -> None:
        self._scenario = scenario
        self._words = _Words()
        self._store = Store()
        self._began_at = trio.current_time()
        self.api = Api(self._store, clock=self._clock)
        self._is_controlled = scenario["name"] in CONTROLLED
        if self._is_controlled:
            self.api.objects.names = RecordedNames(scenario)
        self._server = ApiServer(self.api)
        self._watches: list[_WatchRun] = []
        self.differences: list[str] = []
        self._prepare()

    def _clock(self) -> float:
        return _EPOCH_S + trio.current_time() - self._began_at

    def _prepare(self) -> None:
        """The users and the namespaces that the recording found."""
        tokens = {"admin": User("admin", is_admin=True), "kubelet": User("kubelet", is_admin=True)}
        namespaces = {"default"}
        for step in self._scenario["steps"]:
            request = step.get("watch", step).get("request")
            if request is not None:
                found = re.match(r"/apis?/.*?namespaces/([^/?]+)/", request["path"])
                namespaces |= {found[1]} if found else set()
                if request["as"] == "router" and found:
                    tokens.setdefault("router", service_account(found[1], "trioroute"))
        account = service_account(min(namespaces - {"default"}, default="default"), "trioroute")
        tokens.setdefault("router", account)
        self.api.tokens |= tokens
        kinds = {kind.kind: kind for kind in self.api.kinds()}
        for name in sorted(namespaces - {"no-such-namespace"}):
            self._make(kinds["Namespace"], "", {"metadata": {"name": name}})
            self._make(kinds["ServiceAccount"], name, {"metadata": {"name": "default"}})
            if self._scenario["name"] not in WITHOUT_ROUTER:
                self._make(kinds["ServiceAccount"], name, {"metadata": {"name": "trioroute"}})
        if self._scenario["name"] not in WITHOUT_DEFINITIONS:
            for definition in _definitions():
                self._make(kinds["CustomResourceDefinition"], "", definition)
        kinds = {kind.kind: kind for kind in self.api.kinds()}
        for kind, namespace, body in BEFORE.get(self._scenario["name"], ()):
            self._make(kinds[kind], namespace, body)

    def _make(self, kind: Any, namespace: str, body: Json) -> None:
        made = self.api.objects.create(kind, namespace, body, Write())
        if "status" in body:  # of something that had lived for a while
            metadata = {**made["metadata"], "generation": body["metadata"]["generation"]}
            old = {**made, "metadata": metadata, "status": body["status"]}
            self._store.put(key_of(kind, namespace, metadata["name"]), old)

    async def run(self, skipped: frozenset[int]) -> None:
        actions = ACTIONS.get(self._scenario["name"], {})
        async with trio.open_nursery() as nursery:
            if self._is_controlled:
                nursery.start_soon(control, self.api)
            for number, step in enumerate(self._scenario["steps"]):
                if number in skipped or _is_cut_short(step):
                    continue
                if "action" in step and number not in actions:
                    continue
                await trio.sleep_until(max(self._began_at + step["t"], trio.current_time()))
                if number in actions:
                    nursery.start_soon(actions[number], self.api, step)
                    await trio.testing.wait_all_tasks_blocked()
                if "action" in step:
                    continue
                if COMPACTED.get(self._scenario["name"]) == number:
                    self._store.tick()
                    self._store.compact()
                if "watch" in step:
                    await self._open_watch(nursery, step["watch"])
                else:
                    await self._step(number, step)
            ends_at = max([step["t"] for step in self._scenario["steps"]] + [0.0])
            ends_at = max([ends_at, *(one.recorded["ended_t"] for one in self._watches)])
            await trio.sleep_until(self._began_at + ends_at + 0.2)
            nursery.cancel_scope.cancel()
        for watch in self._watches:
            self._compare_watch(watch)

    async def _step(self, number: int, step: Json) -> None:
        recorded = step["response"]
        ours = await self._exchange(step["request"])
        where = f"step {number} {step['request']['method']} {step['request']['path']}"
        for difference in self._response_differences(recorded, ours):
            self.differences.append(f"{where}: {difference}")

    def _response_differences(self, recorded: Json, ours: _Response) -> Iterator[str]:
        if recorded["status"] != ours.status:
            yield f"status {ours.status}, recorded {recorded['status']}: {ours.body}"
            return
        headers = recorded["headers"]
        if "etag" in headers:
            self._words.pair(headers["etag"], ours.headers.get("etag", ""))
        for name in ("content-type", "retry-after"):
            if headers.get(name) != ours.headers.get(name) and "body" in recorded:
                yield f"{name} {ours.headers.get(name)}, recorded {headers.get(name)}"
        body = recorded.get("body")
        if body is None:
            return
        if isinstance(body, dict) and isinstance(ours.body, str):
            ours.body = json.loads(ours.body)  # JSON under another name
        if ours.status >= 400 and isinstance(body, dict) and "kind" in body:
            if _essence(body) != _essence(ours.body):
                yield f"{_essence(ours.body)}, recorded {_essence(body)}"
            self._pair_continue(body, ours.body)
            return
        yield from self._differences(
            self._compared(body),
            self._compared(ours.body),
            "",
            is_part="trimmed" in recorded,
        )

    def _compared(self, value: Json) -> Json:
        return value if self._is_controlled else _without_controllers(value)

    def _pair_continue(self, body: Json, ours: Json) -> None:
        token = body["metadata"].get("continue")
        if token:
            self._words.pair(token, ours["metadata"]["continue"])

    def _differences(
        self, recorded: Json, ours: Json, path: str, *, is_part: bool
    ) -> Iterator[str]:
        key = path.rpartition(".")[2]
        if isinstance(recorded, dict) and isinstance(ours, dict):
            names = set(recorded) if is_part else set(recorded) | set(ours)
            for name in sorted(names):
                if name == "managedFields" and not self._scenario["managed_fields"]:
                    continue
                if name in _OF_THE_BUILD or (name == "description" and "columnDef" in path):
                    continue  # for people, or of the build
                below = f"{path}.{name}"
                if is_part and recorded[name] is None and name not in ours:
                    continue
                if name not in recorded or name not in ours:
                    side = "recorded only" if name in recorded else "ours only"
                    yield f"{below}: {side}: {recorded.get(name, ours.get(name))}"
                elif name == "managedFields":
                    yield from _owner_differences(recorded[name], ours[name])
                else:
                    yield from self._differences(recorded[name], ours[name], below, is_part=is_part)
        elif isinstance(recorded, list) and isinstance(ours, list):
            yield from self._list_differences(recorded, ours, path, is_part=is_part)
        elif not self._is_same(key, recorded, ours):
            yield f"{path}: {ours!r}, recorded {recorded!r}"

    def _list_differences(
        self, recorded: Json, ours: Json, path: str, *, is_part: bool
    ) -> Iterator[str]:
        key = path.rpartition(".")[2].partition("[")[0]
        if is_part and key in _REDUCED and self._scenario["name"] == "discovery":
            recorded, ours = _served_by_both(recorded, ours)
        elif key in ("conditions", "resources"):
            if is_part and key == "conditions":  # only whether it is Ready was recorded
                named = {_name_of(one) for one in recorded}
                ours = [one for one in ours if _name_of(one) in named]
            recorded, ours = sorted(recorded, key=_name_of), sorted(ours, key=_name_of)
        if len(recorded) != len(ours):
            yield f"{path}: {len(ours)} items, recorded {len(recorded)}"
            return
        for at, (one, other) in enumerate(zip(recorded, ours, strict=True)):
            yield from self._differences(one, other, f"{path}[{at}]", is_part=is_part)

    def _is_same(self, key: str, recorded: Json, ours: Json) -> bool:
        if key == "resourceVersion":
            # Who of several controllers is first is nobody's promise.
            return self._words.pair_versions(recorded, ours) or self._is_controlled
        if key in ("uid", "continue") and recorded and ours:
            return self._words.pair(recorded, ours)
        if isinstance(recorded, str) and _SERVICE_ADDRESS.fullmatch(recorded):
            return self._words.pair(recorded, ours)
        if key == "message" and self._is_controlled:
            return _SUFFIX.sub("", recorded) == _SUFFIX.sub("", ours)
        if _AGE.fullmatch(str(recorded)) and _AGE.fullmatch(str(ours)):
            return True
        if _TIMES.search(key):
            return type(recorded) is type(ours)
        if isinstance(recorded, str) and _GENERATED.fullmatch(recorded) and recorded != ours:
            return self._words.pair(recorded, ours)
        return bool(recorded == ours)

    async def _exchange(self, request: Json) -> _Response:
        async with trio.open_nursery() as nursery:
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(self._server.serve_stream, server)
            await client.send_all(self._encode(request))
            response, _ = await _read_response(client)
            nursery.cancel_scope.cancel()
        if request["path"].endswith("/token") and isinstance(response.body, dict):
            status = response.body.get("status")
            token = str(status.get("token")) if isinstance(status, dict) else ""
            self.api.tokens["router"] = self.api.tokens.get(token, self.api.tokens["router"])
        return response

    def _encode(self, request: Json) -> bytes:
        headers = {k: v for k, v in request["headers"].items() if isinstance(v, str)}
        if request["as"] != "anonymous":
            headers["authorization"] = f"Bearer {request['as']}"
        headers.setdefault("user-agent", "trioroute/1")
        body: bytes = request.get("text", "").encode()
        if "body" in request:
            body = json.dumps(self._words.body(request["body"])).encode()
        if "if-none-match" in headers:
            kept = headers["if-none-match"]
            headers["if-none-match"] = self._words.known.get(kept, kept)
        headers["content-length"] = str(len(body))
        target = self._words.target(request["path"])
        first = f"{request['method']} {target} HTTP/1.1"
        lines: list[str] = [first, *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def _open_watch(self, nursery: trio.Nursery, recorded: Json) -> None:
        run = _WatchRun(recorded)
        self._watches.append(run)
        data = self._encode(recorded["request"])
        nursery.start_soon(self._run_watch, run, data)
        # Memory streams answer before time moves: the watch stands before the next step.
        await trio.testing.wait_all_tasks_blocked()

    async def _run_watch(self, run: _WatchRun, data: bytes) -> None:
        async with trio.open_nursery() as nursery:
            client, server = trio.testing.memory_stream_pair()
            nursery.start_soon(self._server.serve_stream, server)
            await client.send_all(data)
            if run.recorded["ended"] == "client":
                nursery.cancel_scope.deadline = self._began_at + run.recorded["ended_t"]
            response, rest = await _read_response(client, is_watch=True)
            run.status = response.status
            async for line in _lines(client, rest):
                run.events.append((trio.current_time() - self._began_at, json.loads(line)))
            run.has_ended = True
            nursery.cancel_scope.cancel()

    def _compare_watch(self, watch: _WatchRun) -> None:
        where = f"watch {watch.recorded['request']['path']}"
        said = [(one["t"], one["event"]) for one in watch.recorded["events"]]
        recorded, ours = self._changes(said), self._changes(watch.events)
        events = watch.recorded["events"]
        is_part = "trimmed" in watch.recorded or any("trimmed" in one for one in events)
        names = [(one["type"], one["object"].get("metadata", {}).get("name")) for one in ours]
        if len(recorded) != len(ours):
            seen = [(one["type"], one["object"]["metadata"].get("name")) for one in recorded]
            self.differences.append(f"{where}: {names}, recorded {seen}")
            return
        for one, other in zip(recorded, ours, strict=True):
            one, other = self._compared(one), self._compared(other)
            for difference in self._differences(one, other, "", is_part=is_part):
                self.differences.append(f"{where}: {difference}")
        is_over = watch.recorded["ended"] == "server"
        if is_over != watch.has_ended:
            self.differences.append(f"{where}: ended {watch.has_ended}, recorded {is_over}")
        asked = "allowWatchBookmarks" in watch.recorded["request"]["path"]
        marks = sum(one["type"] == "BOOKMARK" for _, one in watch.events)
        if marks and not asked:
            self.differences.append(f"{where}: bookmarks that nobody asked for")

    def _changes(self, events: list[tuple[float, Json]]) -> list[Json]:
        changes = [(time, event) for time, event in events if _is_change(event)]
        return at_rest(changes) if self._is_controlled else [event for _, event in changes]


def _definitions() -> list[Json]:
    """The definitions that the recorded cluster had: as they were sent when it got them."""
    scenario = json.loads((FOLDER / "crd-create.json").read_text(encoding="utf-8"))
    return [scenario["steps"][number]["request"]["body"] for number in (10, 11)]


def _without_controllers(value: Json) -> Json:
    """What controllers write, and when, is theirs: they are compared by tests of their own."""
    if isinstance(value, list):
        return [_without_controllers(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_scaled = value.get("kind") in ("Deployment", "StatefulSet", "Scale")
    kept = {
        name: _without_controllers(child)
        for name, child in value.items()
        if name != "deployment.kubernetes.io/revision" and not (is_scaled and name == "status")
    }
    if kept.get("annotations") == {}:
        del kept["annotations"]
    if value.get("kind") == "Status":
        kept.pop("message", None)
    return kept


#: Lists of discovery that were recorded as far as a router uses them.
_REDUCED: Final = frozenset({"groups", "items", "paths", "resources", "subresources"})
#: Parts of what is compared that hang on the server's build.
_OF_THE_BUILD: Final = frozenset(
    {
        *("storageVersionHash", "gitCommit", "buildDate", "goVersion", "compiler", "platform"),
        *("serverAddress", "serverRelativeURL"),
    }
)


def _name_of(one: Json) -> str:
    said = one if isinstance(one, dict) else {"name": one}
    metadata = said.get("metadata") or {}
    found = (said.get(key) for key in ("name", "resource", "subresource", "type"))
    return str(next(filter(None, found), metadata.get("name", "")))


def _served_by_both(recorded: Json, ours: Json) -> tuple[Json, Json]:
    """Servers have different contents; of what both have, all is compared. Never nothing."""
    names = {_name_of(one) for one in recorded} & {_name_of(one) for one in ours}
    assert names or not recorded, recorded
    both = [[one for one in side if _name_of(one) in names] for side in (recorded, ours)]
    return sorted(both[0], key=_name_of), sorted(both[1], key=_name_of)


def _is_cut_short(step: Json) -> bool:
    """Bodies of megabytes were not recorded."""
    return "body_omitted" in step.get("request", {})


def _is_change(event: Json) -> bool:
    metadata = event["object"].get("metadata", {})
    return event["type"] != "BOOKMARK" or "annotations" in metadata


def _essence(status: Json) -> Json:
    if not isinstance(status, dict):
        return status
    details = status.get("details") or {}
    kept = {key: details.get(key) for key in ("kind", "name", "group", "retryAfterSeconds")}
    causes = {(one.get("field"), one.get("reason")) for one in details.get("causes", [])}
    return [status.get("reason"), status.get("code"), kept, causes]


def _owner_differences(recorded: Json, ours: Json) -> Iterator[str]:
    """Only what was applied is compared field by field: it decides who conflicts with whom."""

    def applied(entries: Json) -> dict[str, Json]:
        return {one["manager"]: one["fieldsV1"] for one in entries if one["operation"] == "Apply"}

    if applied(recorded) != applied(ours):
        yield f"managedFields: {applied(ours)}, recorded {applied(recorded)}"


async def _read_response(
    stream: trio.abc.ReceiveStream, *, is_watch: bool = False
) -> tuple[_Response, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    status = int(first.split()[1])
    if is_watch and status == 200:
        return _Response(status, headers, None), rest
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        rest += await stream.receive_some(65_536)
    is_json = headers.get("content-type", "").partition(";")[0] == "application/json"
    return _Response(status, headers, json.loads(rest) if is_json else rest.decode()), b""


async def _lines(stream: trio.abc.ReceiveStream, data: bytes) -> Any:
    """The lines of a chunked answer, until its last chunk."""
    while True:
        size_text, found, rest = data.partition(b"\r\n")
        size = int(size_text, 16) if found else -1
        if size == 0:
            return
        if size > 0 and len(rest) >= size + 2:
            yield rest[:size]
            data = rest[size + 2 :]
            continue
        data += await stream.receive_some(65_536)


async def replay(name: str, skipped: frozenset[int] = frozenset()) -> list[str]:
    """Run one scenario; needs the autojump clock.

    Args:
        skipped: numbers of steps that the fake does not claim to answer alike.

    Returns: one line for each difference.
    """
    scenario = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    replaying = _Replay(scenario)
    await replaying.run(skipped)
    return replaying.differences
