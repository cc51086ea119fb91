"""What a file says of waiting, as the registry of a running system has it."""

from pathlib import Path

import pytest

from trioroute.drills.written import Patience, patience_of
from trioroute.spec.load import load_paths
from trioroute.wire.resources import DeploymentResource

HEAD = "name: blue\nendpoint_name: echo\ninstance_type: local\ninstance_count: 2\n"


def registered(folder: Path, text: str) -> DeploymentResource:
    """As `up` registers it."""
    (folder / "endpoint.yml").write_text("name: echo\nauth_mode: key\ntraffic: {blue: 100}\n")
    properties = 'properties:\n  trioroute.addresses: "127.0.0.1:9401"\n'
    (folder / "deployment.yml").write_text(HEAD + properties + text)
    loaded = load_paths([folder / "endpoint.yml", folder / "deployment.yml"])
    document = loaded.documents["echo/blue"].encode()
    return DeploymentResource("echo", "blue", 1, 1, 2, document=document)


@pytest.mark.parametrize(
    ("text", "patience"),
    [
        ("", Patience(0.5, 5.0)),
        ("request_settings: {max_queue_wait_ms: 3000, request_timeout_ms: 1000}\n", Patience(3, 1)),
        ('  trioroute.stream_max_s: "60"\n', Patience(0.5, 60.0)),
        ("  trioroute.upgrade_max_s: 70\n", Patience(0.5, 70.0)),
        ("request_settings: {max_queue_wait_ms: 0}\n", Patience(0.5, 5.0)),
    ],
)
def test_it_is_what_the_file_says_or_azure(text: str, patience: Patience, tmp_path: Path) -> None:
    assert patience_of(registered(tmp_path, text)) == patience


def test_without_a_file_nobody_can_tell() -> None:
    assert patience_of(DeploymentResource("echo", "blue", 1, 1, 2)) is None
