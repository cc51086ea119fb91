"""Discovery on Kubernetes, through the official client, against the fake API server."""

from functools import partial

import attrs
import pytest
import trio

from chaos.sim.kubernetes.objects import Write
from chaos.sim.kubernetes.rights import Access
from chaos.sim.kubernetes_cluster.kubelet import Idle
from tests.k8s.cluster import IRIS_SPEC, NAMESPACE, FakeCluster, Watcher, open_cluster, wait_until
from tests.k8s.copyist import RegistryOfTest
from trioroute.core.model import CommandSource, ContainerSource
from trioroute.discovery.kube.objects import EPOCH, MADE_FROM
from trioroute.discovery.kube.source import INSTANCE_TYPES
from trioroute.discovery.kube.writer import ResourceWriter
from trioroute.errors import StaleEpochError
from trioroute.spec.written.documents import Document

pytestmark = pytest.mark.slow


async def test_wished_replicas_become_pods_and_are_shown_when_ready() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: watcher.states() == ["running", "running"])
        first = watcher.running()[0]
        assert first.host.startswith("10.1.")
        assert (first.deployment, first.port) == ("iris/blue", 5001)
        assert first.made_from
        deployment = cluster.get("Deployment", "iris-blue")
        assert deployment is not None
        assert deployment["metadata"]["annotations"][EPOCH] == "1"
        (owner,) = deployment["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"]) == ("OnlineDeployment", "iris-blue")
        variables = cluster.get("ConfigMap", "iris-blue")
        assert variables is not None
        assert variables["data"] == {"GREETING": "hello"}
        assert cluster.get("Service", "iris-blue") is not None
        assert source.problems == {}
        nursery.cancel_scope.cancel()


async def test_an_empty_namespace_is_shown_as_an_empty_picture() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher = Watcher()
        await nursery.start(watcher.run, cluster.source())
        await wait_until(lambda: watcher.count == 1)
        assert watcher.picture == ()
        nursery.cancel_scope.cancel()


async def test_a_wish_that_is_fulfilled_writes_nothing() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        types = {"defaultinstancetype": '{"nodeSelector": {"pool": "cpu"}}'}
        cluster.make("ConfigMap", {"metadata": {"name": INSTANCE_TYPES}, "data": types})
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        await _wait_quiet(cluster)
        assert cluster.list("Pod")[0]["spec"]["nodeSelector"] == {"pool": "cpu"}
        writes = _writes(cluster)
        await source.set_desired(1, [(cluster.iris, 1)])
        await _wait_quiet(cluster)
        assert _writes(cluster) == writes
        nursery.cancel_scope.cancel()


async def test_the_retired_replica_is_the_one_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 3)])
        await wait_until(lambda: watcher.states() == ["running"] * 3)
        # The oldest: without a cost the controller would take the youngest.
        names = [pod["metadata"]["name"] for pod in cluster.list("Pod")]
        oldest = min(
            watcher.running(), key=lambda found: names.index(found.id.partition(".")[0])
        ).id
        annotate, pods = source._api.annotate_pod, source._pods.objects

        def annotate_while_one_comes(*args: object) -> object:
            pods["new"] = {"metadata": {"name": "new", "uid": "new"}}
            return annotate(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(source._api, "annotate_pod", annotate_while_one_comes)
        await source.set_desired(1, [(cluster.iris, 2)], [oldest])
        await wait_until(lambda: len(watcher.running()) == 2)
        assert oldest not in {found.id for found in watcher.running()}
        await wait_until(lambda: len(cluster.list("Pod")) == 2)
        nursery.cancel_scope.cancel()


async def test_shrinking_waits_while_an_unready_pod_would_go_instead() -> None:
    runtime = Idle()
    async with open_cluster(runtime) as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: watcher.states() == ["running"] * 2)
        runtime.ready_after_s = 1.0
        await source.set_desired(1, [(cluster.iris, 3)])
        await wait_until(lambda: watcher.states() == ["running", "running", "starting"])
        retired = watcher.running()[0].id
        await source.set_desired(1, [(cluster.iris, 2)], [retired])
        await wait_until(lambda: "has to be ready" in source.problems.get("iris/blue", ""))
        await wait_until(
            lambda: (
                retired not in {found.id for found in watcher.running()}
                and watcher.states().count("running") == 2
            )
        )
        assert source.problems == {}
        nursery.cancel_scope.cancel()


