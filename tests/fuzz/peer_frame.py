"""Fuzz target. Frames from a peer.

The invariants are in targets.py. Run: `python -m tests.fuzz.peer_frame --seconds 60`
"""

import sys

from tests.fuzz.driver import main

if __name__ == "__main__":
    sys.exit(main("peer_frame"))
