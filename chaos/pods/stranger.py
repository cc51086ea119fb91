"""Somebody else's service: `python -m chaos.pods.stranger HOST:PORT` answers 200 to whatever comes.

It stands at an address that a replica had. A request of ours that it gets is answered with another
text than its own, which is what shows that it was misrouted (I2).
"""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

__all__ = ["SAYS", "answer_all", "main"]

SAYS: Final = b"you have reached somebody else"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(SAYS), SAYS)
_READ_BYTES: Final = 65536


async def answer_all(stream: trio.abc.Stream) -> None:
    """Answer each head of one connection; bodies are nobody's business here."""
    buffer = b""
    async with stream:
        try:
            while data := await stream.receive_some(_READ_BYTES):
                *heads, buffer = (buffer + data).split(b"\r\n\r\n")
                await stream.send_all(_ANSWER * len(heads))
        except trio.BrokenResourceError:
            return  # whoever called has gone


def main(arguments: Sequence[str]) -> int:
    """Serve at the address that the command line names, until killed."""
    host, _, port = arguments[0].rpartition(":")
    trio.run(partial(trio.serve_tcp, answer_all, int(port), host=host))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
