"""Wrong words in bodies are told with the right ones."""

import msgspec
import pytest

from trioroute.admin.resources.words import no_choice, no_field, with_nearest
from trioroute.wire.resources import KeyWish


def test_the_nearest_field_is_named_where_there_is_one() -> None:
    known = ["traffic", "auth_mode"]
    assert no_field(["trafic", "weather"], known) == (
        "unknown: trafic (did you mean traffic?), weather"
    )


def test_all_choices_are_named_and_the_nearest_again() -> None:
    assert no_choice("mode", "kye", ["key", "aml_token"]) == (
        "`mode` is one of key, aml_token, not 'kye' (did you mean key?)"
    )
    assert no_choice("mode", "7", ["key"]) == "`mode` is one of key, not '7'"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"key_typ": "primary"}', "unknown: key_typ (did you mean key_type?)"),
        (
            b'{"key_type": "Primary"}',
            "`key_type` is one of primary, secondary, not 'Primary' (did you mean primary?)",
        ),
        (b'{"key_type": 7}', "Expected `str`, got `int` - at `$.key_type`"),
    ],
)
def test_msgspec_s_own_words_are_completed(body: bytes, says: str) -> None:
    """As this msgspec says them: a release with other words makes this fail."""
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(body, type=KeyWish)
    assert with_nearest(str(raised.value), KeyWish) == says
