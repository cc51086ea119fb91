"""`trioroute …` in this process, against a real admin API over a real registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.cli.main import main
from trioroute.core.status import DeploymentStatus, EndpointStatus

DEPLOYMENT = """\
name: {}
endpoint_name: fraud
instance_type: any
instance_count: 1
properties: {{trioroute.addresses: "127.0.0.1:9401"}}
"""


def ready(name: str, **changes: object) -> DeploymentStatus:
    return DeploymentStatus(
        endpoint="fraud",
        name=name,
        provisioning_state="Succeeded",
        **changes,  # type: ignore[arg-type]
    )


@attrs.define
class Console:
    """What a user has: a shell, and files in a folder."""

    url: str
    desk: SmallDesk
    view: SmallView
    folder: Path
    capsys: pytest.CaptureFixture[str]
    err: str = ""

    def __call__(self, line: str, *, status: int = 0) -> str:
        """Standard output of one command that ends with this status."""
        with pytest.raises(SystemExit) as ended:
            main([*line.split(), "--admin", self.url])
        out, self.err = self.capsys.readouterr()
        assert ended.value.code == status, out + self.err
        return out

    def write(self, *names: str, traffic: str = "{blue: 100}") -> Path:
        text = f"name: fraud\nauth_mode: key\ntraffic: {traffic}\n"
        (self.folder / "endpoint.yml").write_text(text)
        for name in names:
            (self.folder / f"{name}.yml").write_text(DEPLOYMENT.format(name))
        return self.folder


@contextmanager
def open_console(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Console]:
    fraud = EndpointStatus(name="fraud", deployments=(ready("blue"), ready("green")))
    assert STATUS.raft is not None
    raft = attrs.evolve(STATUS.raft, applied_index=10**9)
    view = SmallView(current=attrs.evolve(STATUS, endpoints=(fraud,), raft=raft))
    desk = SmallDesk()
    with running_admin(view, desk=desk) as url:
        yield Console(url, desk, view, folder, capsys)
