"""The API server's refusals: each is an exception that knows its `Status` body."""

from collections.abc import Sequence

from chaos.sim.kubernetes.kinds import Kind

__all__ = [
    "ApiError",
    "already_exists",
    "bad_request",
    "cause",
    "conflict",
    "gone",
    "invalid",
    "invalid_options",
    "method_not_allowed",
    "no_such_path",
    "no_such_resource",
    "not_found",
    "object_modified",
]

Json = dict[str, object]


class ApiError(Exception):
    """A request that is answered with a Status of failure."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Json | None = None,
        metadata: Json | None = None,
        is_text: bool = False,
    ) -> None:
        """Args:
        reason: the machine-readable word; left out of the body when empty, as for some 500s.
        is_text: whether the message alone is the body.
        """
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self._reason = reason
        self._message = message
        self._details = details
        self._metadata = metadata or {}
        self.is_text = is_text

    @property
    def message(self) -> str:
        """For people."""
        return self._message

    def status(self) -> Json:
        """The body."""
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self._metadata,
            "status": "Failure",
            "message": self._message,
        }
        if self._reason:
            body["reason"] = self._reason
        if self._details is not None:
            body["details"] = self._details
        body["code"] = self.code
        return body

    @property
    def retry_after_s(self) -> int | None:
        """What the header of that name says."""
        seconds = (self._details or {}).get("retryAfterSeconds")
        return seconds if isinstance(seconds, int) else None


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def method_not_allowed() -> ApiError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, details={})


def no_such_resource() -> ApiError:
    """404 for a path that no kind has."""
    message = "the server could not find the requested resource"
    return ApiError(404, "NotFound", message, details={})


def no_such_path() -> ApiError:
    """404 for what is no API at all, as text."""
    return ApiError(404, "", "404 page not found\n", is_text=True)


def not_found(kind: Kind, name: str) -> ApiError:
    """404 for a name."""
    message = f'{kind.full_name} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(kind, name))


def already_exists(kind: Kind, name: str, *, is_terminating: bool) -> ApiError:
    """409 for a name that is taken."""
    prefix = "object is being deleted: " if is_terminating else ""
    message = f'{prefix}{kind.full_name} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(kind, name))


def object_modified(kind: Kind, name: str) -> ApiError:
    """409 for a version that is not the newest any more."""
    message = (
        f'Operation cannot be fulfilled on {kind.full_name} "{name}": the object has been modified;'
        " please apply your changes to the latest version and try again"
    )
    return ApiError(409, "Conflict", message, details=_details(kind, name))


def conflict(kind: Kind, name: str, message: str, *, by_kind: bool = False) -> ApiError:
    """409 for a precondition that does not hold.

    Args:
        by_kind: whether details name the kind instead of the resource, as deletions do.
    """
    details = _details(kind, name)
    if by_kind:
        details["kind"] = kind.kind
    return ApiError(409, "Conflict", message, details=details)


def gone(message: str, *, continue_token: str = "") -> ApiError:
    """410: a version that is remembered no longer."""
    metadata: Json = {"continue": continue_token} if continue_token else {}
    return ApiError(410, "Expired", message, metadata=metadata)


def cause(field: str, reason: str, message: str) -> Json:
    """One of the things wrong with an object."""
    return {"reason": reason, "message": message, "field": field}


def invalid(kind: Kind, name: str, causes: Sequence[Json]) -> ApiError:
    """422."""
    details: Json = {"kind": kind.kind, "causes": list(causes)}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    texts = [f"{one['field']}: {one['message']}" for one in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    full = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return ApiError(422, "Invalid", f'{full} "{name}" is invalid: {text}', details=details)


def invalid_options(kind: str, causes: Sequence[Json]) -> ApiError:
    """422 for the parameters of a request."""
    options = Kind(group="meta.k8s.io", version="v1", plural=kind.lower(), kind=kind)
    return invalid(options, "", causes)


def _details(kind: Kind, name: str) -> Json:
    details: Json = {"name": name, "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    return details
