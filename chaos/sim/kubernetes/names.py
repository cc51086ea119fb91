"""Names that a server makes up: the end of a generated one, the mark of a template.

From a counter and from the content, so that runs repeat. Whoever replays what another server made
up brings its names.
"""

import hashlib
import itertools
import json
from typing import Any, Final

__all__ = ["Names"]

_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH: Final = 5
_HASH_LENGTH: Final = 10
_SUFFIXES: Final = itertools.count(1)


class Names:
    """As the fake makes them up."""

    def suffix(self, base: str) -> str:
        """Five characters for the end of a name that begins so."""
        del base  # one counter for all
        digits = []
        number = next(_SUFFIXES) * 7_368_787 % len(_LETTERS) ** _SUFFIX_LENGTH  # neighbours differ
        for _ in range(_SUFFIX_LENGTH):
            number, digit = divmod(number, len(_LETTERS))
            digits.append(_LETTERS[digit])
        return "".join(digits)

    def hash_of(self, template: dict[str, Any]) -> str:
        """What tells one template from another."""
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
        return "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:_HASH_LENGTH])
