"""One scoring request as Azure's client sends it, to the split or to one deployment."""

import http.client
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.core.model import API_PREFIXES
from trioroute.errors import TrioRouteError

__all__ = ["Scoring", "ScoringFailedError", "invoke_endpoint", "prepare"]

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


@attrs.frozen
class Scoring:
    """Where one endpoint scores, and with which header fields, its key among them."""

    url: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)


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
    scoring = prepare(client, endpoint, deployment=deployment, content_type=content_type)
    status, text = _post(scoring, body)
    if status not in (http.client.OK, http.client.CREATED):
        raise ScoringFailedError(f"{endpoint} answered {status}: {text}", answer_status=status)
    return text


def prepare(
    client: ResourceClient,
    endpoint: str,
    *,
    deployment: str | None = None,
    content_type: str = "application/json",
) -> Scoring:
    """Find out where and how to score.

    Raises:
        NoSuchResourceError: no such endpoint or deployment.
        UnreachableError: the scoring address is not known.
    """
    resource = client.endpoint(endpoint)
    headers = {"content-type": content_type}
    if deployment is not None:
        client.deployment(endpoint, deployment)
        headers["azureml-model-deployment"] = deployment
    if resource.has_keys and resource.auth_mode == "key":
        headers["authorization"] = f"Bearer {_primary_key(client, endpoint)}"
    url = client.system.find_scoring_url()
    if not url:
        raise UnreachableError("no front-end says where it scores: set TRIOROUTE_URL")
    return Scoring(url, f"{API_PREFIXES[0]}{endpoint}/score", headers)


def _primary_key(client: ResourceClient, endpoint: str) -> str:
    try:
        return client.credentials(endpoint).primary_key
    except ProblemAnswerError:
        # An anonymous endpoint that had keys before.
        return ""


def _post(scoring: Scoring, body: bytes) -> tuple[int, str]:
    parts = urlsplit(scoring.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", scoring.path, body, dict(scoring.headers))
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise ScoringFailedError(
            f"no answer from {scoring.url}: {error}", answer_status=0
        ) from None
    finally:
        connection.close()
