"""Keys and tokens are planted, the system runs and fails, and nothing that it writes has them."""

import base64
import contextlib
import http.client
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.system import REPLICA, System, running_up, wait_until_rejoined
from trioroute.client.http import AdminClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: As users' own keys (D15) and as guesses; nothing like them occurs anywhere else.
PRIMARY, SECONDARY = "planted-primary-key-0001", "planted-secondary-key-0002"
CHOSEN, GUESS = "planted-chosen-key-0003", "planted-wrong-guess-0004"

KEYED = "name: keyed\nauth_mode: key\ntraffic: {blue: 100}\n"
TOKENED = "name: tokened\nauth_mode: aml_token\ntraffic: {blue: 100}\n"
DEPLOYMENT = """\
name: blue
endpoint_name: NAME
instance_type: any
request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 10000}
properties: {trioroute.command: "COMMAND"}
"""


def write(folder: Path) -> None:
    (folder / "records").mkdir()
    command = f"{sys.executable} {REPLICA} {{port}} {folder / 'records'} 0"
    for name, endpoint in (("keyed", KEYED), ("tokened", TOKENED)):
        (folder / f"{name}.yml").write_text(endpoint)
        text = DEPLOYMENT.replace("NAME", name).replace("COMMAND", command)
        (folder / f"{name}-blue.yml").write_text(text)


def score(system: System, endpoint: str, credential: str) -> int:
    connection = http.client.HTTPConnection(*system.scoring, timeout=20)
    headers = {"authorization": f"Bearer {credential}", "x-request-id": "r"}
    with contextlib.closing(connection):
        connection.request("POST", f"/api/v1/service/{endpoint}/score", b"x", headers)
        return connection.getresponse().status


def forms(secret: str) -> list[bytes]:
    """A secret as it is, and as what is around it would write it."""
    plain = secret.encode()
    return [plain, base64.b64encode(plain).rstrip(b"=")[:-2], plain.hex().encode()]


def shown(url: str) -> bytes:
    """All that an operator's tools read of one front-end, keys asked for excepted."""
    paths = ("/metrics", "/v1/status", "/v1/registry", "/v1/decisions", "/openapi.json")
    logs = [f"/v1/endpoints/{name}/deployments/blue/logs" for name in ("keyed", "tokened")]
    return b"".join(AdminClient(url).ask("GET", path) for path in (*paths, *logs))


def test_nothing_that_is_written_or_shown_has_a_secret_in_it(tmp_path: Path) -> None:
    write(tmp_path)
    secrets = [PRIMARY, SECONDARY, CHOSEN, GUESS]
    with running_up(tmp_path, "--access-log", str(tmp_path / "access.log")) as system:
        admin = AdminClient(next(iter(system.admin_urls.values())), timeout_s=20.0)
        keys = json.loads(admin.ask("POST", "/v1/endpoints/keyed/credentials"))
        secrets += keys.values()
        for kind, value in (("primary", PRIMARY), ("secondary", SECONDARY), ("primary", CHOSEN)):
            body = json.dumps({"key_type": kind, "key_value": value}).encode()
            admin.ask("POST", "/v1/endpoints/keyed/credentials/regenerate", body)
        token = json.loads(admin.ask("POST", "/v1/endpoints/tokened/token", b"{}"))["accessToken"]
        secrets += [token, token.rpartition(".")[2]]
        for endpoint, credential, status in (
            ("keyed", CHOSEN, 200),
            ("keyed", SECONDARY, 200),
            ("keyed", PRIMARY, 401),
            ("tokened", token, 200),
            ("tokened", token[:-4] + "AAAA", 401),
            ("nowhere", GUESS, 404),
        ):
            assert score(system, endpoint, credential) == status
        # Fewer than an address has free, for one front-end may get them all.
        assert {score(system, "keyed", f"{GUESS}-{n}") for n in range(12)} == {401}
        office = system.coordinator()
        os.kill(system.front_end_pid(office[0]), signal.SIGKILL)
        wait_until_rejoined(system, office[1])
        assert score(system, "keyed", CHOSEN) == 200
        assert score(system, "tokened", token) == 200
        seen = {url: shown(url) for url in system.admin_urls.values()}
        screen = system.screen
    # What the screen shows of a key it shows on purpose: the command that scores with it.
    shown_on_purpose = keys["primaryKey"]
    assert shown_on_purpose in screen
    for url, text in seen.items():
        for secret in secrets:
            assert not any(form in text for form in forms(secret)), (url, secret)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "up.stderr"]
    journals = [path for path in files if "journal" in str(path)]
    logs = [path for path in files if path.suffix == ".log"]
    assert journals
    assert len(logs) >= 4
    for path in files:
        content = path.read_bytes()
        found = [s for s in secrets if any(form in content for form in forms(s))]
        assert not found, (path, found)
