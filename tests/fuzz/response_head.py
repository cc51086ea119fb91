"""Fuzz target. What an upstream may send.

The invariants are in targets.py. Run: `python -m tests.fuzz.response_head --seconds 60`
"""

import sys

from tests.fuzz.driver import main

if __name__ == "__main__":
    sys.exit(main("response_head"))