async def test_a_terminating_pod_is_out_at_once_though_it_is_still_ready() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        slow = attrs.evolve(cluster.iris, request_timeout_s=30.0)
        await source.set_desired(1, [(slow, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        old = watcher.running()[0].id
        cluster.delete("Pod", old.partition(".")[0])
        await wait_until(lambda: any(f.id == old and f.state == "stopped" for f in watcher.picture))
        pod = cluster.get("Pod", old.partition(".")[0])
        assert pod is not None, "its preStop hook lets what runs there finish"
        nursery.cancel_scope.cancel()


async def test_an_address_that_comes_back_is_another_replica() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        old = watcher.running()[0]
        cluster.kubelet.addresses.next = [old.host]
        cluster.delete("Pod", old.id.partition(".")[0])
        await wait_until(lambda: [f for f in watcher.running() if f.id != old.id])
        (new,) = watcher.running()
        assert (new.host, new.id != old.id) == (old.host, True)
        # Somebody else's pod at that address, with labels of its own, is none of ours.
        cluster.make("Pod", {"metadata": {"name": "x"}, "spec": {"containers": [_OTHER]}})
        await _wait_quiet(cluster)
        assert len(watcher.picture) <= 2
        nursery.cancel_scope.cancel()


async def test_a_changed_source_rolls_out_and_is_marked() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: watcher.states() == ["running"] * 2)
        old = {found.made_from for found in watcher.running()}
        changed = attrs.evolve(cluster.iris, source=_with_image(cluster, "registry.example/iris:2"))
        await source.set_desired(1, [(changed, 2)])
        lowest = [2]

        def rolled() -> bool:
            lowest.append(len(watcher.running()))
            marks = {found.made_from for found in watcher.running()}
            return not marks & old and len(watcher.running()) == 2

        await wait_until(rolled)
        assert min(lowest) >= 2, "never fewer that can serve than before"
        labels = [pod["metadata"]["labels"] for pod in cluster.list("Pod")]
        assert all(MADE_FROM in one for one in labels)
        nursery.cancel_scope.cancel()


async def test_changed_cpu_and_memory_are_in_the_deployment_and_its_pods() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        spec = {"name": "iris", "auth_mode": "key", "traffic": {"blue": 100}}
        cluster.make("OnlineEndpoint", {"metadata": {"name": "iris"}, "spec": spec})
        watcher, source, copyist = Watcher(), cluster.source(), RegistryOfTest(cluster)
        await nursery.start(watcher.run, source)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: "iris/blue" in copyist.state.deployments)
        known = copyist.state.deployments
        await source.set_desired(1, [(known["iris/blue"], 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        before = watcher.running()[0].id
        wanted = {"requests": {"cpu": "1", "memory": "3Gi"}, "limits": {"memory": "4Gi"}}
        cluster.change(
            "OnlineDeployment",
            "iris-blue",
            lambda old: {**old, "spec": {**old["spec"], "resources": wanted}},
        )
        await wait_until(lambda: copyist.state.deployments != known)
        await source.set_desired(1, [(copyist.state.deployments["iris/blue"], 1)])
        await wait_until(lambda: before not in {one.id for one in watcher.running()})
        pods = [one for one in cluster.list("Pod") if "deletionTimestamp" not in one["metadata"]]
        template = (cluster.get("Deployment", "iris-blue") or {})["spec"]["template"]
        for one in (template["spec"], *(pod["spec"] for pod in pods)):
            resources = one["containers"][0]["resources"]
            assert resources["requests"] == {"cpu": "1", "memory": "3Gi"}
            assert resources["limits"]["memory"] == "4Gi"
        nursery.cancel_scope.cancel()


async def test_a_deployment_that_exists_is_adopted_scaled_and_never_deleted() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("Deployment", _EXISTING)
        await wait_until(lambda: len(cluster.list("Pod")) == 2)
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        adopted = attrs.evolve(cluster.iris, source=ContainerSource(image="", workload="theirs"))
        await source.set_desired(1, [(adopted, 3)])
        await wait_until(lambda: watcher.states() == ["running"] * 3)
        assert {one.port for one in watcher.running()} == {8500}
        theirs = cluster.get("Deployment", "theirs")
        assert theirs is not None
        container = theirs["spec"]["template"]["spec"]["containers"][0]
        assert container["image"] == "registry.example/serving:7"
        assert "ownerReferences" not in theirs["metadata"]
        assert cluster.list("Service") == cluster.list("ConfigMap") == []
        retired = watcher.running()[0].id
        await source.set_desired(1, [(adopted, 2)], [retired])
        await wait_until(lambda: len(watcher.running()) == 2)
        assert retired not in {one.id for one in watcher.running()}
        cluster.delete("OnlineDeployment", "iris-blue")
        await source.set_desired(1, [])
        await _wait_quiet(cluster)
        assert cluster.get("Deployment", "theirs") is not None
        assert source.problems == {}
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_adopted_is_said() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        nobody = attrs.evolve(cluster.iris, source=ContainerSource(image="", workload="nobody"))
        await source.set_desired(1, [(nobody, 1)])
        await wait_until(lambda: "there is no Deployment nobody" in _reasons(watcher))
        assert cluster.get("Deployment", "nobody") is None, "applying would have made one"
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        ours = attrs.evolve(nobody, source=ContainerSource(image="", workload="iris-blue"))
        await source.set_desired(1, [(ours, 1)])
        await wait_until(lambda: "made for another" in source.problems.get("iris/blue", ""))
        nursery.cancel_scope.cancel()


async def test_a_scaler_of_an_adopted_deployment_is_reported_and_left_alone() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("Deployment", _EXISTING)
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        adopted = attrs.evolve(cluster.iris, source=ContainerSource(image="", workload="theirs"))
        await source.set_desired(1, [(adopted, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        deployment = cluster.kind("Deployment")
        cluster.api.objects.scale(deployment, NAMESPACE, "theirs", replicas=4, write=_HPA)
        await wait_until(lambda: "horizontal-pod" in source.problems.get("iris/blue", ""))
        await wait_until(lambda: len(watcher.running()) == 4)
        nursery.cancel_scope.cancel()


async def test_a_later_coordinator_wins_and_the_earlier_is_told() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, old, new = Watcher(), cluster.source(), cluster.source()
        await nursery.start(watcher.run, old)
        await old.set_desired(3, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        await nursery.start(Watcher().run, new)
        await new.set_desired(4, [(cluster.iris, 2)])
        await wait_until(lambda: len(watcher.running()) == 2)
        with pytest.raises(StaleEpochError):
            await old.set_desired(3, [(cluster.iris, 0)])
        assert len(cluster.list("Pod")) == 2
        nursery.cancel_scope.cancel()


async def test_what_somebody_else_scales_is_reported_and_left_alone() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        cluster.api.objects.scale(
            cluster.kind("Deployment"), NAMESPACE, "iris-blue", replicas=4, write=_HPA
        )
        await wait_until(lambda: "horizontal-pod" in source.problems.get("iris/blue", ""))
        await wait_until(lambda: len(watcher.running()) == 4)
        nursery.cancel_scope.cancel()


async def test_what_a_person_scales_is_set_back_once_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 3)])
        await wait_until(lambda: watcher.states() == ["running"] * 3)
        scale = partial(
            cluster.api.objects.scale, cluster.kind("Deployment"), NAMESPACE, "iris-blue"
        )
        scale(replicas=1, write=_KUBECTL)
        await wait_until(lambda: "1 replicas were set with kubectl, and are 3" in caplog.text)
        await wait_until(lambda: watcher.states() == ["running"] * 3)
        assert source.problems == {}
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: watcher.states() == ["running"] * 2)
        assert caplog.text.count("were set with kubectl") == 1, "what we write is no person's"
        scale(replicas=1, write=_KUBECTL)
        await wait_until(lambda: "again after it was set" in source.problems.get("iris/blue", ""))
        await _wait_quiet(cluster)
        assert (cluster.get("Deployment", "iris-blue") or {})["spec"]["replicas"] == 1
        nursery.cancel_scope.cancel()


async def test_a_deployment_without_an_image_says_so_in_its_missing_replica() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        local = attrs.evolve(cluster.iris, source=CommandSource(command=("serve",), cwd="/"))
        await source.set_desired(1, [(local, 1)])
        await wait_until(lambda: "it has no image" in _reasons(watcher))
        assert [(f.state, f.port) for f in watcher.picture] == [("starting", 0)]
        nursery.cancel_scope.cancel()


async def test_deleting_the_resource_takes_everything_made_for_it_along() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        await source.set_desired(1, [])
        cluster.delete("OnlineDeployment", "iris-blue")
        await wait_until(lambda: not cluster.list("Pod"))
        assert cluster.list("Deployment") == cluster.list("Service") == []
        await wait_until(lambda: watcher.picture == ())
        nursery.cancel_scope.cancel()


async def test_an_outage_keeps_the_last_picture_and_ends_without_a_storm() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: watcher.states() == ["running"] * 2)
        before = watcher.picture
        await _wait_quiet(cluster)
        cluster.server.faults.throttle()
        cluster.server.cut_all()
        cluster.api.store.forget()  # every old version is 410 afterwards
        asked = len(cluster.server.log)
        cluster.delete("Pod", before[0].id.partition(".")[0])
        await wait_until(lambda: "api" in source.problems)
        await trio.sleep(2.0)
        assert watcher.picture == before, "what was known last"
        during = len(cluster.server.log) - asked
        assert during < 30, "two watches that pause between tries"
        cluster.server.faults.heal()
        await wait_until(lambda: before[0].id not in {f.id for f in watcher.running()})
        await wait_until(lambda: len(watcher.running()) == 2)
        relists = [request[1] for request in cluster.server.log[asked:] if _is_list(*request)]
        assert len([one for one in relists if "/pods" in one]) <= 12
        nursery.cancel_scope.cancel()


async def test_a_cut_watch_resumes_where_it_was() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 1)])
        await wait_until(lambda: watcher.states() == ["running"])
        asked = len(cluster.server.log)
        cluster.server.cut_watches()
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: len(watcher.running()) == 2)
        lists = [request for request in cluster.server.log[asked:] if _is_list(*request)]
        assert lists == [], "the versions were good: nothing had to be listed again"
        nursery.cancel_scope.cancel()


