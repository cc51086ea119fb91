"""The fake API server answers what a real one of version 1.36.2 was recorded to answer."""

# house: tests chaos/sim/kubernetes as a whole, which the mirror leaves out

import json
from collections.abc import Mapping
from typing import Final

import pytest

from tests.k8s.recorded import FOLDER, replay

_MEANWHILE: Final = "how far a controller had come some milliseconds after the request"

#: Scenario → its steps that are left out, and why.
REPLAYED: Final[Mapping[str, Mapping[int, str]]] = {
    "access-reviews": {
        **dict.fromkeys((0, 1, 20), "what a token says inside"),
        **dict.fromkeys((17, 18, 19, 21, 23, 24), "nobody of ours asks whose a token is"),
        **dict.fromkeys((10, 11), "nobody of ours asks for all rules, or for who he is"),
        22: "a token for another audience, made by step 20",
    },
    "cr-write": {13: "a second cause, which the scale's own reader of that field adds"},
    "discovery": {
        22: "reduced to names, and only what kubectl reads is served of it",
        23: "the API server's own metrics",
    },
    "cr-create-invalid": {},
    "cr-table": {},
    "cr-watch": {},
    "secrets": {},
    "watch-representations": {},
    "apply-server-side": {
        16: "unknown fields of built-in kinds are found by validating what we send instead",
        17: "as 16: a list with one key twice",
        18: "a body in YAML; our client applies JSON",
        20: "stands on step 18",
    },
    "configmaps": dict.fromkeys(
        (2, 3, 4, 5, 6, 8, 12, 13),
        "binaryData, immutable and exact texts of odd values: nothing of ours has them",
    ),
    "create": {18: "a body in YAML"},
    "delete": {},
    "dry-run": {},
    "errors-http": dict.fromkeys((39, 40, 41), "deadlines of a nanosecond"),
    "finalizers": dict.fromkeys((10, 11), "finalizers with odd names: nothing of ours has one"),
    "list-empty": {},
    "list-expired": {},
    "list-field-selector": {},
    "list-label-selector": {},
    "list-pagination": {},
    "list-resource-version": {},
    "patch-json": dict.fromkeys((7, 11, 14), "copy, move, and a changed kind: never sent"),
    "patch-merge": {},
    "patch-strategic": {},
    "python-client-calls": {
        1: "pods that a controller had made; the toy kubelet's tests list those",
        3: "as 1",
        21: "stands on a Deployment made before the recording",
    },
    "python-client-leaderelection": {},
    "python-client-watch": {},
    "rbac-forbidden": {
        2: "what a token says inside",
        15: "an object made before the recording: its version is older than ours",
        21: "as 15",
        20: "as 15",
        24: "as 15",
        25: "as 15",
        31: "build details",
        32: "the verbs of each kind in discovery",
    },
    "rbac-revoked": {},
    "replace": {},
    "scale-deployment": {},
    "scale-statefulset": {},
    "unauthenticated": {4: "build details"},
    "watch-basic": {},
    "watch-bookmarks": {},
    "watch-field-selector": {8: "the old form of a watch's path"},
    "watch-future-rv": {
        4: "a version that was in the future there and means nothing here",
    },
    "watch-label-selector": {},
    "watch-start": {},
    "watch-streaming-list": {},
    "delete-propagation": {24: _MEANWHILE},
    "deployment-status": {22: _MEANWHILE},
    "endpointslices": {},
    "list-filled": {},
    "rolling-update": {
        3: "when a deadline of 3 s is over hangs on where a second begins; step 11 has it",
    },
    "impersonation": {},
    "leases": {},
    "pods-refused": {},
    "scale-down-order": {},
    "statefulset-order": {},
    "watch-namespace-delete": dict.fromkeys(
        (2, 6), "conditions of a namespace that ends; nothing of ours reads them"
    ),
}

