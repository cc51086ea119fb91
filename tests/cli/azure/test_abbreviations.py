"""Abbreviated flags, as az takes them."""

from tests.cli.console import Console


def test_any_unambiguous_beginning_will_do(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    whole = console("online-deployment show --endpoint-name fraud --name blue")
    assert console("online-deployment show --endpoint fraud -n blue -g rg -w ws") == whole
    assert console("online-deployment show --end=fraud --na blue --only-show-errors") == whole
    console("online-deployment show --e fraud --unknown x", status=2)


def test_an_ambiguous_beginning_names_what_it_could_be(console: Console) -> None:
    console("online-endpoint show --name fraud --o json --s x", status=2)
    console("online-endpoint update -n fraud --a x", status=2)
    assert "--add or --admin" in console.err
