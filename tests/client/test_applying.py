"""Files made into what is registered, against the real admin API and registry."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.applying import (
    ProvisioningFailedError,
    Step,
    WaitTimedOutError,
    apply_steps,
    plan_steps,
    wait_provisioned,
)
from trioroute.client.errors import ProblemAnswerError
from trioroute.client.resources import NoSuchResourceError, ResourceClient
from trioroute.client.system import System
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.status import ClusterStatus, ReplicaCondition, ReplicaStatus
from trioroute.spec.load import Loaded, load_paths

ENDPOINT = "name: fraud\nauth_mode: key\n{}\n"
DEPLOYMENT = """\
name: {}
endpoint_name: fraud
instance_type: any
instance_count: 1
request_settings: {{max_queue_wait_ms: {}}}
properties: {{trioroute.addresses: "127.0.0.1:9401"}}
"""


@attrs.define
class World:
    client: ResourceClient
    desk: SmallDesk
    folder: Path
    said: list[str] = attrs.field(factory=list)

    def load(self, *, traffic: str = "", wait_ms: int = 500, names: str = "blue") -> Loaded:
        (self.folder / "endpoint.yml").write_text(ENDPOINT.format(traffic))
        for old in self.folder.glob("d-*.yml"):
            old.unlink()
        for name in names.split():
            (self.folder / f"d-{name}.yml").write_text(DEPLOYMENT.format(name, wait_ms))
        return load_paths([self.folder])

    def apply(self, loaded: Loaded, *, prune: bool = False) -> list[Step]:
        steps = plan_steps(loaded, self.client.registry(), prune=prune)
        apply_steps(self.client, loaded, steps, wait_s=None, progress=self.said.append)
        return steps


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    desk = SmallDesk()
    with running_admin(SmallView(), desk=desk) as url:
        yield World(ResourceClient(System(admin_urls=(url,))), desk, tmp_path)


def actions(steps: list[Step]) -> list[str]:
    return [f"{step.action} {step.key}" for step in steps]


def test_what_is_new_is_made_and_the_same_again_changes_nothing(world: World) -> None:
    loaded = world.load(traffic="traffic: {blue: 100}")
    assert actions(world.apply(loaded)) == ["create fraud", "create fraud/blue"]
    index = world.desk.state.index
    assert actions(world.apply(loaded)) == ["unchanged fraud/blue", "unchanged fraud"]
    assert world.desk.state.index == index
    assert world.desk.state.endpoints["fraud"].traffic == {"blue": 100}


def test_traffic_goes_to_what_is_new_only_afterwards(world: World) -> None:
    world.apply(world.load(traffic="traffic: {blue: 100}"))
    loaded = world.load(traffic="traffic: {blue: 90, green: 10}", names="blue green")
    steps = world.apply(loaded)
    assert actions(steps) == ["unchanged fraud/blue", "create fraud/green", "update fraud"]
    assert steps[-1].changes == ("traffic.blue: 100 → 90", "traffic.green: - → 10")


def test_a_file_without_traffic_leaves_it_alone(world: World) -> None:
    world.apply(world.load(traffic="traffic: {blue: 100}"))
    world.client.set_traffic("fraud", {})
    steps = world.apply(world.load(traffic="description: text", wait_ms=250))
    assert world.desk.state.endpoints["fraud"].traffic == {}
    assert world.desk.state.endpoints["fraud"].description == "text"
    assert steps[0].changes == ("request_settings.max_queue_wait_ms: 500 → 250",)
    assert world.desk.state.deployments["fraud/blue"].queue_wait_max_s == 0.25


def test_what_no_file_names_is_deleted_when_asked_to(world: World) -> None:
    world.apply(world.load(traffic="traffic: {green: 100}", names="blue green"))
    loaded = world.load(traffic="traffic: {green: 100}", names="green")
    assert "delete fraud/blue" not in actions(world.apply(loaded))
    assert "delete fraud/blue" in actions(world.apply(loaded, prune=True))
    assert set(world.desk.state.deployments) == {"fraud/green"}


def test_a_refused_step_is_told_and_what_came_before_stays(world: World) -> None:
    world.apply(world.load(traffic="traffic: {blue: 100}", names="blue green"))
    loaded = world.load(names="green", wait_ms=100)
    with pytest.raises(ProblemAnswerError, match=r"TR0809.*100 % of the traffic"):
        world.apply(loaded, prune=True)
    assert world.desk.state.deployments["fraud/green"].queue_wait_max_s == 0.1


def test_unknown_names_are_told_the_nearest(world: World) -> None:
    world.apply(world.load())
    with pytest.raises(NoSuchResourceError, match="did you mean fraud"):
        world.client.endpoint("fruad")
    with pytest.raises(NoSuchResourceError, match="did you mean blue"):
        world.client.deployment("fraud", "bleu")


@pytest.mark.parametrize(
    ("state", "expected"), [("Failed", ProvisioningFailedError), ("Updating", WaitTimedOutError)]
)
def test_what_does_not_get_there_is_told_with_its_last_lines(
    tmp_path: Path, state: str, expected: type[Exception]
) -> None:
    (echo,) = STATUS.endpoints
    replica = ReplicaStatus(id="r1", state=ReplicaCondition.BACKING_OFF, slots=1)
    blue = attrs.evolve(
        echo.deployments[0],
        provisioning_state=state,
        provisioning_reason="no module",
        replicas=(replica,),
    )
    status = attrs.evolve(STATUS, endpoints=(attrs.evolve(echo, deployments=(blue,)),))
    desk = SmallDesk(lines={"r1": ("Traceback", "ImportError: no module")})
    with running_admin(SmallView(current=status), desk=desk) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        text = 'name: echo\nauth_mode: key\nproperties: {trioroute.anonymous: "true"}\n'
        (tmp_path / "e.yml").write_text(text)
        (tmp_path / "d.yml").write_text(DEPLOYMENT.format("blue", 1).replace("fraud", "echo"))
        loaded = load_paths([tmp_path], loopback=True)
        apply_steps(
            client,
            loaded,
            plan_steps(loaded, client.registry()),
            wait_s=None,
            progress=lambda _: None,
        )
        with pytest.raises(expected, match="no module") as raised:
            wait_provisioned(client, {"echo/blue": 1}, wait_s=0.0, progress=lambda _: None)
    assert ("Traceback" in str(raised.value)) == (state == "Failed")


def test_a_failed_replica_that_was_replaced_meanwhile_is_looked_at_when_it_fails_again() -> None:
    (echo,) = STATUS.endpoints

    def failed(replica: str) -> ClusterStatus:
        blue = attrs.evolve(
            echo.deployments[0],
            provisioning_state="Failed",
            replicas=(ReplicaStatus(id=replica, state=ReplicaCondition.BACKING_OFF, slots=1),),
        )
        return attrs.evolve(STATUS, endpoints=(attrs.evolve(echo, deployments=(blue,)),))

    class Moving(SmallView):
        looks: ClassVar = [failed("gone"), failed("new")]

        def status(self) -> ClusterStatus:
            return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    desk = SmallDesk(lines={"new": ("ImportError: no module",)})
    source = StaticSource(addresses=(("127.0.0.1", 9401),))
    with running_admin(Moving(), desk=desk) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        client.put_endpoint(Endpoint(name="echo"))
        client.put_deployment(Deployment(endpoint="echo", name="blue", source=source), "{}")
        with pytest.raises(ProvisioningFailedError, match="ImportError: no module"):
            wait_provisioned(client, {"echo/blue": 0}, wait_s=60, progress=lambda _: None)