_UNUSED: Final = "nothing of ours asks for this"
_CUT: Final = (
    "a server that goes and comes; ours cuts, and refuses old versions: test_source.py in "
    "tests/discovery/kube, a_cut_watch_resumes_where_it_was and an_outage_keeps_the_last_picture"
)
_BUSY: Final = (
    "limits of the server; ours refuses with the same 429: test_watch.py in tests/discovery/kube, "
    "an_outage_is_in_the_log, and its text: test_calls.py, an_overloaded_server_answers"
)
_STORE: Final = "no store apart from the server here, so nothing answers as it does without one; "
_KUBECTL: Final = (
    "kubectl 1.37 on what earlier scenarios had left; the kubectl that is installed is run against "
    "the fake itself: test_kubectl.py, and tests/e2e/cluster with pods that run"
)

#: Scenario → why it is not replayed.
LEFT_OUT: Final[Mapping[str, str]] = {
    "crd-create": "the life of a definition until it is established: here it is so at once",
    "field-validation": "of built-in kinds, whose schemas are not here; cr-create-invalid has ours",
    "list-representations": "tables and YAML of lists: only kubectl asks, in test_kubectl.py",
    "admission-policy": "what a policy refuses is a 403 or 422, of which pods-refused has more",
    "aggregated-api-unavailable": _UNUSED,
    "endpointslice-many": "how slices are split: doctor reads all of a Service's",
    "endpointslice-ports": "ports of slices, and one's own slices: doctor reads only names",
    "errors-invalid": "what we send is validated against the published schemas instead",
    "events": _UNUSED,
    "eviction-429": "drains are the operator's; a front-end that is told to end sees no difference",
    "http-connection": "how connections are kept is the HTTP client's matter",
    "kubectl-apply": "as kubectl-scale; and built-in kinds have no schemas here",
    "kubectl-auth": _KUBECTL,
    "kubectl-diff": _KUBECTL,
    "kubectl-get": _KUBECTL,
    "kubectl-get-watch": _KUBECTL,
    "kubectl-rollout-wait": _KUBECTL,
    "kubectl-scale": _KUBECTL,
    "kubectl-write": _KUBECTL,
    "list-gzip": "an offer that a server may decline, and this one does",
    "overload-429": _BUSY,
    "overload-inflight": _BUSY,
    "python-client-informer": "the client itself runs: test_watch.py in tests/discovery/kube",
    "store-down": _STORE + "its 5xx are not replayed",
    "store-hang": _STORE + "nearest: test_watch.py, a_frozen_server_goes_on",
    "unschedulable": "the scheduler's writes; doctor is shown such a pod in test_installed.py",
    "watch-cut-kill": _CUT,
    "watch-cut-term": _CUT,
    "watch-expired-compacted": "kinds without a watch cache (events) are not watched",
    "webhook-down": "no admission webhooks here",
}

needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"SKIPPED: no recorded exchanges beside the project ({FOLDER})"
)


@needs_recordings
@pytest.mark.parametrize("name", REPLAYED)
async def test_answers_like_the_recorded_server(name: str, autojump_clock: object) -> None:
    differences = await replay(name, frozenset(REPLAYED[name]))
    assert "\n".join(differences) == ""


@needs_recordings
def test_every_recording_is_replayed_or_left_out_for_a_reason() -> None:
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert names == {*REPLAYED, *LEFT_OUT}
    assert not REPLAYED.keys() & LEFT_OUT.keys()


@needs_recordings
async def test_a_wrong_answer_would_be_found(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: lists in another order, and a recorded value that is not what the fake says."""
    scenario = json.loads((FOLDER / "watch-basic.json").read_text(encoding="utf-8"))
    scenario["steps"][1]["response"]["body"]["items"][0]["data"]["v"] = "other"
    monkeypatch.setattr("tests.k8s.recorded.json.loads", _first(scenario))
    differences = await replay("watch-basic")
    assert len(differences) == 1
    assert ".items[0].data.v: '0', recorded 'other'" in differences[0]


def _first(value: object) -> object:
    """Answers the first call with the value, and the rest as before."""
    real = json.loads
    values = [value]
    return lambda text, **kwargs: values.pop() if values else real(text, **kwargs)
