"""Each packaged example runs as its README says, through the whole system."""

import contextlib
import http.client
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from trioroute.client.scoring import Scoring, ScoringFailedError, prepare
from trioroute.testing import LocalCluster, local_cluster

EXAMPLES = ("streaming", "own_server", "echo")
DEMO = Path(__file__).parents[2] / "trioroute" / "demo"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """All examples in one system: what is shown is the examples, not the start of a system."""
    folder = tmp_path_factory.mktemp("examples")
    copies = [shutil.copytree(DEMO / name, folder / name) for name in EXAMPLES]
    with local_cluster(*copies, front_ends=1, dev=False) as cluster:
        yield cluster


@contextlib.contextmanager
def open_stream(scoring: Scoring, **wish: object) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(scoring.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        connection.request("POST", scoring.path, json.dumps(wish), dict(scoring.headers))
        with connection.getresponse() as answer:
            yield answer
    finally:
        connection.close()


def test_a_stream_arrives_whole(cluster: LocalCluster) -> None:
    whole = json.loads(cluster.invoke("storyteller", {"prompt": "the model", "max_tokens": 9}))
    scoring = prepare(cluster.client.resources, "storyteller")
    with open_stream(scoring, prompt="the model", max_tokens=9, stream=True) as answer:
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [*answer]
    words = [json.loads(line[6:])["token"] for line in lines if line.startswith(b"data: {")]
    assert lines[-2:] == [b"data: [DONE]\n", b"\n"]
    assert " ".join(["the model", *words]) == whole["text"]
    with pytest.raises(ScoringFailedError, match="400"):
        cluster.invoke("storyteller", {})


def test_words_come_before_the_last_is_written_and_who_leaves_frees_the_slot(
    cluster: LocalCluster,
) -> None:
    scoring = prepare(cluster.client.resources, "storyteller")
    # More stories at once than there are slots, each of 20 s, and all are left at once.
    for _ in range(6):
        with open_stream(scoring, prompt="the", max_tokens=400, stream=True) as answer:
            assert answer.readline().startswith(b"data: {")
    deadline = time.monotonic() + 15
    while said(cluster).count("caller left") < 6:
        assert time.monotonic() < deadline, said(cluster)
        time.sleep(0.1)


def said(cluster: LocalCluster) -> str:
    return cluster.client.online_deployments.get_logs("bigram", "storyteller")


def test_a_server_with_paths_of_its_own(cluster: LocalCluster) -> None:
    answer = cluster.invoke("half-plus-two", {"instances": [1, 2, 5]})
    assert json.loads(answer) == {"predictions": [2.5, 3.0, 4.5]}
    with pytest.raises(ScoringFailedError, match="instances"):
        cluster.invoke("half-plus-two", {"rows": []})


def test_any_command_behind_an_endpoint(cluster: LocalCluster) -> None:
    answers = [json.loads(cluster.invoke("echo", number)) for number in range(4)]
    assert [answer["echo"] for answer in answers] == ["0", "1", "2", "3"]
    assert {answer["in_flight"] for answer in answers} == {1}
