"""Options that verbs share."""

import click
import pytest

from trioroute.cli.options import Duration, traffic_of


@pytest.mark.parametrize(
    ("words", "shares"),
    [
        (("blue=90 green=10",), {"blue": 90, "green": 10}),
        (("blue=90", "green=rest"), {"blue": 90, "green": 10}),
        (("Blue=100",), {"blue": 100}),
        (("blue=100", "green=rest"), {"blue": 100, "green": 0}),
        ((), {}),
    ],
)
def test_shares_come_in_one_word_or_several(words: tuple[str, ...], shares: dict[str, int]) -> None:
    assert traffic_of(words) == shares


@pytest.mark.parametrize(
    ("text", "seconds"), [("50ms", 0.05), ("2s", 2.0), ("1.5m", 90.0), ("0", 0.0), ("24h", 86400.0)]
)
def test_a_time_has_its_unit(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["80", "0.5"])
def test_a_time_without_one_is_asked_about(text: str) -> None:
    with pytest.raises(click.BadParameter, match=f"{text} of what\\? Say {text}ms or {text}s"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize("word", ["blue", "=10", "blue=", "blue=-1", "blue=1.5", "a=rest b=rest"])
def test_other_words_are_mistakes(word: str) -> None:
    with pytest.raises(click.UsageError):
        traffic_of((word,))
