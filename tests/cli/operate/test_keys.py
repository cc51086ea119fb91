"""credentials and regenerate-keys."""

import json

from tests.cli.console import Console


def test_one_key_is_replaced_and_the_other_stays(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    before = json.loads(console("credentials fraud"))
    console("regenerate-keys fraud --key secondary")
    after = json.loads(console("credentials fraud"))
    assert after["primaryKey"] == before["primaryKey"]
    assert after["secondaryKey"] != before["secondaryKey"]
    assert console("credentials fraud --query primaryKey -o tsv") == before["primaryKey"] + "\n"
