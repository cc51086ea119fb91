"""`explain` and `events` against the real admin API."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.roles import AdminToken, Role, digest_of_token
from trioroute.cli.explain import events, explain
from trioroute.cli.main import trioroute
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.decisions import Decision, DecisionKind
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.registry import Command, RecordDecisions
from trioroute.core.resources.commands import PutDeployment, PutEndpoint


def recorded() -> SmallDesk:
    desk = SmallDesk()
    made = [
        (DecisionKind.TAKE_OVER, "coordinator", "epoch 2 begins", 1),
        (DecisionKind.SCALE, "e/d", "2 → 5 replicas (load)", 3),
        (DecisionKind.FENCE, "fe-1/0", "silent for 31.0 s", 1),
        (DecisionKind.REPLICA, "e/d/r7", "not ready after 30 s: no answer", 1),
        (DecisionKind.REPLICA, "e/dd/r1", "not ready after 30 s: no answer", 1),
    ]
    decisions = tuple(
        Decision(
            at_s=1e9,
            epoch=2,
            kind=kind,
            subject=subject,
            summary=summary,
            inputs={"busy": "9"},
            joined=joined,
        )
        for kind, subject, summary, joined in made
    )
    desk.registry.apply(RecordDecisions(epoch=2, decisions=decisions), 1)
    return desk


@pytest.mark.parametrize(
    ("arguments", "subjects"),
    [
        (["scale", "e/d"], ["e/d", "e/d/r7"]),
        (["failover"], ["coordinator", "fe-1/0"]),
    ],
)
def test_explain_shows_what_belongs_to_the_question(
    arguments: list[str], subjects: list[str]
) -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        done = CliRunner().invoke(explain, [*arguments, "--admin", url, "-o", "jsonl"])
    assert done.exit_code == 0
    assert [json.loads(line)["subject"] for line in done.output.splitlines()] == subjects


def test_scaling_is_explained_with_how_long_replicas_take_to_be_ready() -> None:
    desk = recorded()
    scaled = Decision(at_s=1e9, epoch=2, kind=DecisionKind.SCALE, subject="echo/blue", summary="up")
    desk.registry.apply(RecordDecisions(epoch=2, decisions=(scaled,)), 2)
    with running_admin(SmallView(), desk=desk) as url:
        told = CliRunner().invoke(explain, ["scale", "echo/blue", "--admin", url]).output
        others = CliRunner().invoke(explain, ["scale", "e/d", "--admin", url]).output
    assert told.startswith(
        "replicas of echo/blue: nine of ten of the last twenty were ready within 3.2"
    )
    assert "up" in told
    assert "nine of ten" not in others


def test_a_queue_is_set_beside_one_perfect_queue() -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        text = CliRunner().invoke(explain, ["queue", "echo/blue", "--admin", url])
        shown = CliRunner().invoke(explain, ["queue", "echo/blue", "--admin", url, "-o", "json"])
    assert "30.00 ms" in text.output
    assert "1.50 times as long" in text.output
    assert json.loads(shown.output)["wait_over_ideal"] == pytest.approx(1.5)


def test_a_queue_that_nothing_is_known_of_is_an_error() -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        done = CliRunner().invoke(explain, ["queue", "echo/other", "--admin", url])
    assert done.exit_code == 1
    assert "nothing is known of the queue of echo/other" in done.output


def test_events_are_lines_with_their_inputs() -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        done = CliRunner().invoke(events, ["--admin", url])
    _, scale, *_ = done.output.splitlines()
    assert "scale      e/d: 2 → 5 replicas (load) (the last of 3)  [busy 9]" in scale
    assert "epoch 2" in scale


def test_nothing_on_record_is_said() -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        done = CliRunner().invoke(explain, ["scale", "e/other", "--admin", url])
    assert done.exit_code == 1
    assert "no scaling of e/other is on record" in done.output


def test_nobody_answering_is_an_error() -> None:
    done = CliRunner().invoke(events, ["--admin", "http://127.0.0.1:1"])
    assert isinstance(done.exception, UnreachableError)


def test_every_format_and_query() -> None:
    with running_admin(SmallView(), desk=recorded()) as url:
        listed = CliRunner().invoke(events, ["--admin", url, "-o", "json"])
        kinds = CliRunner().invoke(events, ["--admin", url, "--query", "[].kind", "-o", "tsv"])
        words = ["queue", "echo/blue", "--admin", url, "--query", "wait_over_ideal"]
        ratio = CliRunner().invoke(explain, words).output
    assert [row["epoch"] for row in json.loads(listed.output)] == [2] * 5
    assert kinds.output.split() == ["take-over", "scale", "fence", "replica", "replica"]
    assert float(ratio) == pytest.approx(1.5)


@pytest.mark.parametrize("words", [["events"], ["explain", "failover"]])
def test_the_system_is_found_as_by_every_verb(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Address, data folder and token from the environment, which a context stands for as well."""
    admin = AdminToken(role=Role.READ, name="r", digest=digest_of_token("token-of-a-reader"))
    policy = AdminPolicy(tokens=(admin,))
    monkeypatch.setenv("TRIOROUTE_CONFIG", str(tmp_path / "contexts.json"))
    with running_admin(SmallView(), policy, desk=recorded()) as url:
        monkeypatch.setenv("TRIOROUTE_ADMIN", url)
        refused = CliRunner().invoke(trioroute, words)
        assert isinstance(refused.exception, ProblemAnswerError), refused.output
        monkeypatch.setenv("TRIOROUTE_TOKEN", "token-of-a-reader")
        assert "epoch 2 begins" in CliRunner().invoke(trioroute, words).output
        monkeypatch.delenv("TRIOROUTE_ADMIN")
        monkeypatch.setenv("TRIOROUTE_DATA", str(tmp_path))
        with pytest.raises(UnreachableError, match=str(tmp_path)):
            CliRunner().invoke(trioroute, words, catch_exceptions=False)


def test_who_changed_what_is_an_event() -> None:
    tokens = (AdminToken(name="alice", role=Role.ADMIN, digest=digest_of_token("a" * 32)),)
    made: list[Command] = [PutEndpoint(endpoint=Endpoint(name="echo", traffic={"blue": 100}))]
    made += [
        PutDeployment(
            deployment=Deployment(endpoint="echo", name=name, source=StaticSource(addresses=()))
        )
        for name in ("blue", "green")
    ]
    desk = SmallDesk()
    for index, command in enumerate(made, 1):
        desk.registry.apply(command, index)
    with running_admin(SmallView(), policy=AdminPolicy(tokens=tokens), desk=desk) as url:
        system = System(admin_urls=(url,), token="a" * 32)
        client = ResourceClient(system)
        client.set_traffic("echo", {"blue": 90, "green": 10})
        client.set_traffic("echo", {"green": 100})
        client.delete_deployment("echo", "blue")
    said = [(one.kind.value, one.summary, dict(one.inputs)) for one in desk.state.decisions]
    who = {"by": "alice", "through": "fe-0"}
    assert said == [
        ("traffic", "blue 100 → 90, green 0 → 10", who),
        ("traffic", "blue 90 → 0, green 10 → 100", who),
        ("deployment", "deleted", who),
    ]
    assert desk.state.decisions[0].at_s > 1e9
