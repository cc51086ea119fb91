"""Speaks to the admin API of one front-end, with nothing but the standard library's HTTP client.

Synchronous and small, because command lines start with it: no trio, no third-party HTTP library.
"""

import http.client
import time
from email.utils import parsedate_to_datetime
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import attrs
import msgspec

from trioroute.client.errors import (
    ChangeUnknownError,
    ProblemAnswerError,
    UnreachableError,
)
from trioroute.core.model import Deployment, Endpoint
from trioroute.core.status import ClusterStatus

__all__ = ["AdminClient"]

#: Reads answer from memory and writes in one round of consensus; an election takes a second.
_TIMEOUT_S: Final = 5.0
_JSON: Final = "application/json"


class _Problem(msgspec.Struct):
    """The fields of an error answer that are used here (RFC 9457)."""

    code: str = ""
    title: str = ""
    detail: str = ""


@attrs.frozen
class AdminClient:
    """The admin API of one front-end. Each call is one connection.

    Every call raises UnreachableError when nobody answers as the admin API does, and
    ProblemAnswerError when it answers with an error.

    Attributes:
        url: `http://host:port`, as `trioroute up` prints it.
        token: the admin token, where one is set.
    """

    url: str
    timeout_s: float = _TIMEOUT_S
    token: str | None = attrs.field(default=None, repr=False)

    def status(self) -> ClusterStatus:
        """The whole system as this front-end sees it; fields unknown here are left out."""
        status: ClusterStatus = self._decode(self.ask("GET", "/v1/status"), ClusterStatus)
        return status

    def readiness(self) -> tuple[bool, str]:
        """Whether the front-end wants requests, and why not."""
        status, body, _ = self._exchange("GET", "/readyz", None)
        return status == http.client.OK, body.decode(errors="replace").strip()

    def clock_ahead_s(self) -> float | None:
        """By how much its wall clock is ahead of ours; None where it does not say.

        From the date that every answer has (RFC 9110, 6.6.1), in whole seconds, rounded down: so
        half a second wrong at most, and half of the way there and back.
        """
        asked_at = time.time()
        _, _, date = self._exchange("GET", "/livez", None)
        between = (asked_at + time.time()) / 2
        try:
            return parsedate_to_datetime(date or "").timestamp() + 0.5 - between
        except ValueError:
            return None

    def put_registry(
        self, endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]
    ) -> int:
        """Replace all endpoints and deployments; returns the index of the log entry."""
        # Imported here: only this verb needs cattrs, which takes longer than all the rest.
        from trioroute.core.registry import PutRegistry
        from trioroute.wire.records import unstructure_record

        wish = PutRegistry(endpoints=endpoints, deployments=deployments)
        body = msgspec.json.encode(unstructure_record(wish))
        answer = self.ask("PUT", "/v1/registry", body)
        return int(self._decode(answer, dict[str, int])["index"])

    def transfer_coordinator(self) -> None:
        """Have this front-end hand the coordinator's office to another one."""
        self.ask("POST", "/v1/raft/transfer")

    def drain(self) -> None:
        """Begin to take this front-end out of service."""
        self.ask("POST", "/v1/drain")

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, version: int | None = None
    ) -> bytes:
        """One exchange with any resource; the answer's body.

        Args:
            version: of the resource, when the change insists on it; 0 when it must be new.
        """
        headers = {}
        if version is not None:
            headers = {"if-match": f'"{version}"'} if version else {"if-none-match": "*"}
        status, answer, _ = self._exchange(method, path, body, headers)
        if status >= http.client.BAD_REQUEST:
            self._raise_problem(status, answer)
        return answer

    def _exchange(
        self, method: str, path: str, body: bytes | None, more: dict[str, str] | None = None
    ) -> tuple[int, bytes, str | None]:
        """Status, body, and the date of the answer."""
        headers = {"accept": _JSON, "connection": "close", **(more or {})}
        if body is not None:
            headers["content-type"] = _JSON
        if self.token is not None:
            headers["authorization"] = f"Bearer {self.token}"
        connection = self._connection()
        kind: type[UnreachableError] = UnreachableError
        try:
            connection.connect()
            if method != "GET":
                kind = ChangeUnknownError
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read(), response.getheader("date")
        except TimeoutError:
            raise self._unanswered(
                kind, f"the admin API at {self.url} did not answer within {self.timeout_s:g} s"
            ) from None
        except OSError as error:
            raise self._unanswered(
                kind, f"cannot reach the admin API at {self.url}: {error.strerror or error}"
            ) from None
        except http.client.IncompleteRead:
            raise self._unanswered(
                kind, f"the admin API at {self.url} broke off in the middle of its answer"
            ) from None
        except http.client.HTTPException:
            self._raise_stranger()
        finally:
            connection.close()

    def _unanswered(self, kind: type[UnreachableError], message: str) -> UnreachableError:
        """The error, which says so when a change may have been made all the same."""
        if kind is ChangeUnknownError:
            message += (
                "; the change was sent, and it is not known whether it was made: look, or send it "
                "again"
            )
        return kind(message)

    def _connection(self) -> http.client.HTTPConnection:
        try:
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise self._no_address() from None
        if parts.scheme not in ("http", "https") or not host or parts.path.strip("/"):
            raise self._no_address()
        is_tls = parts.scheme == "https"
        kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
        return kind(host, port, timeout=self.timeout_s)

    def _no_address(self) -> UnreachableError:
        return UnreachableError(f"{self.url!r} is no admin address: expected http://host:port")

    def _decode(self, body: bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError:
            self._raise_stranger()

    def _raise_problem(self, status: int, body: bytes) -> NoReturn:
        try:
            problem = msgspec.json.decode(body, type=_Problem)
        except msgspec.MsgspecError:
            self._raise_stranger()
        message = f"{problem.code} {problem.title}: {problem.detail}".strip()
        raise ProblemAnswerError(message, answer_status=status, code=problem.code)

    def _raise_stranger(self) -> NoReturn:
        raise UnreachableError(
            f"something answers at {self.url}, but not as trioroute's admin API does: "
            "is that the admin port?"
        )
