"""A bundle has everything but secrets: planted ones are looked for in every file."""

from pathlib import Path

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.bundling import collect, redaction_for
from trioroute.client.system import System
from trioroute.core.model import Endpoint
from trioroute.spec.load import load_documents
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Credentials

KEYS = Credentials(primary_key="planted-primary-key", secondary_key="planted-secondary-key")
(_ECHO,) = STATUS.endpoints
(_REPLICA, *_) = _ECHO.deployments[0].replicas


def fill(client: ResourceClient) -> None:
    client.put_endpoint(Endpoint(name=_ECHO.name), keys=KEYS)
    one = _ECHO.deployments[0]
    content = {
        "name": one.name,
        "endpoint_name": one.endpoint,
        "instance_type": "any",
        "environment_variables": {"DB": "planted-password"},
        "properties": {"trioroute.command": "serve {port}"},
    }
    document = Document(kind="deployment", folder="/", content=content)
    (deployment,) = load_documents([document], loopback=True).deployments
    client.put_deployment(deployment, document.encode())


def test_planted_secrets_are_in_no_file(tmp_path: Path) -> None:
    secrets = (KEYS.primary_key, KEYS.secondary_key, "planted-password", "planted-token")
    printed = tuple(f"printed {secret}" for secret in secrets)
    (tmp_path / "fe-0.log").write_text("\n".join(printed))
    desk = SmallDesk(lines={_REPLICA.id: printed})
    with running_admin(SmallView(), desk=desk) as url:
        client = ResourceClient(System(admin_urls=(url,), names=("fe-0",), token="planted-token"))
        fill(client)
        found = dict(collect(client, redaction_for(client), tmp_path))
    text = "\n".join(found.values())
    assert not [secret for secret in secrets if secret in text]
    assert found["log/fe-0.log"] == "\n".join(["printed (redacted)"] * 4)
    assert f"replicas/{_REPLICA.id}.txt" in found
    assert '"DB": "(redacted)"' in found["registry.json"]
    assert "trioroute_" in found["front-ends/fe-0/metrics.txt"]
    assert '"reporter"' in found["front-ends/fe-0/status.json"]


def test_what_cannot_be_had_says_why() -> None:
    client = ResourceClient(System(admin_urls=("http://127.0.0.1:9",)))
    found = dict(collect(client, redaction_for(client), None))
    assert "not to be had: cannot reach" in found["registry.json"]
    assert "platform" in found["machine.json"]
