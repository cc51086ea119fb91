"""Short Jobs that `doctor --deep` sends into a cluster: made, watched, and taken away again.

They go whatever happens: at the end and on an interruption they are deleted; if this process is
killed, each ends by its deadline and is removed by the cluster a minute later.
"""

import contextlib
import secrets
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final

import attrs

from trioroute.cli.kubedoctor.looking import Look
from trioroute.discovery.kube.calls import KubeError

__all__ = ["LABEL", "Errand", "container_state", "is_pulled", "job_of", "run_errands"]

Json = dict[str, Any]

#: On Jobs and their pods, with the run's own value.
LABEL: Final = "trioroute.dev/doctor"
_LOOK_S: Final = 0.3
_LEFT_S: Final = 60
_NOT_FOUND: Final = 404
_FORBIDDEN: Final = 403
#: Of a container that waits and will go on doing so.
_STUCK: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerError",
        "CreateContainerConfigError",
        "RunContainerError",
    }
)
#: Of these, those that come after the image.
_PULLED: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)
_SECURITY: Final[Json] = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@attrs.frozen(kw_only=True)
class Errand:
    """One pod to run.

    Attributes:
        name: tells it from the others of its namespace.
        container: what runs; its security context and resources are added.
        volumes: of the pod.
        like: the pod spec of whom it stands for: machines, registries' passwords.
    """

    name: str
    namespace: str
    container: Json
    volumes: tuple[Json, ...] = ()
    like: Mapping[str, Any] = attrs.field(factory=dict)


def run_errands(
    look: Look, errands: Sequence[Errand], *, timeout_s: float
) -> dict[str, Json | None]:
    """Run them side by side until each has ended or is stuck; by name, the last state of its pod.

    Raises:
        KubeError: a Job was refused, or its pods may not be listed. Those made are gone by then.
    """
    run = secrets.token_hex(3)
    seen: dict[str, Json | None] = {one.name: None for one in errands}
    with _ended_in_order(), _made(look, errands, run, timeout_s):
        deadline = time.monotonic() + timeout_s
        while True:
            for namespace in sorted({one.namespace for one in errands}):
                for pod in _pods(look, namespace, run):
                    seen[pod["metadata"]["annotations"][LABEL]] = pod
            is_over = all(pod is not None and _is_settled(pod) for pod in seen.values())
            if is_over or time.monotonic() + _LOOK_S > deadline:
                return seen
            time.sleep(_LOOK_S)


def job_of(errand: Errand, run: str, *, timeout_s: float) -> Json:
    """The Job as it is made; meets the strictest of the Pod Security Standards."""
    labels = {"app.kubernetes.io/managed-by": "trioroute-doctor", LABEL: run}
    resources = {
        "requests": {"cpu": "20m", "memory": "32Mi"},
        "limits": {"cpu": "500m", "memory": "256Mi"},
    }
    container = {
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **errand.container,
    }
    kept = ("nodeSelector", "tolerations", "imagePullSecrets", "serviceAccountName")
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": _SECURITY,
        "containers": [container],
        **{name: errand.like[name] for name in kept if errand.like.get(name)},
        **({"volumes": list(errand.volumes)} if errand.volumes else {}),
    }
    metadata = {"labels": labels, "annotations": {LABEL: errand.name}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": _name(errand, run), "namespace": errand.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": max(int(timeout_s), 1) + int(_LEFT_S),
            "ttlSecondsAfterFinished": int(_LEFT_S),
            "template": {"metadata": metadata, "spec": spec},
        },
    }


def container_state(pod: Json) -> tuple[str, Json]:
    """Of its only container: `waiting`, `running` or `terminated`, and what is said of that."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    for kind, said in (statuses[0].get("state") or {}).items():
        return kind, said or {}
    return "waiting", {}


def is_pulled(pod: Json) -> bool:
    """Whether its machine has the image by now, whatever came of running it."""
    kind, said = container_state(pod)
    return kind != "waiting" or said.get("reason") in _PULLED


def _is_settled(pod: Json) -> bool:
    kind, said = container_state(pod)
    return kind == "terminated" or (kind == "waiting" and said.get("reason") in _STUCK)


def _name(errand: Errand, run: str) -> str:
    return f"trioroute-doctor-{run}-{errand.name}"[:63].rstrip("-.")


def _pods(look: Look, namespace: str, run: str) -> list[Json]:
    """A moment's trouble of the API server ends nothing: it is asked again."""
    try:
        return look.items(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"{LABEL}={run}")
    except KubeError as error:
        if error.status == _FORBIDDEN:
            raise
        return []


@contextlib.contextmanager
def _made(look: Look, errands: Sequence[Errand], run: str, timeout_s: float) -> Iterator[None]:
    """Deletes all of them, also those whose making was not answered."""
    try:
        for errand in errands:
            path = f"/apis/batch/v1/namespaces/{errand.namespace}/jobs"
            look.access.send("POST", path, job_of(errand, run, timeout_s=timeout_s))
        yield
    finally:
        for errand in errands:
            path = f"/apis/batch/v1/namespaces/{errand.namespace}/jobs/{_name(errand, run)}"
            # What cannot be deleted now goes by its time to live.
            with contextlib.suppress(KubeError):
                look.access.send("DELETE", path, {"propagationPolicy": "Background"})


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal end this as Ctrl-C does: with what was begun taken away."""

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
