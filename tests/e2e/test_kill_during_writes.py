"""SIGKILL of the coordinator in the middle of every kind of write: what was acknowledged is there.

What was refused has changed nothing, and what nobody knows has happened wholly or not at all. One
kill meets one write of each kind, and every other kill a replacement of the whole registry, which
has to be alone; TRIOROUTE_KILL_ROUNDS says how many kills. Handing over the office and draining are
no writes: nothing of them is in the registry.
"""

import base64
import collections
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.e2e.system import System, running_up, wait_until_rejoined, write_files
from trioroute.client.errors import ChangeUnknownError, ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("TRIOROUTE_KILL_ROUNDS", "1"))
#: Writes begin within this long around the kill, seconds: before, during and after.
SPREAD_S = 0.3
_UNKNOWN = "TR0811"
_NOTHING_CHANGED = ("TR0809", "TR0810", "TR0815")

Json = dict[str, Any]


@attrs.frozen
class Told:
    """What a client was told about its write: one of three words, the message, the answer."""

    word: str
    message: str = ""
    answer: Json = attrs.field(factory=dict)


def endpoint_body(name: str, **settings: Any) -> bytes:
    return json.dumps({"endpoint": {"name": name, **settings}}).encode()


def deployment_body(endpoint: str, name: str, slots: int = 1) -> bytes:
    source = {"kind": "StaticSource", "addresses": []}
    wish = {"endpoint": endpoint, "name": name, "slots_per_replica": slots, "source": source}
    return json.dumps({"deployment": wish}).encode()


def registry_body(name: str) -> bytes:
    return json.dumps({"endpoints": [{"name": name}], "deployments": []}).encode()


@attrs.frozen
class Kind:
    """One kind of write.

    Attributes:
        request: method, what follows the endpoint's path (or a whole one), and body.
        seen: what of the registry tells whether it has happened.
        answered: what an acknowledgement says that must then be seen.
        takes_tokens: its endpoint does.
        is_seen_before: looking would not make it happen.
    """

    name: str
    request: Callable[[str], tuple[str, str, bytes | None]]
    seen: Callable[["Registered", str], object]
    answered: Callable[[Json], object] | None = None
    takes_tokens: bool = False
    is_seen_before: bool = True


@attrs.frozen
class Registered:
    """What one front-end says is registered, with endpoints' keys and the ids of signing keys."""

    endpoints: dict[str, Json]
    deployments: dict[str, Json]
    keys: dict[str, Json]
    signers: dict[str, str]


def signer_of(token: Json) -> str:
    """Which key an access token was signed with."""
    head = token["accessToken"].partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])


def _field(part: dict[str, Json], name: str, field: str) -> object:
    return part[name][field] if name in part else None


KINDS = (
    Kind(
        "create endpoint",
        lambda name: ("PUT", "-new", endpoint_body(f"{name}-new")),
        lambda seen, name: f"{name}-new" in seen.endpoints,
    ),
    Kind(
        "update endpoint",
        lambda name: ("PUT", "", endpoint_body(name, auth_mode="aml_token")),
        lambda seen, name: _field(seen.endpoints, name, "auth_mode"),
    ),
    Kind(
        "delete endpoint",
        lambda _: ("DELETE", "", None),
        lambda seen, name: (name in seen.endpoints, f"{name}/blue" in seen.deployments),
    ),
    Kind(
        "create deployment",
        lambda name: ("PUT", "/deployments/red", deployment_body(name, "red")),
        lambda seen, name: f"{name}/red" in seen.deployments,
    ),
    Kind(
        "update deployment",
        lambda name: ("PUT", "/deployments/blue", deployment_body(name, "blue", 7)),
        lambda seen, name: _field(seen.deployments, f"{name}/blue", "generation"),
    ),
    Kind(
        "delete deployment",
        lambda _: ("DELETE", "/deployments/green", None),
        lambda seen, name: f"{name}/green" in seen.deployments,
    ),
    Kind(
        "traffic",
        lambda _: ("PATCH", "/traffic", b'{"traffic": {"blue": 40, "green": 60}}'),
        lambda seen, name: _field(seen.endpoints, name, "traffic"),
        answered=lambda answer: answer["new"],
    ),
    Kind(
        "key rotation",
        lambda _: ("POST", "/credentials/regenerate", b'{"key_type": "primary"}'),
        lambda seen, name: seen.keys.get(name, {}).get("primaryKey"),
        answered=lambda answer: answer["primaryKey"],
    ),
    Kind(
        "first token",
        lambda _: ("POST", "/token", b"{}"),
        lambda seen, name: seen.signers.get(name),
        answered=signer_of,
        takes_tokens=True,
        is_seen_before=False,
    ),
    Kind(
        "revoke tokens",
        lambda _: ("POST", "/token/revoke", None),
        lambda seen, name: seen.signers.get(name),
        takes_tokens=True,
    ),
)


#: Alone among its writes: it would undo all others.
REPLACE = Kind(
    "replace registry",
    lambda name: ("PUT", "/v1/registry", registry_body(f"{name}-only")),
    lambda seen, _: sorted(seen.endpoints),
)