async def test_rights_that_are_missing_are_named_and_asked_for_slowly() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.delete("RoleBinding", "trioroute")
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await wait_until(lambda: "cannot list resource" in source.problems.get("api", ""))
        await trio.sleep(1.0)
        assert len(cluster.server.log) < 30
        nursery.cancel_scope.cancel()


async def test_the_role_allows_exactly_what_discovery_asks_for() -> None:
    """Every call of a whole life: what the fake saw and what the Role grants are the same set."""
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        types = {"small": '{"tolerations": [{"key": "gpu", "operator": "Exists"}]}'}
        cluster.make("ConfigMap", {"metadata": {"name": INSTANCE_TYPES}, "data": types})
        small = attrs.evolve(
            cluster.iris, source=attrs.evolve(_container(cluster), instance_type="small")
        )
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(small, 2)])
        await wait_until(lambda: watcher.states() == ["running"] * 2)
        tolerated = [pod["spec"].get("tolerations") for pod in cluster.list("Pod")]
        assert tolerated == [[{"key": "gpu", "operator": "Exists"}]] * 2
        await source.set_desired(1, [(small, 1)], [watcher.running()[0].id])
        await wait_until(lambda: len(watcher.running()) == 1)
        cluster.make(
            "OnlineEndpoint",
            {"metadata": {"name": "iris"}, "spec": {"name": "iris", "auth_mode": "key"}},
        )
        copyist = RegistryOfTest(cluster)
        nursery.start_soon(copyist.run)
        await wait_until(lambda: bool(copyist.conditions("OnlineDeployment", "iris-blue")))
        await wait_until(lambda: bool(copyist.conditions("OnlineEndpoint", "iris")))
        assert source.problems == {}
        writer = ResourceWriter([cluster.router_api()])
        await writer.put(Document(kind="endpoint", folder="/", content={"name": "wine"}))
        await writer.set_traffic("wine", {"red": 100}, None)
        red = {**IRIS_SPEC, "endpoint_name": "wine", "name": "red"}
        for _ in range(2):
            await writer.put(Document(kind="deployment", folder="/", content=red))
        for key in ("wine/red", "wine"):
            await writer.delete(key)
        role = cluster.get("Role", "trioroute")
        assert role is not None
        granted = {
            Access(verb, group, resource)
            for rule in role["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert cluster.api.asked == granted
        nursery.cancel_scope.cancel()


def _with_image(cluster: FakeCluster, image: str) -> ContainerSource:
    return attrs.evolve(_container(cluster), image=image)


def _container(cluster: FakeCluster) -> ContainerSource:
    source = cluster.iris.source
    assert isinstance(source, ContainerSource)
    return source


def _reasons(watcher: Watcher) -> str:
    return " ".join(found.reason for found in watcher.picture)


def _is_list(method: str, target: str) -> bool:
    return method == "GET" and "watch=" not in target


def _writes(cluster: FakeCluster) -> int:
    return sum(method != "GET" for method, _ in cluster.server.log)


async def _wait_quiet(cluster: FakeCluster) -> None:
    """Until nothing has been asked for a while: threads cannot be waited for otherwise."""
    seen = -1
    while seen != len(cluster.server.log):
        seen = len(cluster.server.log)
        await trio.sleep(0.3)


_KUBECTL = Write(manager="kubectl", subresource="scale")
_HPA = Write(manager="horizontal-pod-autoscaler", subresource="scale")
_OTHER = {"name": "other", "image": "registry.example/other:1"}

#: As somebody else made it.
_EXISTING = {
    "metadata": {"name": "theirs", "labels": {"team": "a"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "theirs"}},
        "template": {
            "metadata": {"labels": {"app": "theirs"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "serving",
                        "image": "registry.example/serving:7",
                        "ports": [{"name": "http", "containerPort": 8500}],
                    }
                ],
            },
        },
    },
}
