"""What a pod's status proves of a front-end's end, and everything that it does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.sim.kubernetes.selectors import label_selector
from trioroute.app.data_folder import first_incarnation_after
from trioroute.discovery.kube.endings import (
    Ending,
    ending_of,
    selector_of,
    termination_message,
)

Json = dict[str, Any]

BOOT = 1_795_426_022


def ended(boot: int = BOOT, name: str = "trioroute-1", **said: object) -> Json:
    """A terminated state as the kubelet writes it for a container that was killed."""
    terminated: Json = {
        "exitCode": 137,
        "reason": "OOMKilled",
        "startedAt": "2026-11-22T08:00:00Z",
        "finishedAt": "2026-11-22T09:00:00Z",
        "containerID": "containerd://4dd7",
        "message": termination_message(name, boot),
    }
    return {"terminated": terminated | said}


def pod(state: Json, last: Json | None = None, *, spec: Json | None = None, **status: Any) -> Json:
    """A front-end's pod with one container in that state."""
    container = {"name": "front-end", "ready": False, "restartCount": 1, "state": state}
    if last is not None:
        container["lastState"] = last
    return {
        "metadata": {"name": "trioroute-1", "uid": "u"},
        "spec": {"containers": [{"name": "front-end"}], **(spec or {})},
        "status": {"phase": "Running", "containerStatuses": [container], **status},
    }


PROOF = Ending(front_end="trioroute-1", boot=BOOT, how="OOMKilled, exit code 137")
RUNNING: Json = {"running": {"startedAt": "2026-11-22T09:00:01Z"}}
BACKING_OFF: Json = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
NO_IMAGE: Json = {"waiting": {"reason": "ImagePullBackOff"}}


@pytest.mark.parametrize(
    "said",
    [
        pod(ended()),
        pod(RUNNING, ended()),
        pod(BACKING_OFF, ended()),
        pod(NO_IMAGE, ended()),
        pod(ended(), phase="Failed"),
        pod(ended(message=termination_message("trioroute-1", BOOT) + "the disk is full\n")),
        pod(ended(message=f"OOM killed: {termination_message('trioroute-1', BOOT)}")),
    ],
    ids=["now", "runs again", "loops", "no image", "pod failed", "with a reason", "runtime's word"],
)
def test_a_container_that_told_its_boot_and_ended_proves_it(said: Json) -> None:
    assert ending_of(said) == PROOF


def test_of_two_ends_the_later_boot_counts() -> None:
    assert ending_of(pod(ended(BOOT + 1), ended(BOOT))) == ending_of(pod(ended(BOOT + 1)))
    # A number that fell with a lost volume, its machine's clock behind: the higher one stays true.
    found = ending_of(pod(ended(BOOT - 5), ended(BOOT)))
    assert found is not None
    assert found.boot == BOOT


def test_an_end_in_order_is_an_end_too() -> None:
    found = ending_of(pod(ended(reason="Completed", exitCode=0)))
    assert found is not None
    assert found.how == "Completed, exit code 0"


@pytest.mark.parametrize(
    "said",
    [
        pod(RUNNING),
        pod(BACKING_OFF),
        pod(RUNNING, {}),
        pod(RUNNING, phase="Failed", reason="NodeLost"),
        pod(RUNNING, phase="Unknown"),
        {"metadata": {"name": "trioroute-1"}, "spec": {}, "status": {"phase": "Failed"}},
        {"metadata": {"name": "trioroute-1"}, "spec": {}},
        pod(ended(message="")),
        pod({"terminated": {"exitCode": 0}}),
        pod(ended(name="trioroute-2")),
        pod(ended(reason="ContainerStatusUnknown", message="could not be located")),
        pod(ended(reason="ContainerStatusUnknown")),
        pod(ended(reason="Unknown", exitCode=255)),
        pod(ended(message="ValueError\n" + termination_message("trioroute-1", BOOT))),
        pod(ended(message=termination_message("trioroute-1", BOOT)[:-9])),
        pod(ended(message=termination_message("trioroute-1", BOOT)[:-1] + " Perhaps.\n")),
        pod(ended(message=termination_message("trioroute-1", -BOOT))),
        pod(ended(), spec={"shareProcessNamespace": True}),
        pod(ended(), spec={"hostPID": True}),
    ],
    ids=[
        "runs",
        "waits",
        "no last state",
        "machine lost",
        "pod unknown",
        "no statuses",
        "no status",
        "no message",
        "bare",
        "another's name",
        "not found",
        "not found, with a message",
        "runtime lost it",
        "not the first line",
        "cut off",
        "more in the line",
        "no number",
        "shared processes",
        "machine's processes",
    ],
)
def test_anything_else_proves_nothing(said: Json) -> None:
    assert ending_of(said) is None


def test_other_containers_of_the_pod_prove_nothing() -> None:
    said = pod(ended())
    said["status"]["containerStatuses"][0]["name"] = "sidecar"
    said["status"]["ephemeralContainerStatuses"] = [
        {"name": "front-end", "state": ended(), "lastState": {}}
    ]
    assert ending_of(said) is None


@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), st.integers(0, 10**13))
def test_what_is_written_is_read(name: str, boot: int) -> None:
    said = pod(ended(message=termination_message(name, boot)))
    said["metadata"]["name"] = name
    found = ending_of(said)
    assert (found is not None) == (boot < 10**12), "no more than the log can hold"
    assert found is None or first_incarnation_after(found.boot) < 2**63
    assert found is None or (found.front_end, found.boot) == (name, boot)


@given(st.text(), st.sampled_from(["state", "lastState"]))
def test_no_text_is_taken_for_a_proof_by_chance(text: str, where: str) -> None:
    said = pod(RUNNING)
    said["status"]["containerStatuses"][0][where] = ended(message=text)
    assert ending_of(said) is None


def test_the_message_is_a_sentence_for_people() -> None:
    assert termination_message("trioroute-1", 7) == (
        "Front-end trioroute-1 (boot 7) has ended with all its workers.\n"
    )


def test_the_selector_is_of_these_pods_whatever_else_they_are_called() -> None:
    selects = label_selector(selector_of(("trioroute-0", "trioroute-1")))

    def named(name: str) -> Json:
        return {"metadata": {"labels": {"statefulset.kubernetes.io/pod-name": name}}}

    assert selects(named("trioroute-1"))
    assert not selects(named("trioroute-10"))
    assert not selects({"metadata": {"labels": {"app.kubernetes.io/name": "trioroute"}}})
