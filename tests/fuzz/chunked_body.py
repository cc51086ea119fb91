"""Fuzz target. A chunked request body.

The invariants are in targets.py. Run: `python -m tests.fuzz.chunked_body --seconds 60`
"""

import sys

from tests.fuzz.driver import main

if __name__ == "__main__":
    sys.exit(main("chunked_body"))