def registered(url: str, names: list[str], tokened: list[str]) -> Registered:
    client = AdminClient(url, timeout_s=15.0)
    found = json.loads(client.ask("GET", "/v1/registry"))
    endpoints = {one["name"]: one for one in found["endpoints"]}
    keys = {
        name: json.loads(client.ask("POST", f"/v1/endpoints/{name}/credentials"))
        for name in names
        if name in endpoints and endpoints[name]["auth_mode"] == "key"
    }
    deployments = {f"{one['endpoint']}/{one['name']}": one for one in found["deployments"]}
    signers = {
        name: signer_of(json.loads(client.ask("POST", f"/v1/endpoints/{name}/token", b"{}")))
        for name in tokened
    }
    return Registered(endpoints, deployments, keys, signers)


def try_write(url: str, kind: Kind, name: str, delay_s: float, outcomes: dict[str, Told]) -> None:
    """Send one write after a while, once; what the client was told goes into `outcomes`."""
    time.sleep(delay_s)
    method, rest, body = kind.request(name)
    path = rest if rest.startswith("/v1/") else f"/v1/endpoints/{name}{rest}"
    try:
        answer = AdminClient(url, timeout_s=15.0).ask(method, path, body)
    except ChangeUnknownError as error:
        outcomes[kind.name] = Told("unknown", str(error))
    except UnreachableError as error:
        outcomes[kind.name] = Told("unchanged", str(error))  # no connection: nothing was sent
    except ProblemAnswerError as error:
        words = {_UNKNOWN: "unknown", **dict.fromkeys(_NOTHING_CHANGED, "unchanged")}
        outcomes[kind.name] = Told(words.get(error.code, "something else"), str(error))
    else:
        outcomes[kind.name] = Told("acknowledged", answer=json.loads(answer))


def prepare(system: System, number: int, kinds: tuple[Kind, ...]) -> dict[str, str]:
    """An endpoint with blue and green for each kind; its name by the kind's."""
    client = AdminClient(next(iter(system.admin_urls.values())), timeout_s=15.0)
    names = {kind.name: f"r{number}-k{index}" for index, kind in enumerate(kinds)}
    for kind in kinds:
        name, mode = names[kind.name], "aml_token" if kind.takes_tokens else "key"
        client.ask("PUT", f"/v1/endpoints/{name}", endpoint_body(name, auth_mode=mode))
        for deployment in ("blue", "green"):
            path = f"/v1/endpoints/{name}/deployments/{deployment}"
            client.ask("PUT", path, deployment_body(name, deployment))
    return names


def one_round(
    system: System, number: int, rng: random.Random, kinds: tuple[Kind, ...] = KINDS
) -> dict[str, Told]:
    """Kill the coordinator among writes of these kinds; returns what clients were told."""
    names = prepare(system, number, kinds)
    office = wait_until_rejoined(system)
    every = list(names.values())
    tokened = [names[kind.name] for kind in kinds if kind.takes_tokens]
    known = [names[kind.name] for kind in kinds if kind.takes_tokens and kind.is_seen_before]
    before = registered(system.admin_urls[office[0]], every, known)
    urls = list(system.admin_urls.values())
    outcomes: dict[str, Told] = {}
    threads = [
        threading.Thread(
            target=try_write,
            args=(rng.choice(urls), kind, names[kind.name], rng.uniform(0, SPREAD_S), outcomes),
        )
        for kind in kinds
    ]
    pid = system.front_end_pid(office[0])
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0, SPREAD_S))
    os.kill(pid, signal.SIGKILL)
    for thread in threads:
        thread.join()
    wait_until_rejoined(system, office[1])
    views = [registered(url, every, tokened) for url in urls]
    for kind in kinds:
        judge(kind, names[kind.name], outcomes[kind.name], before, views)
    return outcomes


def judge(kind: Kind, name: str, told: Told, before: Registered, views: list[Registered]) -> None:
    """Compare what one client was told with what every front-end has."""
    assert told.word in ("acknowledged", "unchanged", "unknown"), (kind.name, told)
    was, states = kind.seen(before, name), [kind.seen(view, name) for view in views]
    assert all(state == states[0] for state in states), (kind.name, states)
    if told.word == "acknowledged":
        assert states[0] != was, f"{kind.name} was acknowledged and is not there"
        if kind.answered is not None:
            assert states[0] == kind.answered(told.answer), f"{kind.name}: something else is there"
    if told.word == "unchanged" and kind.is_seen_before:
        assert states[0] == was, f"{kind.name} has changed something: {told.message}"
    if kind.name == "delete endpoint":
        assert states[0] in ((True, True), (False, False)), "half of it was deleted"
    if kind is REPLACE:
        assert states[0] in (was, [f"{name}-only"]), "half of it was replaced"


def test_no_write_is_lost_or_halved_when_the_coordinator_dies(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0.0)
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    with running_up(tmp_path) as system:
        for number in range(ROUNDS):
            kinds = KINDS if number % 2 == 0 else (REPLACE,)
            outcomes = one_round(system, number, rng, kinds)
            assert outcomes.keys() == {kind.name for kind in kinds}, f"seed {seed}"
            counts.update((name, told.word) for name, told in outcomes.items())
    for kind in (*KINDS, REPLACE):
        told = {word: counts[kind.name, word] for word in ("acknowledged", "unchanged", "unknown")}
        print(f"{kind.name:20} {told}", file=sys.stderr)
