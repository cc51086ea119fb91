"""Reading a cluster: absent is None, a question about rights has a plain answer."""

import pytest

from tests.k8s.running import RunningCluster
from trioroute.cli.kube.access import open_access
from trioroute.cli.kubedoctor.looking import Look
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.saved.settings import find_settings
from trioroute.discovery.kube.calls import KubeError


@pytest.fixture
def look(cluster: RunningCluster, environment: dict[str, str]) -> Look:
    del cluster
    return Look(open_access(find_settings(None, None, environment)))


def test_what_is_not_there_is_none_and_an_empty_list(look: Look) -> None:
    assert look.get(f"{look.path('configmaps')}/none") is None
    assert look.items(look.path("pods")) == []
    assert look.path("statefulsets", "apps/v1") == "/apis/apps/v1/namespaces/models/statefulsets"


def test_rights_are_those_of_whoever_is_named(look: Look) -> None:
    account = "system:serviceaccount:models:trioroute"
    assert look.may(("delete", "", "pods", ""))
    assert look.may(("patch", "apps", "deployments/scale", ""), user=account)
    assert not look.may(("delete", "", "pods", ""), user=account)
    assert look.may(("get", "", "configmaps", "trioroute-instance-types"), user=account)
    assert not look.may(("get", "", "configmaps", "other"), user=account)


@pytest.mark.parametrize(
    ("status", "verdict"), [(403, Verdict.SKIPPED), (500, Verdict.BAD), (0, Verdict.BAD)]
)
def test_a_refusal_is_a_check_and_no_crash(look: Look, status: int, verdict: Verdict) -> None:
    def check(_: Look) -> None:
        raise KubeError(status, "Some", "said no")

    (found,) = look.carefully("some_part", check)  # type: ignore[arg-type]
    assert isinstance(found, Check)
    assert (found.id, found.verdict) == ("kubernetes.some-part", verdict)
    assert "said no" in found.text
