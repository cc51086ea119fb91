"""Bodies of the admin API: read whole and bounded, answered as JSON that nobody stores."""

from contextlib import aclosing
from typing import Final

import msgspec
import trio
from starlette.requests import Request
from starlette.responses import Response

from trioroute.admin import problems
from trioroute.admin.problems import ProblemError

__all__ = ["BODY_BYTES_MAX", "NOT_CACHED", "json_answer", "read_json_body"]

#: A registry of 1,000 deployments is below 1 MiB.
BODY_BYTES_MAX: Final = 8 * 1024 * 1024
NOT_CACHED: Final = {"cache-control": "no-store"}
_JSON: Final = "application/json"
#: Slower uploads would keep a task each.
_BODY_S: Final = 10.0


def json_answer(value: object) -> Response:
    """A value as a successful answer."""
    return Response(msgspec.json.encode(value), headers=NOT_CACHED, media_type=_JSON)


async def read_json_body(request: Request) -> bytearray:
    """The whole body, not decoded.

    The media type is insisted on because a browser sends it across sites only after asking.

    Raises:
        ProblemError: another type, too long, or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise ProblemError(problems.WRONG_MEDIA_TYPE, "set content-type: application/json")
    body = bytearray()
    with trio.move_on_after(_BODY_S):
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise ProblemError(problems.TOO_LARGE, f"at most {BODY_BYTES_MAX} bytes")
        return body
    raise ProblemError(problems.TOO_SLOW, f"it must be here within {_BODY_S:g} s")
