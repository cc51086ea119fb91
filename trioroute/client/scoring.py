"""One scoring request as Azure's client sends it, and the credential that it needs."""

import http.client
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.core.model import API_PREFIXES
from trioroute.errors import TrioRouteError
from trioroute.wire.resources import Credentials, EndpointResource, ScoringToken

__all__ = ["Scoring", "ScoringFailedError", "find_access", "invoke_endpoint", "prepare"]

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
    """Where one endpoint scores, and with which header fields, its credential among them.

    Attributes:
        refusal: why there is no credential among them, where one was looked for.
    """

    url: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    refusal: str = ""


def find_access(client: ResourceClient, endpoint: str) -> Credentials | ScoringToken:
    """What opens an endpoint: its keys, or a fresh token where it takes tokens of ours.

    Raises:
        NoSuchResourceError: no such endpoint.
        ProblemAnswerError: refused; where tokens come from an issuer, the message names it.
    """
    resource = client.endpoint(endpoint)
    return client.credentials(endpoint) if _takes_keys(resource) else client.token(endpoint)


def invoke_endpoint(
    client: ResourceClient,
    endpoint: str,
    body: bytes,
    *,
    deployment: str | None = None,
    content_type: str = "application/json",
    token: str | None = None,
) -> str:
    """The answer's body.

    Args:
        token: to present; otherwise the endpoint's own key, or a token made for this request.

    Raises:
        NoSuchResourceError: no such endpoint or deployment.
        UnreachableError: the scoring address is not known.
        ScoringFailedError: anything but success.
    """
    scoring = prepare(
        client, endpoint, deployment=deployment, content_type=content_type, token=token
    )
    status, text = _post(scoring, body)
    if status not in (http.client.OK, http.client.CREATED):
        why = f" (it was sent without a credential: {scoring.refusal})" if scoring.refusal else ""
        message = f"{endpoint} answered {status}: {text}{why}"
        raise ScoringFailedError(message, answer_status=status)
    return text


def prepare(
    client: ResourceClient,
    endpoint: str,
    *,
    deployment: str | None = None,
    content_type: str = "application/json",
    token: str | None = None,
) -> Scoring:
    """Find out where and how to score.

    Args:
        token: to present; otherwise the endpoint's own key, or a fresh token.

    Raises:
        NoSuchResourceError: no such endpoint or deployment.
        UnreachableError: the scoring address is not known.
    """
    resource = client.endpoint(endpoint)
    headers = {"content-type": content_type}
    if deployment is not None:
        client.deployment(endpoint, deployment)
        headers["azureml-model-deployment"] = deployment
    refusal = ""
    if token is None:
        token, refusal = _find_credential(client, resource)
    if token:
        headers["authorization"] = f"Bearer {token}"
    url = client.system.find_scoring_url()
    if not url:
        raise UnreachableError("no front-end says where it scores: set TRIOROUTE_URL")
    return Scoring(url, f"{API_PREFIXES[0]}{endpoint}/score", headers, refusal)


def _takes_keys(resource: EndpointResource) -> bool:
    return resource.auth_mode == "key"


def _find_credential(client: ResourceClient, resource: EndpointResource) -> tuple[str, str]:
    """A key or token, or nothing and why: an anonymous endpoint answers without one, too."""
    if _takes_keys(resource) and not resource.has_keys:
        return "", ""
    try:
        if _takes_keys(resource):
            return client.credentials(resource.name).primary_key, ""
        return client.token(resource.name).access_token, ""
    except ProblemAnswerError as error:
        return "", str(error)


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
