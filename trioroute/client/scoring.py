"""One scoring request as Azure's client sends it, to the split or to one deployment."""

import http.client
from typing import Final
from urllib.parse import urlsplit

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.core.model import API_PREFIXES
from trioroute.errors import TrioRouteError

__all__ = ["ScoringFailedError", "invoke_endpoint"]

#: Longer than any request may take by default; the router itself ends those that take too long.
_TIMEOUT_S: Final = 310.0


class ScoringFailedError(TrioRouteError):
    """The endpoint answered with an error, or not at all.

    Attributes:
        answer_status: 0 when there was no answer.
    """

    reason = "scoring-failed"

    def __init__(self, message: str, *, answer_status: int) -> None:
        super().__init__(message)
        self.answer_status = answer_status


def invoke_endpoint(
    client: ResourceClient,
    endpoint: str,
    body: bytes,
    *,
    deployment: str | None = None,
    content_type: str = "application/json",
) -> str:
    """The answer's body.

    Raises:
        NoSuchResourceError: no such endpoint or deployment.
        UnreachableError: the scoring address is not known.
        ScoringFailedError: anything but success.
    """
    resource = client.endpoint(endpoint)
    headers = {"content-type": content_type}
    if deployment is not None:
        client.deployment(endpoint, deployment)
        headers["azureml-model-deployment"] = deployment
    if resource.has_keys and resource.auth_mode == "key":
        headers["authorization"] = f"Bearer {_primary_key(client, endpoint)}"
    if not client.system.scoring_url:
        raise UnreachableError("the scoring address is not known: set TRIOROUTE_URL")
    status, text = _post(client.system.scoring_url, endpoint, body, headers)
    if status not in (http.client.OK, http.client.CREATED):
        raise ScoringFailedError(f"{endpoint} answered {status}: {text}", answer_status=status)
    return text


def _primary_key(client: ResourceClient, endpoint: str) -> str:
    try:
        return client.credentials(endpoint).primary_key
    except ProblemAnswerError:
        # An anonymous endpoint that had keys before.
        return ""


def _post(url: str, endpoint: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", f"{API_PREFIXES[0]}{endpoint}/score", body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ScoringFailedError(f"no answer from {url}: {error}", answer_status=0) from None
    finally:
        connection.close()
