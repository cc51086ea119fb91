"""Every error trioroute raises on purpose, split by whose fault it is.

The class carries what an answer needs: the status code, the `reason` word (header
`x-trioroute-error`, metric label and log field alike) and whether a retry elsewhere is safe.
"""

from typing import ClassVar

__all__ = [
    "AnswerTimeoutError",
    "BodyTooLargeError",
    "BrokenAnswerError",
    "ConfigError",
    "ConnectFailedError",
    "ControlError",
    "DiskError",
    "DrainingError",
    "InvariantError",
    "LinkLostError",
    "MalformedRequestError",
    "NoCoordinatorError",
    "NoIssuerKeysError",
    "NoReplicaError",
    "NoSuchEndpointError",
    "QuarantinedError",
    "QueueFullError",
    "QueueWaitExceededError",
    "RequestError",
    "ShedError",
    "StaleEpochError",
    "TooManyFailuresError",
    "TrioRouteError",
    "UnauthorizedError",
    "UpstreamError",
]


class InvariantError(AssertionError):
    """A bug in trioroute itself. Never swallowed: the process that had it is replaced."""


class TrioRouteError(Exception):
    """The root of everything below.

    Attributes:
        status: the HTTP status of the answer, 0 where no client ever sees it.
        reason: kebab-case word for the header, the metric label and the log.
        retryable: whether the same request may be tried on another replica.
    """

    status: ClassVar[int] = 500
    reason: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class ConfigError(TrioRouteError):
    """A setting or a file the user wrote cannot be used. The message says where and what to do."""

    status = 0
    reason = "config"


class DiskError(TrioRouteError):
    """The disk under the journal fails: this front-end ends, and comes back when it can write."""

    status = 0
    reason = "disk"


class RequestError(TrioRouteError):
    """The client's fault."""

    status = 400
    reason = "bad-request"


class MalformedRequestError(RequestError):
    """The message breaks HTTP's grammar or two parsers could read it differently.

    Args:
        message: what is wrong, in our own words; never text received from the client.
        status: the answer's status where it is not 400 (408, 413, 414, 417, 431, 501, 505).
        reason: the reason word where it is not `bad-request`.
    """

    def __init__(self, message: str, *, status: int = 400, reason: str = "bad-request") -> None:
        super().__init__(message)
        self.answer_status = status
        self.answer_reason = reason


class UnauthorizedError(RequestError):
    """No credential, or one that is not valid for this endpoint."""

    status = 401
    reason = "unauthorized"


class TooManyFailuresError(RequestError):
    """The address has presented too many credentials that open nothing."""

    status = 429
    reason = "too-many-failures"


class NoSuchEndpointError(RequestError):
    """No endpoint answers at this path, or it has no deployment to route to."""

    status = 404
    reason = "no-route"


class BodyTooLargeError(RequestError):
    """The body is longer than the endpoint allows."""

    status = 413
    reason = "body-too-large"


class ShedError(TrioRouteError):
    """Ours, on purpose: the request was refused to protect the others.

    Attributes:
        retry_after_s: when to ask again, as the queue looks now; None when that is not known.
    """

    status = 503
    reason = "shed"
    retry_after_s: float | None = None


class QueueFullError(ShedError):
    """The deployment's queue is at its bound."""

    reason = "queue-full"


class QueueWaitExceededError(ShedError):
    """No slot came free within `max_queue_wait_ms`."""

    reason = "queue-timeout"


class QuarantinedError(ShedError):
    """A fault of ours in the deployment's slots came twice: nothing is granted until it changes."""

    reason = "quarantined"


class DrainingError(ShedError):
    """This front-end is about to stop and takes no more work."""

    reason = "draining"


class NoIssuerKeysError(TrioRouteError):
    """Tokens cannot be checked yet: the issuer's public keys were never fetched."""

    status = 503
    reason = "no-issuer-keys"


class UpstreamError(TrioRouteError):
    """The replica's fault."""

    status = 502
    reason = "upstream"


class ConnectFailedError(UpstreamError):
    """No connection to the replica could be opened: nothing was sent, so a retry is safe."""

    reason = "connect-failed"
    retryable = True


class BrokenAnswerError(UpstreamError):
    """The replica closed, or sent what is no valid answer, after the request was on its way."""

    reason = "broken-answer"


class AnswerTimeoutError(UpstreamError):
    """The replica did not finish within `request_timeout_ms`."""

    status = 504
    reason = "answer-timeout"


class NoReplicaError(UpstreamError):
    """The deployment has no ready replica.

    Attributes:
        retry_after_s: when one that is being started should be ready; None when that is not known.
    """

    status = 503
    reason = "no-replica"
    retry_after_s: float | None = None


class ControlError(TrioRouteError):
    """Between front-ends; turned into waiting, a retry, or the home range. Clients never see it."""

    status = 0
    reason = "control"


class NoCoordinatorError(ControlError):
    """Nobody has the authority to grant slots or accept changes right now."""

    reason = "no-coordinator"


class LinkLostError(ControlError):
    """The slot link or the hand-down ended."""

    reason = "link-lost"


class StaleEpochError(ControlError):
    """Somebody of an earlier term of office spoke, or was told so; that one must stand down.

    Attributes:
        epoch: the highest epoch known.
    """

    reason = "stale-epoch"

    def __init__(self, epoch: int) -> None:
        super().__init__(f"epoch {epoch} has begun")
        self.epoch = epoch
