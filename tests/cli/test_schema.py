"""`trioroute schema` prints JSON."""

import json

from click.testing import CliRunner

from trioroute.cli.schema import schema


def test_each_kind_has_a_schema() -> None:
    for kind in ("endpoint", "deployment"):
        result = CliRunner().invoke(schema, [kind])
        assert result.exit_code == 0
        assert json.loads(result.output)["title"].startswith(f"Azure ML online {kind}")


def test_another_kind_is_a_usage_error() -> None:
    assert CliRunner().invoke(schema, ["replica"]).exit_code == 2
