"""Which form of an answer a client accepts: the objects, their metadata, or a table for people."""

from collections.abc import Callable
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError, bad_request
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.requests import Answer, Request
from chaos.sim.kubernetes_shown.tables import Table

__all__ = ["Show", "check_accept", "show_answer", "shower_of"]

Json = dict[str, Any]
#: Turns one object into the form that is wanted.
Show = Callable[[Json], Json]

_TABLE: Final = "Table"
_METADATA: Final = "PartialObjectMetadata"
_FORMS: Final = (_TABLE, _METADATA, f"{_METADATA}List")
_JSON: Final = ("application/json", "application/*", "*/*")
#: The only group of forms; other parameters say which version of it, and are all alike here.
_GROUP: Final = "meta.k8s.io"


def check_accept(request: Request) -> None:
    """Refuse what cannot be answered in JSON, and deadlines that are none. Raises ApiError."""
    if request.path != "/openapi/v2":  # which has a form of its own
        _form_of(request)
    seconds = request.query.get("timeout", "0s")
    if not seconds[:1].isdigit():
        message = f'invalid timeout specified in the request URL - time: "{seconds}"'
        raise bad_request(message)


def _form_of(request: Request) -> str:
    """The first form of the header's that there is; empty for the objects themselves."""
    for one in request.headers.get("accept", "*/*").split(","):
        media, *parameters = (part.strip() for part in one.split(";"))
        said = dict(part.partition("=")[::2] for part in parameters)
        form = said.get("as", "")
        if media not in _JSON:
            continue
        if not form:
            return ""
        if form in _FORMS and said.get("g") == _GROUP:
            return form
        if form.endswith("DiscoveryList"):
            return ""
    raise ApiError(406, "NotAcceptable", "406: Not Acceptable", details={})


def show_answer(request: Request, kind: Kind, answer: Answer, now: float) -> Answer:
    """An answer with objects of a kind, in the form that its client accepts best."""
    form, body = _form_of(request), answer.body
    if not form or isinstance(body, str) or answer.status >= 400 or body.get("kind") == "Status":
        return answer
    items = body.get("items")
    if form == _TABLE:
        table = Table(kind, now=now, include=request.query.get("includeObject", "Metadata"))
        shown = table.of(body if items is None else items, body["metadata"])
    elif items is None:
        shown = _metadata_of(body)
    else:
        shown = {
            "kind": f"{_METADATA}List",
            "apiVersion": f"{_GROUP}/v1",
            "metadata": {name: value for name, value in body["metadata"].items() if value},
            "items": [_metadata_of(item) for item in items],
        }
    return Answer(status=answer.status, body=shown, headers=answer.headers)


def shower_of(request: Request, kind: Kind, now: Callable[[], float]) -> Show:
    """How one watch shows each of its objects; a table says once what its columns are."""
    form = _form_of(request)
    if not form:
        return lambda obj: obj
    if form != _TABLE:
        return _metadata_of
    include = request.query.get("includeObject", "Metadata")
    table = Table(kind, now=now(), include=include)

    def row(obj: Json) -> Json:
        table.now = now()
        shown = table.of(obj, obj["metadata"])
        table.has_columns = False
        return shown

    return row


def _metadata_of(obj: Json) -> Json:
    return {"kind": _METADATA, "apiVersion": f"{_GROUP}/v1", "metadata": obj["metadata"]}
