"""Fuzz target. What a client may send: heads, bodies and pipelined requests.

The invariants are in targets.py. Run: `python -m tests.fuzz.request_head --seconds 60`
"""

import sys

from tests.fuzz.driver import main

if __name__ == "__main__":
    sys.exit(main("request_head"))
