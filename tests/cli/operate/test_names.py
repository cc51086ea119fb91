"""What a shell completes."""

import click

from tests.cli.console import Console
from trioroute.cli.operate.names import complete_deployments, complete_either, complete_endpoints
from trioroute.cli.operate.traffic import traffic


def asked(url: str) -> click.Context:
    context = click.Context(traffic)
    context.params = {"admin": url, "data": None}
    return context


def test_names_are_those_of_the_running_system(console: Console) -> None:
    console(f"apply {console.write('blue', 'green')}")
    context, parameter = asked(console.url), traffic.params[0]
    assert complete_endpoints(context, parameter, "fr") == ["fraud"]
    assert complete_endpoints(context, parameter, "x") == []
    assert complete_deployments(context, parameter, "fraud/g") == ["fraud/green"]
    assert complete_either(context, parameter, "") == ["fraud", "fraud/blue", "fraud/green"]


def test_no_answer_is_no_completion() -> None:
    assert complete_either(asked("http://127.0.0.1:9"), traffic.params[0], "") == []
