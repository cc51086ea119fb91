"""Jobs as any cluster takes them, and what the states of their pods mean; `test_deep` runs them."""

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from trioroute.cli.kubedoctor.errands import Errand, container_state, is_pulled, job_of

Json = dict[str, Any]


@pytest.mark.parametrize("version", ["1.30", "1.36"])
def test_a_job_is_one_that_any_cluster_takes(version: str) -> None:
    errand = Errand(
        name="model-0",
        namespace="models",
        container={"name": "look", "image": "i:1", "command": ["/bin/true"]},
        volumes=({"name": "model", "persistentVolumeClaim": {"claimName": "models"}},),
        like={"nodeSelector": {"a": "b"}, "containers": [], "serviceAccountName": "trioroute"},
    )
    job = job_of(errand, "abc123", timeout_s=120)
    kubernetes_validate.validate(job, version, strict=True)
    spec = job["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"a": "b"}
    assert spec["serviceAccountName"] == "trioroute"
    assert spec["automountServiceAccountToken"] is False
    # Killed, it goes by itself.
    assert (job["spec"]["activeDeadlineSeconds"], job["spec"]["ttlSecondsAfterFinished"]) == (
        180,
        60,
    )


@pytest.mark.parametrize(
    ("state", "pulled"),
    [
        ({"waiting": {"reason": "ContainerCreating"}}, False),
        ({"waiting": {"reason": "ImagePullBackOff"}}, False),
        ({"waiting": {"reason": "RunContainerError"}}, True),
        ({"running": {}}, True),
        # An image without /bin/true.
        ({"terminated": {"exitCode": 128, "reason": "StartError"}}, True),
        ({}, False),
    ],
)
def test_an_image_is_there_once_it_was_run_or_could_not_be(state: Json, pulled: bool) -> None:
    pod = {"status": {"containerStatuses": [{"state": state}]}}
    assert is_pulled(pod) is pulled
    assert container_state(pod)[0] == next(iter(state), "waiting")
    assert container_state({}) == ("waiting", {})
